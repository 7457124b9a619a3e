"""hashprobe demo"""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter


WHY = (
    "Digits are 8x8 pixels of strokes, and 8/255, the field's usual budget for photographs, barely "
    "moves a stroke: the demo attacks at 64/255, which anybody can see."
)
WHY_VIDEO = (
    "Clips are of digits that move, 16x16 pixels, and their labels say how: the demo attacks at "
    "64/255, which anybody can see."
)
EPS = 64 / 255
# Few epochs on 250 items leave the network imperfect, as networks on real data are.
TRAINING = {
    "epochs": 6,
    "batch_size": 25,
    "optimiser": "adamw",
    "lr": 3e-3,
    "schedule": "cosine",
    "augment": "none",
}


CLIPS = {
    "loss": "dvh",
    "epochs": 15,
    "batch_size": 24,
    "optimiser": "adamw",
    "lr": 3e-3,
    "schedule": "cosine",
    "augment": "crop",
}
CLIP_STEPS = 50


def demo(
    *,
    out: Path | None = None,
    queries: int | None = None,
    steps: int | None = None,
    video: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Run the whole audit on the bundled digits: train, encode, attack, report.

    Parameters
    ----------
    out
        The run folder, by default runs/demo or runs/demo-video; the same command goes on where it
        was stopped.
    queries
        Queries attacked, at most 200 digits or 120 clips; by default 100 digits or 40 clips.
    steps
        Steps of P2P and DHTA; by default the paper's 2,000 for digits, and 50 for clips.
    video
        Clips of digits that move; their label is how.
    """
    from hashprobe.attacks._bit_margin import BitMarginOptions
    from hashprobe.attacks._dhta import DhtaOptions
    from hashprobe.attacks._noise import NoiseOptions
    from hashprobe.attacks._p2p import P2pOptions
    from hashprobe.audit.attack_step import Protocol, attack_run
    from hashprobe.audit.encode_step import encode_run
    from hashprobe.audit.report_step import report_run
    from hashprobe.audit.train_step import Network, train_run
    from hashprobe.cli.terminal import Terminal
    from hashprobe.data.datasets.registry import DataOptions
    from hashprobe.training.options import TrainOptions
    from hashprobe.types import Budget

    screen = Terminal()
    if video:
        data, network = "moving-digits", Network("small", 32, size=16, frames=16)
        training = TrainOptions(**CLIPS)  # type: ignore[arg-type]
        usual: tuple[Path, int, int] = Path("runs/demo-video"), 40, CLIP_STEPS
    else:
        data, network = "digits", Network("small", 32, size=8)
        training = TrainOptions(**TRAINING)  # type: ignore[arg-type]
        usual = Path("runs/demo"), 100, 2000
    out = usual[0] if out is None else out
    queries = usual[1] if queries is None else queries
    steps = usual[2] if steps is None else steps
    train_run(out, DataOptions(data), network, training, screen=screen)
    print(f"{'MAP of untouched queries':28} {encode_run(out, screen=screen)}")
    for title, name, options in (
        ("Noise", "noise", NoiseOptions()),
        ("P2P", "p2p", P2pOptions(steps=steps)),
        ("DHTA", "dhta", DhtaOptions(steps=steps)),
        ("Bit margin", "bit-margin", BitMarginOptions()),
    ):
        done = attack_run(
            out,
            name,
            budget=Budget(EPS),
            options=options,
            protocol=Protocol(queries=queries),
            overwrite=True,
            screen=screen,
        )
        if name == "noise":
            print(f"{'t-MAP of untouched queries':28} {done.floor}")
        print(f"{'t-MAP of ' + title:28} {done.achieved}   target codes {done.ceiling}")
    why = WHY_VIDEO if video else WHY
    where = report_run(out, notes=(why,), screen=screen)
    print(f"{why}\nreport: {where.resolve()}")
