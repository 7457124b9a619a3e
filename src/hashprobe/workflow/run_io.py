"""Opening the data, the network and the codes of a run, with their checks."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.file_digests import digests_kept_at
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.files import read_npz, write_json
from hashprobe.storage.records import as_record
from hashprobe.storage.runs import Run
from hashprobe.training.options import TrainOptions
from hashprobe.types import Labels, Precision
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import AnyHasher, ModelCard, load_checkpoint
from hashprobe.victims.precision import imitates_bfloat16
from hashprobe.workflow.network import Network


CHECKPOINT = ("model/model.safetensors", "model/model.json")
MEMBERS = {
    "codes": Member("uint8", "n b"),
    "bits": Member("whole"),
    "labels": Member("bool", "n c"),
    "positions": Member("int64", "n"),
}
DIGESTS = "digests.npz"
"""Digests of the data's files, so that a command reads those that changed alone."""
CODES = {"query": "codes/query.npz", "database": "codes/database.npz"}
SECTIONS: dict[str, Any] = {"data": DataOptions, "network": Network, "train": TrainOptions}
"""Sections of a run's configuration, with the options that each holds."""


@dataclass(frozen=True)
class Encoded:
    """The codes of one split in a run.

    Example:
        >>> codes = PackedCodes.from_signs(np.ones((1, 8)))
        >>> len(Encoded(codes, np.ones((1, 2), bool), np.array([0])))
        1
    """

    codes: PackedCodes
    """N codes of K bits."""
    labels: Labels
    """(N, C) multi-hot."""
    positions: np.ndarray
    """Positions of the items in their split."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def labelled(self) -> Codes:
        """The codes with their labels."""
        return Codes(self.codes, self.labels)


@dataclass(frozen=True, eq=False)
class EncodedRun:
    """An encoded run with its network, data and codes.

    Example:
        >>> [field for field in EncodedRun.__dataclass_fields__]
        ['run', 'data', 'hasher', 'query', 'database']
    """

    run: Run
    data: RetrievalData
    hasher: Hasher
    query: Encoded
    database: Encoded


def open_run(path: Path) -> EncodedRun:
    """Open an encoded run, once for several attacks.

    Args:
        path: the run folder.

    Raises:
        HashprobeError: the run is not encoded, or its data have changed since then.

    Example:
        >>> import tempfile
        >>> open_run(Run.create(Path(tempfile.mkdtemp()), {}).path)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... is not encoded yet: run hashprobe encode first
    """
    run = Run.open(path)
    query, database = load_codes(run, "query"), load_codes(run, "database")
    data, hasher, _ = reopen(run)
    opened = EncodedRun(run, data, hasher, query, database)
    check_codes(run, opened)
    return opened


def keep_data(run: Run, data: RetrievalData, progress: Progress) -> None:
    """Shows the sizes and findings of a data set, and saves them in data.json."""
    sizes = {role: len(split) for role, split in data.splits().items()}
    progress.log(f"{data.name}: " + ", ".join(f"{n} {role}" for role, n in sizes.items()))
    for finding in data.findings:
        progress.log(f"{'note' if finding.harmless else 'warning'}: {finding}")
    content = {
        "name": data.name,
        "checksum": data.checksum,
        "sizes": sizes,
        "label_names": list(data.label_names),
        "findings": [str(finding) for finding in data.findings],
    }
    write_json(run.path / "data.json", content)


def reopen(run: Run) -> tuple[RetrievalData, AnyHasher, ModelCard]:
    """The data and the network of a trained run; both must be unchanged.

    Raises:
        HashprobeError: the run is not trained, or the data have changed since.
    """
    check_trained(run)
    run.check_seals(*CHECKPOINT)
    hasher, card = load_checkpoint(run.path / "model")
    with digests_kept_at(run.path / DIGESTS):
        data = data_options(run).load()
    if data.checksum != card.data.get("checksum"):
        raise HashprobeError(
            f"the data of {run.path} have changed since its training: checksum "
            f"{str(card.data.get('checksum'))[:12]} then, {data.checksum[:12]} now"
        )
    return data, hasher, card


def check_trained(run: Run) -> None:
    """Refuses a run whose network or training is not described rightly, or that is not trained."""
    check_sections(run, *(name for name in ("network", "train") if name in run.config))
    if not run.finished(*CHECKPOINT):
        command = "harden" if "hardened" in run.config else "train"
        raise HashprobeError(f"{run.path} is not trained yet: run hashprobe {command} first")


def data_options(run: Run) -> DataOptions:
    """The data set of a run.

    Raises:
        HashprobeError: run.json does not name it, or in another form.
    """
    try:
        options = section_of(run, "data", DataOptions, closed=True)
        paths = {name: Path(options[name]) for name in ("root", "lists") if options.get(name)}
        return DataOptions(**{**options, **paths})
    except HashprobeError as error:
        raise HashprobeError(
            f"{run.path / 'run.json'} does not name the data of the run: {error}"
        ) from error


def section_of(run: Run, name: str, kind: Any, *, closed: bool = False) -> dict[str, Any]:
    """A section of a run's configuration, whose values are those of some options.

    Raises:
        HashprobeError: it is missing, holds an option of another type or, if it is closed, one
            that is unknown.
    """
    if name not in run.config:
        raise HashprobeError(f"config.{name} is missing")
    as_record(run.config[name], kind, f"config.{name}", closed=closed)
    return dict(run.config[name])


def check_sections(run: Run, *names: str) -> None:
    """Refuses a run of which a section of the configuration is missing or has other types."""
    try:
        for name in names:
            section_of(run, name, SECTIONS[name])
    except HashprobeError as error:
        raise HashprobeError(f"{run.path / 'run.json'} is damaged: {error}") from error


def pick_device(name: str) -> torch.device:
    """The device of a name; `auto` is the GPU if there is one, else the CPU.

    Raises:
        HashprobeError: this machine has no such device.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda" if gpus else "cpu")
    try:
        device = torch.device(name)
        # A device without values, such as meta, computes nothing.
        torch.ones(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(gpus))])
        raise HashprobeError(
            f"device {name!r} is not available here: choose auto or {there}"
        ) from error
    return device


