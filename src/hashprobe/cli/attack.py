"""hashprobe attack: one sub-command an attack, made from the attack's own options."""

import math
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter, Token

from hashprobe.attacks._dhta import PRESETS
from hashprobe.attacks.registry import ATTACKS, DEFAULT
from hashprobe.audit.attack_step import Protocol, attack_run
from hashprobe.cli.flags import Cache, CacheFlags, Flag
from hashprobe.cli.presets import fill, unusual
from hashprobe.cli.terminal import Terminal
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.optim.session import Precision
from hashprobe.types import Budget, Space


def parse_eps(_: Any, tokens: tuple[Token, ...]) -> float:
    """A budget such as `8/255` or `0.032`.

    Example:
        >>> parse_eps(float, (Token(value="51/255"),))
        0.2
    """
    text = tokens[0].value
    try:
        top, _, bottom = text.partition("/")
        eps = float(top) / (float(bottom) if bottom else 1.0)
    except (ValueError, ZeroDivisionError):
        eps = math.nan
    if not math.isfinite(eps):
        raise ValueError(f"wanted is a number such as 8/255 or 0.032; got {text!r}")
    return eps


Eps = Annotated[float, Parameter(converter=parse_eps, show_default=lambda _: "8/255")]

attack = App(
    name="attack",
    help=(
        "Attack queries of a run and measure how far its results move: hashprobe attack RUN takes "
        f"{DEFAULT}, the default; the others go by their names."
    ),
    help_format="plaintext",
)


def preset_options(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Give the options of a preset to those that neither command line nor recipe have set."""
    # Attacks without one of these options (P2P has no ties) do without, and the number of steps is
    # that of the paper's own optimisation.
    foreign = () if commands[-1] in ("dhta", "p2p", "hag") else ("steps", "alpha")
    values = {
        name: {
            "eps": preset.budget.eps,
            "space": preset.budget.space,
            "pool": preset.pool,
            "minimum": preset.minimum,
            "empty": preset.empty,
            **{k: v for k, v in unusual(preset.options).items() if k not in foreign},
        }
        for name, preset in PRESETS.items()
    }
    fill(app, commands, arguments, values)


def build(name: str, kind: type[Any], text: str) -> Callable[..., None]:
    """The command of one attack."""

    def command(
        run: Path,
        /,
        *more: Annotated[str, Parameter(show=False)],
        eps: Eps = 8 / 255,
        space: Space = "pixel",
        frames: int | None = None,
        shared: Flag = False,
        preset: Literal["paper", "paper-videos", "official-code"] | None = None,
        protocol: Annotated[Protocol, Parameter(name="*")] = Protocol(),  # noqa: B008
        options: Any = None,
        name_of_folder: Annotated[str | None, Parameter(name="--name")] = None,
        batch_size: Annotated[int | None, Parameter(show_default=False)] = None,
        precision: Precision = "float32",
        device: str = "auto",
        workers: int | None = None,
        cache: CacheFlags = Cache(),  # noqa: B008
        overwrite: Flag = False,
    ) -> None:
        if more:
            raise stray(str(run), more)
        # `preset` has done its work: `preset_options` put its values into the others.
        result = attack_run(
            run,
            name,
            budget=Budget(eps, space, frames, shared),
            options=options or kind(),
            protocol=protocol,
            name=name_of_folder,
            batch_size=batch_size,
            precision=precision,
            device=device,
            workers=workers,
            cache=cache.open(),
            overwrite=overwrite,
            screen=Terminal(),
        )
        show(result)

    command.__doc__ = f"""{text}

    Parameters
    ----------
    run
        The run folder; it must be encoded.
    eps
        Largest change of a pixel value, such as 8/255 or 0.032.
    space
        What eps counts in: pixel ([0, 1]) or normalised ((x - mean) / std).
    frames
        Most frames of a clip that change, those of which the first gradient promises most; by
        default all (videos only).
    shared
        Change all these frames alike (videos only).
    preset
        paper (of images), paper-videos or official-code: budget, protocol and what this attack
        shares with DHTA's options as published, where nothing else is said. The list length
        depends on the data: say --top, too.
    name_of_folder
        Name of the folder under attacks/; by default from attack, budget and seed.
    batch_size
        Queries in the network at once; by default what the machine's memory allows.
    precision
        What gradients are computed in: float32, or bfloat16, which is faster where the processor
        has it. Judgement is always float32.
    device
        auto (the GPU if there is one), cpu, cuda, cuda:1, ...
    workers
        Decoding processes; by default one a core.
    overwrite
        Throw away another attack that has the folder.
    """
    command.__annotations__["options"] = Annotated[kind | None, Parameter(name="*")]
    return command


def stray(first: str, more: tuple[str, ...]) -> HashprobeError:
    """The sentence for more words than a run: most often a misspelt attack."""
    known = sorted(ATTACKS)
    close = get_close_matches(first, known, n=1)
    hint = f'Did you mean "{close[0]}"? ' if close else ""
    return HashprobeError(
        f"unknown attack {first!r} or words too many ({' '.join(more)}). {hint}"
        f"Wanted is: hashprobe attack [{'|'.join(known)}] RUN"
    )


def show(result: Evaluation) -> None:
    """The numbers of one attack, one a line."""
    for label, value in (
        ("t-MAP after 8 bits", result.achieved),
        ("t-MAP before rounding", result.achieved_float),
        ("t-MAP untouched (floor)", result.floor),
        ("t-MAP target codes (ceiling)", result.ceiling),
        ("lift", result.lift),
        ("MAP by own label, untouched", result.map_clean),
        ("MAP by own label, attacked", result.map_attacked),
        ("bits still wrong", result.wrong),
        ("t-MAP after the codec", result.achieved_codec),
        ("bits wrong after the codec", result.wrong_codec),
        ("MAP untouched, after the codec", result.map_codec),
    ):
        if value is not None:
            print(f"{label:30} {value}")
    visible = result.perceptibility
    if visible is not None:
        print(
            f"{'perceptibility':30} {visible.rmse:.2e}, largest change {visible.linf_255:.0f}/255, "
            f"PSNR {visible.psnr:.1f} dB, SSIM {visible.ssim:.4f}"
        )
        if visible.rmse_frames is not None:
            print(f"{'perceptibility, changed frames':30} {visible.rmse_frames:.2e}")
    print(f"{'signature':30} {result.achieved.signature}")
    if result.achieved_codec is not None:
        print(f"{'signature after the codec':30} {result.achieved_codec.signature}")


for attack_name, entry in ATTACKS.items():
    first_line = (entry.run.__doc__ or "").splitlines()[0]
    attack.command(build(attack_name, entry.options, first_line), name=attack_name)
    if attack_name == DEFAULT:
        attack.default(build(attack_name, entry.options, first_line))
