"""hashprobe demo"""

from pathlib import Path


WHY = (
    "Digits are 8x8 pixels of strokes, and 8/255, the field's usual budget for photographs, barely "
    "moves a stroke: the demo attacks at 64/255, which anybody can see."
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


def demo(*, out: Path = Path("runs/demo"), queries: int = 100, steps: int = 2000) -> None:
    """Run the whole audit on the bundled digits: train, encode, attack, report.

    Parameters
    ----------
    out
        The run folder; the same command goes on where it was stopped.
    queries
        Queries attacked, at most 200.
    steps
        Steps of P2P and DHTA; the paper's 2,000.
    """
    from hashprobe.attacks import BitMarginOptions, DhtaOptions, NoiseOptions, P2pOptions
    from hashprobe.commands.screen import Terminal
    from hashprobe.data import DataOptions
    from hashprobe.models import TrainOptions
    from hashprobe.types import Budget
    from hashprobe.workflow import Network, Protocol, attack_run, encode_run, report_run, train_run

    screen = Terminal()
    network, training = Network("small", 32, size=8), TrainOptions(**TRAINING)  # type: ignore[arg-type]
    train_run(out, DataOptions("digits"), network, training, screen=screen)
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
    where = report_run(out, notes=(WHY,), screen=screen)
    print(f"{WHY}\nreport: {where.resolve()}")
