"""The leaderboard: a fixed protocol over victims and attacks, one YAML file a victim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hashprobe.attacks.registry import AttackSpec, attack_named
from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.report.board_page import Board, board_html, board_markdown
from hashprobe.storage.environment import environment
from hashprobe.storage.files import read_bytes, sha256_file, write_bytes
from hashprobe.storage.plain_yaml import parse_yaml
from hashprobe.storage.records import as_record
from hashprobe.types import Budget, Runtime
from hashprobe.victims.checkpoint import WEIGHTS
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import EncodedRun, open_run
from hashprobe.workflow.suite import SuiteResult, suite_run


FORMAT = 1
"""Of an entry."""
STEPS = 100
"""Passes per query that every iterative baseline gets, whatever its release takes."""
ATTACKS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("noise", {}),
    ("p2p", {"steps": STEPS, "step": "scaled"}),
    ("dhta", {"steps": STEPS, "step": "scaled"}),
    ("tha", {"steps": STEPS}),
    ("mainstay-targeted", {"steps": STEPS}),
    ("sdha-targeted", {"steps": STEPS}),
    ("pta", {"steps": STEPS}),
    ("feature", {"steps": STEPS}),
    ("bit-margin", {"steps": STEPS}),
    ("reach", {"steps": STEPS}),
    ("hag", {"steps": STEPS}),
    ("sdha", {"steps": STEPS}),
    ("cgat", {"steps": STEPS}),
    ("mainstay", {"steps": STEPS}),
    ("pta-untargeted", {"steps": STEPS}),
    ("worst-code", {"steps": STEPS}),
)
"""What every victim meets, at an equal budget of passes."""
PROTOCOLS: dict[str, tuple[int | None, tuple[int, ...]]] = {"cifar10-2": (1000, (2, 8))}
"""List length and budgets in 255ths by data set; other data: the whole list, 4/255."""


@dataclass(frozen=True)
class Number:
    """A mean with its interval."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class BoardRow:
    """One attack at one budget."""

    attack: str
    eps: str
    """Such as 8/255."""
    map_attacked: Number
    """MAP by own labels."""
    seconds: float
    """For each query."""
    passes: float
    """Forward and backward passes for each query."""
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
    """The data set and its split."""
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
    by: str = "hashprobe"
    """Who measured it."""
    note: str = ""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise HashprobeError(f"format must be {FORMAT}; got {self.format}")


@checked
def leaderboard(
    entries: Path,
    runs: Sequence[Path] = (),
    *,
    out: Path | None = None,
    queries: int = 100,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Board:
    """Measures runs by the fixed protocol, one entry a run, and renders all entries.

    What is finished is kept in each run: the same call goes on where it was stopped. A victim that
    is measured again keeps `by` and `note` of its entry.

    Args:
        entries: folder of the entries, one YAML file a victim; new ones are written there.
        runs: encoded runs to measure.
        out: folder for leaderboard.md and sortable.html; None for that above the entries.
        queries: drawn for each victim; 100 by the protocol, and the pages say how many.
        seed: of queries and targets; 0 by the protocol.
        runtime: device, precision, batch size, who is told.

    Returns:
        All entries, in the order of the pages.

    Raises:
        HashprobeError: a run that is not encoded, an entry that is damaged, or no entry at all.

    Example:
        >>> import tempfile
        >>> leaderboard(Path(tempfile.mkdtemp()))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... holds no entry: name a run to measure, or ...
    """
    for path in runs:
        entry = measured(open_run(path), queries, seed, runtime)
        file = entries / f"{file_name(entry)}.yaml"
        if file.is_file():
            before = read_entry(file)
            entry = replace(entry, by=before.by, note=before.note)
        write_entry(file, entry)
        runtime.progress.log(f"{entry.victim}: {file}")
    board = Board(tuple(read_entries(entries)))
    folder = entries.parent if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / "leaderboard.md", board_markdown(board).encode())
    write_bytes(folder / "sortable.html", board_html(board).encode())
    return board


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
    """Writes an entry; what is empty is left out."""
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
    words = f"{entry.data}-{entry.victim}-{entry.weights_sha256[:8]}"
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in words)


def measured(run: EncodedRun, queries: int, seed: int, runtime: Runtime) -> Entry:
    """A run's entry: every attack and the suite at every budget of its protocol."""
    top, budgets = PROTOCOLS.get(run.data.name, (None, (4,)))
    protocol = Protocol(queries=min(queries, len(run.query)), seed=seed, top=top)
    rows, suites = [], []
    clean: Measurement | None = None
    for eps in budgets:
        for name, options in ATTACKS:
            spec = AttackSpec(name, attack_named(name).options(**options), Budget(eps / 255))
            folder = f"board-{name}-{eps}of255-{protocol.queries}-seed{seed}"
            # What an earlier version of an attack left there is attacked anew.
            done = attack_run(
                run, spec, protocol=protocol, name=folder, runtime=runtime, overwrite=True
            )
            clean = done.map_clean
            rows.append(row_of(run, name, eps, folder, done, protocol.knowledge(spec.options)))
        found = suite_run(
            run.run.path, budget=Budget(eps / 255), protocol=protocol, runtime=runtime
        )
        suites.append(suite_of(found, eps))
    assert clean is not None
    config = run.run.config
    network, training = config.get("network", {}), config.get("train", {})
    here = environment()
    return Entry(
        format=FORMAT,
        victim=run.run.path.name,
        data=run.data.name,
        data_sha256=run.data.checksum,
        bits=run.hasher.bits,
        network=str(network.get("backbone", "?")),
        loss=str(training.get("loss", "?")),
        weights_sha256=sha256_file(run.run.path / "model" / WEIGHTS),
        version=version("hashprobe"),
        machine=f"{here['platform']}, {here['cpus']} cores",
        queries=protocol.queries,
        seed=seed,
        map_clean=number(clean),
        signature=clean.signature,
        rows=rows,
        suites=suites,
        defence=str((config.get("defence") or {}).get("name", "none")),
    )


def row_of(
    run: EncodedRun, name: str, eps: int, folder: str, done: Any, knowledge: str | None
) -> BoardRow:
    """One attack's numbers."""
    from hashprobe.storage.schema import AttackRecord

    cost = AttackRecord.read(run.run.path / "attacks" / folder).cost  # type: ignore[union-attr]
    targeted = attack_named(name).goal == "targeted"
    assert cost is not None
    # PTA and the attacks away from a label need the database though they aim at no code.
    level = knowledge or ("database.L2" if "database" in attack_named(name).needs else "")
    seen = done.perceptibility
    return BoardRow(
        attack=name,
        eps=f"{eps}/255",
        map_attacked=number(done.map_attacked),
        seconds=round(cost.seconds / len(done.map_attacked.per_query), 4),
        passes=round(cost.forwards + cost.backwards, 1),
        knowledge=level or ("vote.L0" if targeted else ""),
        tmap=number(done.achieved) if targeted else None,
        ceiling=number(done.ceiling) if targeted else None,
        floor=number(done.floor) if targeted else None,
        rmse=None if seen is None else round(float(seen.rmse), 6),
    )


def suite_of(found: SuiteResult, eps: int) -> BoardSuite:
    """The suite's numbers."""
    flags = [flag.name for flag in found.raised]
    worst = number(found.worst)
    seconds = round(sum(member.seconds for member in found.members), 1)
    return BoardSuite(f"{eps}/255", worst, found.standing, flags, seconds)


def number(found: Measurement) -> Number:
    """A measurement with four digits."""
    low, high = (None if end is None else round(float(end), 4) for end in (found.low, found.high))
    return Number(round(float(found.value), 4), low, high)
