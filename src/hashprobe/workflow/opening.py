"""Opening a run's data, network and codes, with the checks that each needs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hashprobe.codes import PackedCodes
from hashprobe.data import DataOptions, RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.files import read_npz, write_json
from hashprobe.models import ImageHasher, ModelCard, load_checkpoint
from hashprobe.runs import Run
from hashprobe.types import Labels
from hashprobe.workflow.screen import Screen


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


def open_data(run: Run, source: DataOptions, screen: Screen) -> RetrievalData:
    """The run's data, checked; what the checks saw is said and kept in data.json."""
    data = source.load()
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
    return data


def reopen(run: Run, screen: Screen) -> tuple[RetrievalData, ImageHasher, ModelCard]:
    """The data and the network of a trained run; both must be as they were.

    Raises:
        HashprobeError: the run is not trained, or the data have changed since.
    """
    if "model/model.safetensors" not in run.seals():
        raise HashprobeError(f"{run.path} is not trained yet: run hashprobe train first")
    run.check_seals("model/model.safetensors", "model/model.json")
    hasher, card = load_checkpoint(run.path / "model")
    options = {**run.config["data"]}
    for name in ("root", "lists"):
        options[name] = None if options[name] is None else Path(options[name])
    data = open_data(run, DataOptions(**options), screen)
    if data.checksum != card.data.get("checksum"):
        raise HashprobeError(
            f"the data of {run.path} have changed since its training: checksum "
            f"{str(card.data.get('checksum'))[:12]} then, {data.checksum[:12]} now"
        )
    return data, hasher, card


def say_bad(screen: Screen, role: str, bad: tuple[str, ...]) -> None:
    """Say what was left out."""
    if bad:
        screen.say(f"warning: left out {len(bad)} bad {role} images, the first is {bad[0]}")


def load_codes(run: Run, role: str) -> Encoded:
    """The codes of one split.

    Raises:
        HashprobeError: the run is not encoded, or the file was damaged.
    """
    name = f"codes/{role}.npz"
    if name not in run.seals():
        raise HashprobeError(f"{run.path} is not encoded yet: run hashprobe encode first")
    run.check_seals(name)
    content = read_npz(run.path / name)
    codes = PackedCodes(content["codes"], int(content["bits"]))
    return Encoded(codes, content["labels"], content["positions"])
