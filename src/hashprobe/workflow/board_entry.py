"""An entry of the leaderboard: what one YAML file says of one victim."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes, write_bytes
from hashprobe.storage.plain_yaml import parse_yaml
from hashprobe.storage.records import as_record
from hashprobe.types import check_whole


FORMAT = 1
"""Of an entry."""


@dataclass(frozen=True)
class Number:
    """A mean with its interval, from 0 to 1."""

    value: float
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            if part is not None and not 0 <= part <= 1:
                raise HashprobeError(f"{name} must be from 0 to 1; got {part}")


@dataclass(frozen=True)
class Tried:
    """A step size that was tried on other queries."""

    step_size: float
    value: float
    """t-MAP of a targeted attack, MAP by own labels of one without a target."""
    bits: float | None = None
    """Bits still wrong for a query, or changed; it decides where values are equal."""


@dataclass(frozen=True)
class BoardRow:
    """One attack with one setting at one budget."""

    attack: str
    eps: str
    """Such as 8/255."""
    map_attacked: Number
    """MAP by own labels."""
    seconds: float
    """For each query."""
    passes: float
    """Forward and backward passes for each query."""
    setting: str = "default"
    """released, tuned, both where these are the same, or default (hashprobe's own attacks)."""
    step_size: float | None = None
    """In the attack's own unit; None where it takes none."""
    options: dict[str, Any] = field(default_factory=dict)
    """Those that are not the attack's defaults."""
    tried: list[Tried] = field(default_factory=list)
    """The step sizes of which the one of this row was chosen, on other queries."""
    knowledge: str = ""
    """Which target code, and what of the database it takes."""
    tmap: Number | None = None
    ceiling: Number | None = None
    floor: Number | None = None
    rmse: float | None = None
    """Root mean squared change of a value, of [0, 1]."""


@dataclass(frozen=True)
class BoardSuite:
    """The suite at one budget."""

    eps: str
    map_worst: Number
    standing: int
    """Queries that no attack felled."""
    flags: list[str] = field(default_factory=list)
    """Those that are raised."""
    seconds: float = 0.0
    """Of its attacks."""


@dataclass(frozen=True)
class Entry:
    """One victim on the leaderboard, as its YAML file holds it.

    Example:
        >>> [name for name in Entry.__dataclass_fields__][:3]
        ['format', 'victim', 'data']
    """

    format: int
    victim: str
    """What it is called."""
    data: str
    """The data set and its split; entries of one title are shown in one table."""
    data_sha256: str
    bits: int
    network: str
    loss: str
    weights_sha256: str
    """Of the weights' file, so that an entry is of one victim."""
    version: str
    """Of hashprobe."""
    machine: str
    queries: int
    seed: int
    map_clean: Number
    signature: str
    """Of MAP."""
    rows: list[BoardRow]
    suites: list[BoardSuite] = field(default_factory=list)
    defence: str = "none"
    tuning: int = 0
    """Other queries, on which step sizes were chosen."""
    precision: str = "float32"
    """Of the attacks' gradients; results are judged in float32."""
    trained: str = ""
    """The command that trained it."""
    measured: str = ""
    """The command that measured it."""
    by: str = "hashprobe"
    """Who measured it."""
    note: str = ""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise HashprobeError(f"format must be {FORMAT}; got {self.format}")
        for name in ("bits", "queries"):
            check_whole(name, getattr(self, name))


def read_entries(folder: Path) -> list[Entry]:
    """Every entry of a folder, checked."""
    found = [read_entry(path) for path in sorted(folder.glob("*.yaml"))]
    if not found:
        raise HashprobeError(
            f"{folder} holds no entry: name a run to measure, or the folder of the entries"
        )
    return found


def read_entry(path: Path) -> Entry:
    """One entry, checked."""
    content = parse_yaml(read_bytes(path), str(path))
    try:
        entry: Entry = as_record(content, Entry, closed=True)
    except HashprobeError as error:
        raise HashprobeError(f"{path} is no entry of the leaderboard: {error}") from error
    return entry


def write_entry(path: Path, entry: Entry) -> None:
    """Writes an entry; what is None is left out."""
    import yaml  # type: ignore[import-untyped]

    path.parent.mkdir(parents=True, exist_ok=True)
    content = without_nothing(asdict(entry))
    write_bytes(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode())


def without_nothing(value: Any) -> Any:
    """The same without entries that are None."""
    if isinstance(value, dict):
        return {k: without_nothing(v) for k, v in value.items() if v is not None}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


def file_name(entry: Entry) -> str:
    """Of data, victim and weights, so that no entry replaces that of another victim."""
    words = f"{entry.data} {entry.victim} {entry.weights_sha256[:8]}"
    plain = "".join(c if c.isalnum() or c in "-_" else " " for c in words)
    return "-".join(plain.split())
