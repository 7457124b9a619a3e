"""Puts runs through the same attacks: what a defence is worth."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.defenses.defended import Defended
from hashprobe.defenses.detectors.registry import detector_named
from hashprobe.defenses.trainers.registry import TRAINERS, trainer_class
from hashprobe.errors import HashprobeError
from hashprobe.storage.records import as_record
from hashprobe.types import InputContract, Runtime
from hashprobe.victims.checkpoint import Training, load_checkpoint
from hashprobe.workflow.compare_attacks import Bench, check_white
from hashprobe.workflow.compare_behind import open_behind, with_own_codes
from hashprobe.workflow.compare_detection import detected
from hashprobe.workflow.comparison import Compared, CompareOptions, Comparison
from hashprobe.workflow.comparison_flags import flags_of
from hashprobe.workflow.run_io import EncodedRun


def compare_runs(
    runs: Sequence[Path],
    options: CompareOptions = CompareOptions(),
    runtime: Runtime = Runtime(),
) -> Comparison:
    """Judge runs by the same attacks on the same queries: every attack with gradients there is.

    Beside the attacks of the registry, queries are driven away from the vote of all database codes
    that share a label with them, which is the strongest goal against a training that holds on to
    anchors: with gradients, and by what a service answers (query-only). What the first made of the
    queries of the first run is shown to the other runs (transfer). All of it is kept in the runs,
    and the same call goes on where it was stopped; detectors are measured anew each time.

    Args:
        runs: encoded runs of the same data, the undefended one first; `RUN+NAME` is a run behind a
            preprocessor of that name, which every attack knows.
        options: budget, queries, steps, detectors.
        runtime: device, precision of gradients, batch size, who is told.

    Returns:
        One record a run, with flags of what speaks against taking its numbers for robustness.

    Raises:
        HashprobeError: no run, one that is not encoded, runs of other data or input sizes, or an
            unknown attack, detector or preprocessor.

    Example:
        >>> compare_runs([])
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: compare needs one run or more
    """
    if not runs:
        raise HashprobeError("compare needs one run or more")
    check_white(options.attacks)
    for name in options.detectors:
        detector_named(name)
    if len({path.resolve() for path in runs}) < len(runs):
        raise HashprobeError("compare was given a run twice: name each run once")
    opened = [open_behind(path) for path in runs]
    check_same(opened)
    if options.detectors and opened[0].hasher.contract.frames:
        raise HashprobeError("detectors look at images, and these runs take clips: leave them out")
    compared = []
    moved: AttackResult | None = None
    for path, victim in zip(runs, opened, strict=True):
        runtime.progress.log(f"comparing {path}")
        own = with_own_codes(victim, options, runtime)
        found, away = judge(str(path), Bench(own, options, runtime), moved)
        moved = moved or away
        compared.append(found)
    return Comparison(tuple(compared), options)


def check_same(runs: Sequence[EncodedRun]) -> None:
    """Refuses runs whose inputs, queries or databases differ."""
    first = runs[0]
    for other in runs[1:]:
        names = first.run.path, other.run.path
        takes, other_takes = (input_text(one.hasher.contract) for one in (first, other))
        if takes != other_takes:
            raise HashprobeError(
                f"{names[0]} takes {takes} and {names[1]} {other_takes}: compare runs whose "
                "networks take the same input"
            )
        if first.data.checksum != other.data.checksum:
            raise HashprobeError(f"{names[0]} and {names[1]} are of other data: compare like runs")
        same = all(
            np.array_equal(getattr(first, part).positions, getattr(other, part).positions)
            for part in ("query", "database")
        )
        if not same:
            raise HashprobeError(
                f"{names[0]} and {names[1]} have other queries or databases: encode them alike"
            )


def input_text(contract: InputContract) -> str:
    """What a network takes, in words.

    Example:
        >>> input_text(InputContract(size=8)), input_text(InputContract(size=8, frames=4))
        ('pictures of 8 px', 'clips of 4 frames of 8 px')
    """
    clips = f"clips of {contract.frames} frames" if contract.frames else "pictures"
    return f"{clips} of {contract.size} px"


def judge(name: str, bench: Bench, moved: AttackResult | None) -> tuple[Compared, AttackResult]:
    """One run under all attacks, and its queries driven away the longest."""
    trials, clean = [], None
    for trial, measured in bench.trials():
        clean = clean or measured.map_clean
        trials.append(trial)
    ways, away = bench.driven_away()
    trials += [*ways, bench.mainstay(), bench.asking()]
    if moved is not None:
        trials.append(bench.transferred(moved))
    flags = flags_of(clean, trials, bench.saturated(), bench.beyond_huge())
    known = training_of(bench.victim)
    defence = known.get("defence", {})
    found = Compared(
        name,
        " + ".join([defence.get("name", "none"), *in_front(bench.victim)]),
        clean,
        known.get("seconds"),
        tuple(trials),
        flags,
        defence,
        changed_options(defence),
        tuple(one for detector in bench.options.detectors for one in detected(bench, detector)),
    )
    return found, away


def in_front(victim: EncodedRun) -> list[str]:
    """The name of the preprocessor in front of a run; empty where there is none."""
    return [victim.hasher.preprocessor.name] if isinstance(victim.hasher, Defended) else []


def changed_options(defence: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a training against attacks that differ from the defaults of today.

    Args:
        defence: what `Trainer.to_json` gave.

    Example:
        >>> changed_options({"name": "p2s", "n_t": 1, "own": "centre", "push": "product"})
        {'n_t': 1}
        >>> changed_options({"name": "of another version", "n_t": 1})
        {'n_t': 1}
    """
    given = {option: value for option, value in defence.items() if option != "name"}
    if defence.get("name") not in TRAINERS:
        return given
    trainer = trainer_class(defence["name"])
    given, defaults = {**trainer.later, **given}, asdict(trainer())
    if trainer.step_share is not None and isinstance(eps := given.get("eps"), float):
        defaults["step_size"] = trainer.step_share * eps
    return {k: v for k, v in given.items() if k not in defaults or v != defaults[k]}


def training_of(victim: EncodedRun) -> dict[str, Any]:
    """What the checkpoint of a run says of its training."""
    known = dict(load_checkpoint(victim.run.path / "model")[1].training)
    as_record({k: v for k, v in known.items() if k in ("loss", "epochs", "seconds")}, Training)
    return known
