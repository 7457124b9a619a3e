"""hashprobe demo"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashprobe.cli.flags import Flag
from hashprobe.cli.output import say


if TYPE_CHECKING:
    from hashprobe.attacks.contract import Attack
    from hashprobe.attacks.registry import AttackSpec


WHY = (
    "The digits have 8x8 pixels. 8/255, the usual budget for photographs, hardly changes a stroke: "
    "the demo attacks at 64/255, which anybody can see. The network is left weak on purpose, with "
    "6 epochs and a MAP of about 80; hashprobe train digits --size 8 --augment crop --epochs 100 "
    "reaches 96."
)
WHY_VIDEO = (
    "The clips show moving digits of 16x16 pixels; their labels are the movements. The demo "
    "attacks at 64/255, which anybody can see. The network is left weak on purpose, with 15 "
    "epochs."
)
EPS = 64 / 255
# A few epochs on 250 items leave the network imperfect, like networks on real data.
TRAINING: dict[str, Any] = {
    "loss": "dph",
    "epochs": 6,
    "batch_size": 25,
    "optimiser": "adamw",
    "lr": 3e-3,
    "weight_decay": 5e-4,
    "schedule": "cosine",
    "augment": "none",
    "pair_weights": "none",
}
CLIPS: dict[str, Any] = {
    "loss": "dvh",
    "epochs": 15,
    "batch_size": 24,
    "optimiser": "adamw",
    "lr": 3e-3,
    "weight_decay": 5e-4,
    "schedule": "cosine",
    "augment": "crop",
}


@dataclass(frozen=True)
class Plan:
    """The data of a demo, and what it takes if nothing else is said."""

    data: str
    network: dict[str, Any]
    training: dict[str, Any]
    out: Path
    queries: int
    steps: int
    why: str


def plan(video: bool) -> Plan:
    """The demo on digits, or on clips."""
    if video:
        network = {"bits": 32, "size": 16, "frames": 16}
        out = Path("runs/demo-video")
        return Plan("moving-digits", network, CLIPS, out, 40, 50, WHY_VIDEO)
    return Plan("digits", {"bits": 32, "size": 8}, TRAINING, Path("runs/demo"), 100, 2000, WHY)


def demo(
    *,
    out: Path | None = None,
    queries: int | None = None,
    steps: int | None = None,
    video: Flag = False,
    audit: Flag = False,
) -> None:
    """Run everything on the bundled digits: train, encode, attack, report.

    Parameters
    ----------
    out
        The run folder, by default runs/demo or runs/demo-video; the same command resumes a demo
        that was stopped.
    queries
        Queries attacked, at most 200 digits or 120 clips; by default 100 digits, 40 clips or, of an
        audit, 48 crops.
    steps
        Steps of the published attacks; by default the paper's 2,000 for digits, and 50 for clips.
    video
        Use clips of moving digits, labelled by their movement.
    audit
        Audit a perceptual hash, PDQ, on crops of two bundled photographs with edited copies as the
        database (extra perceptual); the results go to runs/demo-audit.
    """
    if audit:
        run_audit(out or Path("runs/demo-audit"), queries, video or steps is not None)
        return
    from hashprobe.attacks.registry import ATTACKS
    from hashprobe.cli.terminal import Terminal
    from hashprobe.data.datasets.registry import DataOptions
    from hashprobe.training.options import TrainOptions
    from hashprobe.types import Runtime
    from hashprobe.workflow.attack_step import attack_run
    from hashprobe.workflow.encode_step import encode_run
    from hashprobe.workflow.network import Network
    from hashprobe.workflow.protocol import Protocol
    from hashprobe.workflow.report_step import report_run
    from hashprobe.workflow.train_step import train_run

    it = plan(video)
    run = out or it.out
    runtime = Runtime(progress=Terminal())
    protocol = Protocol(queries=it.queries if queries is None else queries)
    shown = [attack for attack in ATTACKS.values() if attack.demo]
    specs = [spec_of(attack, it.steps if steps is None else steps) for attack in shown]
    train_run(
        run, DataOptions(it.data), Network(**it.network), TrainOptions(**it.training), runtime
    )
    say(f"{'MAP of untouched queries':28} {encode_run(run, runtime=runtime)}")
    for spec in specs:
        done = attack_run(run, spec, protocol=protocol, runtime=runtime, overwrite=True)
        if spec is specs[0]:
            say(f"{'t-MAP of untouched queries':28} {done.floor}")
        title = f"t-MAP of {spec.attack.title}"
        say(f"{title:28} {done.achieved}   target codes {done.ceiling}")
    where = report_run(run, notes=(it.why,), progress=runtime.progress)
    say(f"{it.why}\nreport: {where.resolve()}")


def run_audit(out: Path, queries: int | None, more: bool) -> None:
    """The demo of an audit."""
    from hashprobe.cli.terminal import Terminal
    from hashprobe.errors import HashprobeError
    from hashprobe.types import Runtime
    from hashprobe.workflow.audit_demo import demo_audit

    if more:
        raise HashprobeError("demo --audit takes --out and --queries alone")
    runtime = Runtime(progress=Terminal())
    result = demo_audit(out, queries or 0, runtime, f"hashprobe demo --audit --out {out}")
    say(f"{result}\n\nreport: {(out / 'report.html').resolve()}")


def spec_of(attack: "Attack", steps: int) -> "AttackSpec":
    """What a demo asks of an attack; the number of steps is for the published ones."""
    from hashprobe.attacks.registry import AttackSpec
    from hashprobe.types import Budget

    takes_steps = attack.baseline and "steps" in attack.options.__dataclass_fields__
    options = attack.options(**({"steps": steps} if takes_steps else {}))
    return AttackSpec(attack.name, options, Budget(EPS))
