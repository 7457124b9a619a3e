"""hashprobe attack: one sub-command for each registered attack, made from the attack's options."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import App, Parameter, Token

from hashprobe.attacks._dhta import PRESETS
from hashprobe.attacks.contract import Attack
from hashprobe.attacks.registry import ATTACKS, DEFAULT, AttackSpec
from hashprobe.cli.cluster import ClusterRuntime
from hashprobe.cli.flags import FLAT, Flag, Json, print_json
from hashprobe.cli.output import say
from hashprobe.cli.presets import fill, non_defaults
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget, Precision, Space
from hashprobe.workflow.protocol import Protocol


if TYPE_CHECKING:
    from hashprobe.evaluation.outcome import Evaluation

PresetName: TypeAlias = Literal["paper", "paper-videos", "official-code", "scaled"]
OTHERS = {
    "suite": "Attack with everything, the cheapest first, and say what is left of a run.",
    "universal": "Learn one change a target label on database pictures, and add it to queries.",
}
"""Sub-commands that are no attacks of the registry; each has a module of its own."""
NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?"
EPS = re.compile(rf"{NUMBER}( */ *{NUMBER})?", re.IGNORECASE)


def parse_eps(_: Any, tokens: tuple[Token, ...]) -> float:
    """A budget such as `8/255` or `0.032`.

    Example:
        >>> parse_eps(float, (Token(value="51/255"),))
        0.2
    """
    text = tokens[0].value
    if not EPS.fullmatch(text.strip()):
        raise ValueError(f"must be a number such as 8/255 or 0.032; got {text!r:.80}")
    top, _, bottom = text.partition("/")
    below = float(bottom or 1)
    eps = float(top) / below if below else math.inf
    if not math.isfinite(eps):
        raise ValueError(f"must be a number such as 8/255 or 0.032; got {text!r:.80}")
    return eps


@dataclass(frozen=True)
class BudgetFlags(Budget):
    """The budget as the command line takes it."""

    eps: Annotated[float, Parameter(converter=parse_eps, show_default=lambda _: "8/255")] = 8 / 255
    """Largest change of a pixel value, such as 8/255 or 0.032."""
    space: Space = "pixel"
    """What eps counts in: pixel ([0, 1]) or normalised ((x - mean) / std)."""
    frames: int | None = None
    """Most frames of a clip that may change, chosen by the first gradient; by default all (videos
    only)."""
    shared: Flag = False
    """Change all these frames alike (videos only)."""

    @property
    def budget(self) -> Budget:
        """The budget itself."""
        return Budget(**asdict(self))


@dataclass(frozen=True)
class AttackRuntime(ClusterRuntime):
    """How attacks are computed."""

    batch_size: Annotated[int | None, Parameter(show_default=False)] = None
    """Queries in the network at once; by default what the memory of the machine allows."""
    precision: Precision = "float32"
    """What gradients are computed in. bfloat16 is faster if the processor supports it. Results are
    always judged in float32."""
    deterministic: Flag = False
    """Attack in fixed batches with two threads: the same machine gives the same pixels again."""
    shard: Annotated[int | None, Parameter(show_default=False)] = None
    """Attacked queries in one file of results, without pictures beside it; by default up to 1,000
    queries have a file each, and of more about 64 MiB of pixels are in one."""
    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""


def __getattr__(name: str) -> App:
    """Builds `attack` each time it is looked up, so that newly registered attacks are in it."""
    if name == "attack":
        return attack_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def attack_app() -> App:
    """The command `attack` with a sub-command for each attack of the registry."""
    app = App(name="attack", help_format="plaintext")
    for attack in ATTACKS.values():
        app.command(build(attack), name=attack.name)
    for name, help_ in OTHERS.items():
        app.command(f"hashprobe.cli.attack_{name}:{name}", name=name, help=help_)
    app.default(build(ATTACKS[DEFAULT]))
    return app


def preset_options(app: App, commands: tuple[str, ...], arguments: Any) -> None:
    """Gives options that neither command line nor recipe set their values of the preset."""
    # The steps of a preset, and their unit, are those of descent on tanh(alpha z): attacks without
    # an alpha keep their own.
    descends = any(argument.name == "--alpha" for argument in arguments)
    values = {
        name: {
            "eps": preset.budget.eps,
            "space": preset.budget.space,
            "pool": preset.pool,
            "minimum": preset.minimum,
            "empty": preset.empty,
            **{
                k: v
                for k, v in non_defaults(preset.options).items()
                if descends or k not in ("steps", "step")
            },
        }
        for name, preset in PRESETS.items()
    }
    fill(app, commands, arguments, values)


def build(attack: Attack) -> Callable[..., None]:
    """The command of one attack."""

    def command(
        run: Path,
        /,
        *,
        budget: Annotated[BudgetFlags, FLAT] = BudgetFlags(),
        preset: PresetName | None = None,
        protocol: Annotated[Protocol, FLAT] = Protocol(),
        options: Any = None,
        name: str | None = None,
        runtime: Annotated[AttackRuntime, FLAT] = AttackRuntime(),
        overwrite: Flag = False,
        repeats: int = 1,
        json_: Json = False,
    ) -> None:
        from hashprobe.cli.terminal import Terminal
        from hashprobe.workflow.attack_step import attack_run
        from hashprobe.workflow.run_io import open_run

        opened = open_run(run)
        if preset == "paper-videos" and not opened.hasher.contract.frames:
            raise HashprobeError(
                f"--preset paper-videos is for clips, and {run} is a run of pictures: "
                "choose --preset paper"
            )
        # `preset_options` has put the values of `preset` into the others.
        result = attack_run(
            opened,
            AttackSpec(attack.name, options, budget.budget),
            protocol=protocol,
            name=name,
            runtime=runtime.open(Terminal()),
            overwrite=overwrite,
            repeats=repeats,
        )
        if json_:
            print_json(result.to_json())
            return
        show(result)

    command.__doc__ = f"""{attack.summary}

    Parameters
    ----------
    run
        The run folder; it must be encoded.
    preset
        paper (images), paper-videos or official-code: the published budget, protocol and options,
        for options that are not given; scaled is paper with --step scaled. The list length depends
        on the data: give --top, too.
    name
        Name of the folder under attacks/; by default made of attack, budget and seed.
    overwrite
        Replace another attack in this folder.
    repeats
        Runs of the attack on the same queries and targets, in other batches and with other random
        numbers of its own; from 2 on the spread between runs is a second interval.
    json_
        Print one JSON object and nothing else: what evaluation.json of the attack holds.
    """
    command.__annotations__["options"] = Annotated[attack.options | None, FLAT]
    return command


def check_name(word: str, more: Sequence[str]) -> None:
    """Refuses a word that is neither an attack nor a path, if it looks like a misspelt attack.

    Args:
        word: what follows `hashprobe attack`.
        more: the words after it.

    Raises:
        HashprobeError: the word is near the name of an attack, or a second argument follows it.
    """
    from hashprobe.cli.app import suggest

    if word in (*ATTACKS, *OTHERS) or Path(word).exists():
        return
    hint = suggest(word, [*ATTACKS, *OTHERS])
    if hint or (more and not more[0].startswith("-")):
        raise HashprobeError(
            f"unknown attack {word!r}. {hint}Attacks are {', '.join(ATTACKS)}: "
            f"hashprobe attack NAME RUN, or hashprobe attack RUN for {DEFAULT}"
        )


def show(result: "Evaluation") -> None:
    """Prints the numbers of one attack, one on each line."""
    for label, value in (
        ("t-MAP after 8 bits", result.achieved),
        ("t-MAP, between runs", result.achieved_runs),
        ("t-MAP before rounding", result.achieved_float),
        ("t-MAP untouched (floor)", result.floor),
        ("t-MAP target codes (ceiling)", result.ceiling),
        ("lift", result.lift),
        ("MAP by own label, untouched", result.map_clean),
        ("MAP by own label, attacked", result.map_attacked),
        ("MAP attacked, between runs", result.map_runs),
        ("bits still wrong", result.wrong),
        ("t-MAP after the codec", result.achieved_codec),
        ("bits wrong after the codec", result.wrong_codec),
        ("MAP untouched, after the codec", result.map_codec),
    ):
        if value is not None:
            say(f"{label:30} {value}")
    visible = result.perceptibility
    if visible is not None:
        say(
            f"{'perceptibility':30} {visible.rmse:.2e}, largest change {visible.linf_255:.0f}/255, "
            f"PSNR {visible.psnr:.1f} dB, SSIM {visible.ssim:.4f}"
        )
        if visible.rmse_frames is not None:
            say(f"{'perceptibility, changed frames':30} {visible.rmse_frames:.2e}")
    signed = result.map_attacked if result.achieved is None else result.achieved
    if signed is not None:
        say(f"{'signature':30} {signed.signature}")
    if result.achieved_codec is not None:
        say(f"{'signature after the codec':30} {result.achieved_codec.signature}")
