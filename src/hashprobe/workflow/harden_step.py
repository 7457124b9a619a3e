"""Harden the network of a run that exists, into a run of its own."""

from dataclasses import replace
from pathlib import Path

from hashprobe.defenses.trainers.base import Trainer
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import sha256_file
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.types import Runtime
from hashprobe.victims.perceptual.registry import PERCEPTUAL_HASHES
from hashprobe.workflow.harden_file import NO_WEIGHTS
from hashprobe.workflow.hardening_options import HardenOptions
from hashprobe.workflow.network import Network
from hashprobe.workflow.run_io import CHECKPOINT, check_trained, data_options, section_of
from hashprobe.workflow.train_step import TrainingPlan, trained


def harden_run(
    source: Path,
    defence: Trainer,
    options: HardenOptions = HardenOptions(),
    *,
    out: Path,
    runtime: Runtime = Runtime(),
) -> Run:
    """Train the network of a run on against attacks, into a run of its own; resumes after a kill.

    Args:
        source: a trained run; it is left as it is.
        defence: a training against attacks, such as `hashprobe.defenses.P2s()`.
        options: how it is trained on; one that `minutes` cut short is finished, as in `train_run`.
        out: the new run folder, or one of the same hardening.
        runtime: `workers`, `skip_bad` and `cache` for decoding, and who is told.

    Returns:
        The new run, with the data and the network of the old one; it is to be encoded.

    Raises:
        HashprobeError: the run is not trained, the folder is the run itself or another one, or the
            defence does not fit.

    Example:
        >>> from hashprobe.defenses import P2s
        >>> harden_run(Path("no/such/run"), P2s(), out=Path("hard"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/run does not exist
    """
    if str(source) in PERCEPTUAL_HASHES and not source.exists():
        raise HashprobeError(f"{source} {NO_WEIGHTS}")
    run = Run.open(source)
    check_trained(run)
    run.check_seals(*CHECKPOINT)
    if out.resolve() == source.resolve():
        raise HashprobeError(f"{out} is the run that is hardened: name a new folder as --out")
    network = Network(**section_of(run, "network", Network))
    before = TrainOptions(**section_of(run, "train", TrainOptions))
    if defence.most_loss is not None and options.seed != before.seed:
        raise HashprobeError(
            "most_loss is measured on the items that the network has not seen, which are held out "
            f"by the seed of its own training: give --seed {before.seed}"
        )
    if network.frozen:
        # Its features are computed from pixels now, and the whole of it is trained.
        network = replace(network, frozen=False)
    weights = sha256_file(source / CHECKPOINT[0])
    given = options.over(before)
    if options.lr is None:
        given = replace(given, lr=learning_rate(defence, given.lr, out))
    plan = TrainingPlan(network, given, defence, source / "model")
    more = {"hardened": {"run": str(source.resolve()), "weights": weights}}
    return trained(out, data_options(run), plan, runtime, more)


def learning_rate(defence: Trainer, usual: float, out: Path) -> float:
    """The learning rate where none is given: that of the defence, or the usual one.

    Earlier versions took the usual one for every defence: a hardening that they began goes on so.
    """
    if defence.tuned_lr is None:
        return usual
    if (out / "run.json").exists():
        there = Run.open(out).config.get("train")
        if isinstance(there, dict) and there.get("lr") == usual:
            return usual
    return defence.tuned_lr
