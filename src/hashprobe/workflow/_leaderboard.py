"""The leaderboard: a fixed protocol over victims and attacks, one YAML file a victim."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hashprobe.attacks.registry import AttackSpec, attack_named
from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.report.board_page import Board, board_html, board_markdown
from hashprobe.storage.environment import environment
from hashprobe.storage.files import sha256_file, write_bytes
from hashprobe.storage.schema import AttackRecord
from hashprobe.types import Budget, Runtime, check_whole
from hashprobe.victims.checkpoint import WEIGHTS
from hashprobe.workflow import board_protocol
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.board_entry import (
    FORMAT,
    BoardRow,
    BoardSuite,
    Entry,
    Number,
    Tried,
    file_name,
    read_entries,
    read_entry,
    write_entry,
)
from hashprobe.workflow.board_protocol import (
    Setting,
    first_tried,
    own,
    protocol_of,
    released,
    row_folder,
    step_size,
)
from hashprobe.workflow.commands import flags, made_by
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.replaced import drop
from hashprobe.workflow.run_io import EncodedRun, open_run
from hashprobe.workflow.step_tuning import Tuner, other_rows
from hashprobe.workflow.suite import SuiteResult, suite_run


QUERIES, TUNING = 100, 10
"""Queries of the protocol that are measured, and others on which step sizes are chosen."""


@checked
def leaderboard(
    entries: Path,
    runs: Sequence[Path] = (),
    *,
    out: Path | None = None,
    queries: int = QUERIES,
    tuning: int = TUNING,
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
        tuning: other queries of each victim, on which the step sizes of baselines are chosen; 10
            by the protocol.
        seed: of queries and targets; 0 by the protocol.
        runtime: device, precision, batch size, executor, who is told.

    Returns:
        All entries, in the order of the pages.

    Raises:
        HashprobeError: a run that is not encoded or does not fit the protocol of its data, too few
            queries, an entry that is damaged, or no entry at all.

    Example:
        >>> import tempfile
        >>> leaderboard(Path(tempfile.mkdtemp()))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... holds no entry: name a run to measure, or ...
    """
    # What does not fit is refused before anything is measured.
    cases = [Case.of(open_run(path), queries, tuning, seed, runtime) for path in runs]
    for case in cases:
        entry = measured(case)
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


@dataclass(frozen=True, eq=False)
class Case:
    """A run, and by which queries it is measured."""

    run: EncodedRun
    protocol: Protocol
    tuner: Tuner
    runtime: Runtime

    @classmethod
    def of(cls, run: EncodedRun, queries: int, tuning: int, seed: int, runtime: Runtime) -> Case:
        """The case of a run; small data give all queries that are not kept for tuning."""
        check_whole("tuning", tuning)
        available = len(run.query)
        if tuning >= available:
            raise HashprobeError(
                f"tuning must be from 1 to {available - 1}, fewer than the queries of "
                f"{run.run.path}; got {tuning}"
            )
        asked = min(queries, available - tuning)
        protocol = Protocol(queries=asked, seed=seed, top=protocol_of(run).top)
        others = other_rows(available, draw_queries(available, protocol), tuning, seed)
        return cls(run, protocol, Tuner(run, protocol, others, runtime), runtime)


def measured(case: Case) -> Entry:
    """A run's entry: every attack and the suite at every budget of its protocol."""
    run, protocol, runtime = case.run, case.protocol, case.runtime
    rows, suites = [], []
    clean: Measurement | None = None
    for eps in protocol_of(run).eps:
        for attack in (*board_protocol.OWN, *board_protocol.BASELINES):
            for row, done in rows_of(case, attack, eps):
                rows.append(row)
                clean = done.map_clean
        found = suite_run(
            run.run.path, budget=Budget(eps / 255), protocol=protocol, runtime=runtime
        )
        suites.append(suite_of(found, eps))
    assert clean is not None
    config = run.run.config
    here = environment()
    return Entry(
        format=FORMAT,
        victim=run.run.path.name,
        data=protocol_of(run).title,
        data_sha256=run.data.checksum,
        bits=run.hasher.bits,
        network=str(config.get("network", {}).get("backbone", "?")),
        loss=str(config.get("train", {}).get("loss", "?")),
        weights_sha256=sha256_file(run.run.path / "model" / WEIGHTS),
        version=version("hashprobe"),
        machine=f"{here['platform']}, {here['cpus']} cores",
        queries=protocol.queries,
        seed=protocol.seed,
        map_clean=number(clean),
        signature=clean.signature,
        rows=rows,
        suites=suites,
        defence=str((config.get("defence") or {}).get("name", "none")),
        tuning=len(case.tuner.rows),
        precision=str(runtime.precision),
        trained=made_by(run.run, board_protocol.last_two),
        measured=measured_by(case),
    )


