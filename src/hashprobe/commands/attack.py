"""hashprobe attack: one sub-command an attack, made from the attack's own options."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter, Token

from hashprobe.attacks import ATTACKS, PRESETS
from hashprobe.commands.screen import Terminal
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Space
from hashprobe.workflow import Protocol, attack_run


def parse_eps(_: Any, tokens: tuple[Token, ...]) -> float:
    """A budget such as `8/255` or `0.032`.

    Example:
        >>> parse_eps(float, (Token(value="51/255"),))
        0.2
    """
    text = tokens[0].value
    try:
        top, _, bottom = text.partition("/")
        return float(top) / (float(bottom) if bottom else 1.0)
    except (ValueError, ZeroDivisionError):
        raise HashprobeError(f"--eps takes a number such as 8/255 or 0.032; got {text!r}") from None


Eps = Annotated[float, Parameter(converter=parse_eps)]

attack = App(
    name="attack",
    help="Attack queries of a run and measure how far its results move.",
    help_format="plaintext",
)


def build(name: str, kind: type[Any], text: str) -> Callable[..., None]:
    """The command of one attack."""

    def command(
        run: Path,
        /,
        *,
        eps: Eps | None = None,
        space: Space | None = None,
        preset: Literal["paper", "official-code"] | None = None,
        protocol: Annotated[Protocol, Parameter(name="*")] = Protocol(),  # noqa: B008
        options: Any = None,
        name_of_folder: Annotated[str | None, Parameter(name="--name")] = None,
        batch_size: int = 100,
        workers: int | None = None,
        overwrite: bool = False,
    ) -> None:
        options = options or kind()
        budget = Budget(eps or 8 / 255, space or "pixel")
        if preset is not None:
            known = PRESETS[preset]
            budget = Budget(eps or known.budget.eps, space or known.budget.space)
            if kind is type(known.options) and options == kind():
                options = known.options
            else:
                options = replace(options, tie=known.options.tie)
            protocol = replace(protocol, pool=known.pool, minimum=known.minimum, empty=known.empty)
        result = attack_run(
            run,
            name,
            budget=budget,
            options=options,
            protocol=protocol,
            name=name_of_folder,
            batch_size=batch_size,
            workers=workers,
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
        Largest change of a pixel value, such as 8/255 or 0.032. [default: 8/255]
    space
        What eps counts in: pixel ([0, 1]) or normalised ((x - mean) / std). [default: pixel]
    preset
        paper or official-code: budget, options and protocol as published.
    name_of_folder
        Name of the folder under attacks/; by default from attack, budget and seed.
    batch_size
        Queries attacked at once.
    workers
        Decoding processes; by default one a core.
    overwrite
        Throw away another attack that has the folder.
    """
    command.__annotations__["options"] = Annotated[kind | None, Parameter(name="*")]
    return command


def show(result: Any) -> None:
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
    ):
        if value is not None:
            print(f"{label:30} {value}")
    visible = result.perceptibility
    print(
        f"{'perceptibility':30} {visible.rmse:.2e}, largest change {visible.linf_255:.0f}/255, "
        f"PSNR {visible.psnr:.1f} dB, SSIM {visible.ssim:.4f}"
    )
    print(f"{'signature':30} {result.achieved.signature}")


for attack_name, entry in ATTACKS.items():
    first_line = (entry.run.__doc__ or "").splitlines()[0]
    attack.command(build(attack_name, entry.options, first_line), name=attack_name)