def say_precision(progress: Progress, precision: Precision, device: torch.device) -> None:
    """Logs that bfloat16 is slow if the processor only emulates it."""
    if precision == "bfloat16" and imitates_bfloat16(device):
        progress.log("this processor does not compute in bfloat16: float32 is faster on it")


def say_bad(progress: Progress, role: str, bad: tuple[str, ...]) -> None:
    """Logs how many bad items were left out."""
    if bad:
        progress.log(f"warning: left out {len(bad)} bad {role} items, the first is {bad[0]}")


def load_codes(run: Run, role: str) -> Encoded:
    """The codes of one split.

    Args:
        run: the run.
        role: `query` or `database`.

    Raises:
        HashprobeError: the run is not encoded, or the file was damaged.

    Example:
        >>> import tempfile
        >>> load_codes(Run.create(Path(tempfile.mkdtemp()), {}), "query")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... is not encoded yet: run hashprobe encode first
    """
    name = CODES[role]
    if not run.finished(name):
        raise HashprobeError(f"{run.path} is not encoded yet: run hashprobe encode first")
    run.check_seals(name)
    content = read_npz(run.path / name)
    try:
        check_members(content, MEMBERS, "it")
        codes, positions = PackedCodes(content["codes"], int(content["bits"])), content["positions"]
        if (np.diff(positions, prepend=-1) < 1).any():
            raise HashprobeError("its positions do not rise from 0")
    except HashprobeError as error:
        raise HashprobeError(f"{run.path / name} is no code file of a run: {error}") from error
    return Encoded(codes, content["labels"], positions)


def check_codes(run: Run, encoded: EncodedRun) -> None:
    """Refuses codes that are not of this data and this network."""
    for role, split in (("query", encoded.data.query), ("database", encoded.data.database)):
        some: Encoded = getattr(encoded, role)
        for what, here, wanted in (
            ("bits", some.codes.bits, encoded.hasher.bits),
            ("labels", some.labels.shape[1], split.labels.shape[1]),
        ):
            if here != wanted:
                raise HashprobeError(
                    f"{run.path / CODES[role]} has {here} {what}, the run itself {wanted}: remove "
                    "it and encode again"
                )
        if len(some) and some.positions[-1] >= len(split):
            raise HashprobeError(
                f"{run.path / CODES[role]} has item {some.positions[-1]}; the {role} split has "
                f"{len(split)}: remove it and encode again"
            )