def measured_by(case: Case) -> str:
    """The command behind an entry."""
    given = {
        "queries": case.protocol.queries,
        "tuning": len(case.tuner.rows),
        "seed": case.protocol.seed,
        "precision": case.runtime.precision,
    }
    usual = {"queries": QUERIES, "tuning": TUNING, "seed": 0, "precision": "float32"}
    words = ["hashprobe", "leaderboard", case.run.run.path.name, "--entries", "leaderboard"]
    return shlex.join([*words, *flags(given, usual)])


def rows_of(case: Case, attack: str, eps: int) -> list[tuple[BoardRow, Evaluation]]:
    """The rows of one attack at one budget; one where the tuned setting is the released one."""
    if attack in board_protocol.OWN:
        return [row_of(case, own(attack), eps)]
    setting, tried = tuned(case, first_tried(attack, Budget(eps / 255)), eps)
    row, done = row_of(case, released(attack), eps)
    if setting.options == released(attack).options:
        # What an earlier call chose otherwise would be taken for the tuned attack.
        drop(case.run.run.path / "attacks" / row_folder(setting, eps, case.protocol))
        return [(replace(row, setting="both", tried=tried), done)]
    best, seen = row_of(case, setting, eps)
    return [(row, done), (replace(best, tried=tried), seen)]


def tuned(case: Case, first: Setting, eps: int) -> tuple[Setting, list[Tried]]:
    """A baseline with the step size that is the strongest on other queries, and what was tried."""
    spec = AttackSpec(first.attack, first.options, Budget(eps / 255), case.protocol.seed)
    folder = f"{row_folder(first, eps, case.protocol)}-{len(case.tuner.rows)}"
    best, found = case.tuner.best(spec, folder)
    tried = [
        Tried(short(each.spec.options.step_size), short(each.value), short(each.bits))
        for each in found
    ]
    return replace(first, options=best.options), tried


def row_of(case: Case, setting: Setting, eps: int) -> tuple[BoardRow, Evaluation]:
    """One attack, measured and kept in the run."""
    run, protocol, name = case.run, case.protocol, setting.attack
    spec = AttackSpec(name, setting.options, Budget(eps / 255))
    folder = row_folder(setting, eps, protocol)
    # What an earlier version of an attack left there is attacked anew.
    done = attack_run(
        run, spec, protocol=protocol, name=folder, runtime=case.runtime, overwrite=True
    )
    cost = AttackRecord.read(run.run.path / "attacks" / folder).cost  # type: ignore[union-attr]
    assert cost is not None
    targeted = attack_named(name).goal == "targeted"
    seen, queries = done.perceptibility, protocol.queries
    usual = vars(attack_named(name).options())
    row = BoardRow(
        attack=name,
        eps=f"{eps}/255",
        map_attacked=number(done.map_attacked),
        seconds=round(cost.seconds / queries, 4),
        passes=round(cost.forwards + cost.backwards, 1),
        setting=setting.name,
        step_size=short(step_size(spec.options, spec.budget)),
        options={k: v for k, v in vars(spec.options).items() if v != usual[k]},
        knowledge=protocol.level(spec.attack, spec.options),
        tmap=number(done.achieved) if targeted else None,
        ceiling=number(done.ceiling) if targeted else None,
        floor=number(done.floor) if targeted else None,
        rmse=None if seen is None else round(float(seen.rmse), 6),
    )
    return row, done


def suite_of(found: SuiteResult, eps: int) -> BoardSuite:
    """The suite's numbers."""
    flags = [flag.name for flag in found.raised]
    worst = number(found.worst)
    seconds = round(sum(member.seconds for member in found.members), 1)
    return BoardSuite(f"{eps}/255", worst, found.standing, flags, seconds)


def short(value: Any) -> Any:
    """A number with four significant digits; None stays None."""
    return None if value is None else float(f"{float(value):.4g}")


def number(found: Any) -> Number:
    """A measurement with four digits after the point."""
    low, high = (None if end is None else round(float(end), 4) for end in (found.low, found.high))
    return Number(round(float(found.value), 4), low, high)
