"""Opening a run's data, network and codes, with the checks that each needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from hashprobe.audit.log import Screen
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.optim.session import Precision
from hashprobe.storage.files import read_npz, write_json
from hashprobe.storage.runs import Run
from hashprobe.types import Labels
from hashprobe.victims.checkpoint import AnyHasher, ModelCard, load_checkpoint


CHECKPOINT = ("model/model.safetensors", "model/model.json")
CODES = {"query": "codes/query.npz", "database": "codes/database.npz"}


@dataclass(frozen=True)
class Encoded:
    """The codes of one split in a run.

    Example:
        >>> codes = PackedCodes.from_signs(np.ones((1, 8)))
        >>> len(Encoded(codes, np.ones((1, 2), bool), np.array([0])))
        1
    """

    codes: PackedCodes
    labels: Labels
    positions: np.ndarray
    """Positions of the items in their split."""

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Victim:
    """An encoded run with all that an attack needs of it: network, data and codes.

    Example:
        >>> [field for field in Victim.__dataclass_fields__]
        ['run', 'data', 'hasher', 'query', 'database']
    """

    run: Run
    data: RetrievalData
    hasher: AnyHasher
    query: Encoded
    database: Encoded


def open_victim(path: Path) -> Victim:
    """An encoded run, opened once for several attacks.

    Args:
        path: the run folder.

    Raises:
        HashprobeError: the run is not encoded, or its data have changed since.

    Example:
        >>> import tempfile
        >>> open_victim(Run.create(Path(tempfile.mkdtemp()), {}).path)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... is not encoded yet: run hashprobe encode first
    """
    run = Run.open(path)
    query, database = load_codes(run, "query"), load_codes(run, "database")
    data, hasher, _ = reopen(run)
    return Victim(run, data, hasher, query, database)


def keep_data(run: Run, data: RetrievalData, screen: Screen) -> None:
    """Say what the data are and what the checks on loading saw, and keep it in data.json."""
    sizes = {role: len(split) for role, split in data.splits().items()}
    screen.say(f"{data.name}: " + ", ".join(f"{n} {role}" for role, n in sizes.items()))
    for finding in data.findings:
        screen.say(f"{'note' if finding.harmless else 'warning'}: {finding}")
    content = {
        "name": data.name,
        "checksum": data.checksum,
        "sizes": sizes,
        "label_names": list(data.label_names),
        "findings": [str(finding) for finding in data.findings],
    }
    write_json(run.path / "data.json", content)


def reopen(run: Run) -> tuple[RetrievalData, AnyHasher, ModelCard]:
    """The data and the network of a trained run; both must be as they were.

    Raises:
        HashprobeError: the run is not trained, or the data have changed since.
    """
    if not run.finished(*CHECKPOINT):
        raise HashprobeError(f"{run.path} is not trained yet: run hashprobe train first")
    run.check_seals(*CHECKPOINT)
    hasher, card = load_checkpoint(run.path / "model")
    data = data_options(run).load()
    if data.checksum != card.data.get("checksum"):
        raise HashprobeError(
            f"the data of {run.path} have changed since its training: checksum "
            f"{str(card.data.get('checksum'))[:12]} then, {data.checksum[:12]} now"
        )
    return data, hasher, card


def data_options(run: Run) -> DataOptions:
    """Which data a run is about.

    Raises:
        HashprobeError: run.json does not say it, or in another form.
    """
    try:
        options = dict(run.config["data"])
        paths = {name: Path(options[name]) for name in ("root", "lists") if options[name]}
        return DataOptions(**{**options, **paths})
    except (KeyError, TypeError, ValueError) as error:
        raise HashprobeError(
            f"{run.path / 'run.json'} does not say which data it is about: {error}"
        ) from error


def check_work(batch_size: int, workers: int | None) -> None:
    """Refuses numbers that no work can be split by."""
    if batch_size < 1:
        raise HashprobeError(f"batch size must be at least 1; got {batch_size}")
    if workers is not None and workers < 0:
        raise HashprobeError(f"workers must be 0 (none) or more; got {workers}")


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
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        there = ", ".join(["cpu", *(f"cuda:{i}" for i in range(gpus))])
        raise HashprobeError(
            f"device {name!r} is not to be had here: choose auto or {there}"
        ) from error
    return device


def imitates_bfloat16(device: torch.device) -> bool:
    """Whether a device is a processor that only imitates bfloat16: many times slower than float32.

    Example:
        >>> imitates_bfloat16(torch.device("cuda"))
        False
    """
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device.type != "cpu" or not there:
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()


def say_precision(screen: Screen, precision: Precision, device: torch.device) -> None:
    """Says so where bfloat16 is asked of a processor that imitates it."""
    if precision == "bfloat16" and imitates_bfloat16(device):
        screen.say("this processor does not compute in bfloat16: float32 is faster on it")


def say_bad(screen: Screen, role: str, bad: tuple[str, ...]) -> None:
    """Say what was left out."""
    if bad:
        screen.say(f"warning: left out {len(bad)} bad {role} items, the first is {bad[0]}")


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
    if set(content) != {"codes", "bits", "labels", "positions"}:
        held = ", ".join(content) or "nothing"
        raise HashprobeError(f"{run.path / name} is no code file of a run: it holds {held}")
    codes = PackedCodes(content["codes"], int(content["bits"]))
    return Encoded(codes, content["labels"], content["positions"])
