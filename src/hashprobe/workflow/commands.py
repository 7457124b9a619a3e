"""The commands that lead to a run, from what it keeps of its options."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from hashprobe.attacks.registry import ATTACKS
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.defenses.trainers.registry import trainer_class
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.workflow.attack_step import default_name
from hashprobe.workflow.hardening_options import HardenOptions
from hashprobe.workflow.network import Network
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.results import Finished
from hashprobe.workflow.run_io import SECTIONS, check_sections


def flags(given: Mapping[str, Any], default: Mapping[str, Any]) -> list[str]:
    """Options that differ from their defaults, as the command line takes them.

    Example:
        >>> flags({"steps": 100, "tie": "plus", "skip_bad": True}, {"steps": 2000, "tie": "plus"})
        ['--steps', '100', '--skip-bad']
    """
    words: list[str] = []
    for name, value in given.items():
        if value == default.get(name) or value is None:
            continue
        flag = name.replace("_", "-")
        words.append(f"--no-{flag}" if value is False else f"--{flag}")
        if not isinstance(value, bool):
            words.append(str(value))
    return words


def commands_of(path: Path, run: Run, attacks: list[Finished]) -> list[str]:
    """The commands behind a run, in order."""
    check_sections(run, *SECTIONS)
    lines = [train_command(path, run.config), shlex.join(["hashprobe", "encode", str(path)])]
    lines += [attack_command(path, finished) for finished in attacks]
    return [*lines, shlex.join(["hashprobe", "report", str(path)])]


def train_command(path: Path, config: Mapping[str, Any]) -> str:
    """The `hashprobe train` behind a run."""
    data = dict(config["data"])
    words = ["hashprobe", "train", data.pop("name")]
    words += flags(data, asdict(DataOptions("")))
    words += flags(config["network"], asdict(Network()))
    # Earlier versions knew no weights of pairs.
    train = {"pair_weights": "none", **config["train"]}
    words += flags(train, asdict(TrainOptions()))
    return shlex.join([*words, "--out", str(path)])


def made_by(run: Run, shown: Callable[[str], str] = str) -> str:
    """The command that trained or hardened the network of a run, with names in place of folders.

    Args:
        run: a trained run.
        shown: what absolute paths are written as.
    """
    config = {
        section: {
            name: shown(value) if isinstance(value, str) and Path(value).is_absolute() else value
            for name, value in options.items()
        }
        for section, options in run.config.items()
    }
    words = defence_words(config.get("defence"))
    if "hardened" not in config:
        line = train_command(Path(run.path.name), config)
        return shlex.join([*shlex.split(line), *words])
    usual = asdict(HardenOptions()) | {
        name: getattr(TrainOptions(), name) for name in ("schedule", "augment", "precision")
    }
    words += flags({name: config["train"].get(name) for name in usual}, usual)
    source = Path(run.config["hardened"]["run"]).name
    return shlex.join(["hashprobe", "harden", source, *words, "--out", run.path.name])


def defence_words(defence: Mapping[str, Any] | None) -> list[str]:
    """A defence and its options that are not the defaults, as the command line takes them."""
    if not defence:
        return []
    kind = trainer_class(defence["name"])
    usual = {one.name: one.default for one in fields(kind)}
    eps = defence.get("eps", usual["eps"])
    if kind.step_share is not None and isinstance(eps, int | float):
        usual["step_size"] = kind.step_share * eps
    words = ["--defence", defence["name"]]
    for name, value in {**kind.later, **defence}.items():
        if name not in ("name", *kind.unused) and value != usual.get(name):
            words += ["--defence-option", f"{name}={value}"]
    return words


def attack_command(path: Path, finished: Finished) -> str:
    """The `hashprobe attack` behind one of a run's attacks."""
    record, budget = finished.record, finished.budget
    protocol: Mapping[str, Any] = record.protocol or {}
    whole = round(budget.eps * 255)
    eps = f"{whole}/255" if whole / 255 == budget.eps else repr(budget.eps)
    words = ["hashprobe", "attack", record.attack, str(path), "--eps", eps]
    if budget.space != "pixel":
        words += ["--space", budget.space]
    words += flags({"frames": budget.frames, "shared": budget.shared}, {"shared": False})
    words += flags(record.options, default_options(record.attack))
    words += flags(protocol, asdict(Protocol()))
    words += flags({"precision": record.precision}, {"precision": "float32"})
    if finished.name != default_name(record.attack, budget, protocol.get("seed", 0)):
        words += ["--name", finished.name]
    return shlex.join(words)


def default_options(attack: str) -> dict[str, Any]:
    """The default options of an attack; none where the registry does not know it."""
    return asdict(ATTACKS[attack].options()) if attack in ATTACKS else {}
