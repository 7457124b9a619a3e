"""One HTML page about a run."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.ranking import Ranking
from hashprobe.progress import Progress, Silent
from hashprobe.report.content import AttackRow, Curve, ReportData
from hashprobe.report.markdown import markdown_table
from hashprobe.report.page import write_report
from hashprobe.report.rows import (
    UNTOUCHED,
    attack_row,
    budget_text,
    curves_of,
    untouched_rows,
)
from hashprobe.storage.environment import Environment
from hashprobe.storage.guards import OWN_PARTS, resolved
from hashprobe.storage.records import as_record, read_record
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import RECORD
from hashprobe.types import Labels, check_whole
from hashprobe.victims.checkpoint import ModelCard
from hashprobe.workflow.commands import commands_of
from hashprobe.workflow.examples import choice, make_examples
from hashprobe.workflow.exclusions import measured_without, training_items
from hashprobe.workflow.results import Finished, finished_attacks
from hashprobe.workflow.run_io import (
    Encoded,
    EncodedRun,
    check_codes,
    load_codes,
    open_run,
    reopen,
)


PACKAGES = ("torch", "faiss-cpu", "numpy")
"""Packages whose versions a page names."""


def report_run(
    path: Path,
    *,
    out: Path | None = None,
    examples: int = 8,
    attack: str | None = None,
    commands: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
    exclude_voters: bool = False,
    exclude_training: bool = False,
    progress: Progress = Silent(),  # noqa: B008
) -> Path:
    """Writes the page of a run: table, curves and pictures.

    Args:
        path: the run folder.
        out: the page; by default report.html in the run folder.
        examples: queries shown with their results before and after.
        attack: folder name of the attack that the examples and curves are of; by default the one
            with the highest t-MAP.
        commands: what to type to get this page again; by default derived from the run.
        notes: sentences that a reader needs beside the numbers.
        exclude_voters: whether every attack is measured again without the items that voted.
        exclude_training: whether it is measured again without the training items.
        progress: who is told what happens.

    Returns:
        The path of the page.

    Raises:
        HashprobeError: the run is not encoded, no attack on it is finished, or not this one.

    Example:
        >>> import tempfile
        >>> from hashprobe.attacks.registry import AttackSpec
        >>> from hashprobe.workflow.attack_step import attack_run
        >>> from hashprobe.workflow.encode_step import encode_run
        >>> from hashprobe.workflow.train_step import Network, train_run
        >>> from hashprobe.data.datasets.registry import DataOptions
        >>> from hashprobe.training.options import TrainOptions
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> clean = encode_run(folder)
        >>> noisy = attack_run(folder, AttackSpec("noise"))
        >>> report_run(folder, examples=2).name
        'report.html'
    """
    check_whole("examples", examples, least=0)
    run = Run.open(path)
    where = page_place(run, out)
    query, database = load_codes(run, "query"), load_codes(run, "database")
    attacks = finished_attacks(run)
    data, hasher, card = reopen(run)
    victim = EncodedRun(run, data, hasher, query, database)
    check_codes(run, victim)
    if exclude_voters or exclude_training:
        attacks = without(attacks, victim, exclude_voters, exclude_training)
    shown = choose(attacks, attack, path)
    with progress.bar("searching for the examples") as tick:
        pictures = make_examples(shown, examples, data, hasher, database)
        tick(1, 1)
    page = page_of(victim, card, attacks, shown)
    page = replace(
        page,
        examples=pictures,
        choice=choice(len(pictures), card.contract.frames) if pictures else "",
        commands=commands or tuple(commands_of(path, run, attacks)),
        notes=notes,
    )
    write_report(page, where)
    return where


def page_of(
    victim: EncodedRun, card: ModelCard, attacks: list[Finished], shown: Finished
) -> ReportData:
    """The page of a run without its pictures: facts, table, and the curves of one attack's like."""
    run, data, database = victim.run, victim.data, victim.database
    pr, precision = curves([f for f in attacks if comparable(f, shown)], database)
    return ReportData(
        title=f"hashprobe: {card.backbone} on {data.name}, {card.bits} bits",
        facts=facts(card, data),
        bits=card.bits,
        clean=clean_map(victim, shown),
        findings=tuple(str(finding) for finding in data.findings if not finding.harmless),
        rows=tuple(table(attacks)),
        pr_curves=pr,
        precision_curves=precision,
        environment=environment_facts(read_record(run.path / "environment.json", Environment)),
        by_design=tuple(str(finding) for finding in data.findings if finding.harmless),
        version=run.version,
        created=run.created,
    )


def clean_map(victim: EncodedRun, shown: Finished) -> Measurement:
    """MAP of all encoded queries, measured as an attack was."""
    query, database = victim.query, victim.database
    protocol = shown.record.protocol or {}
    training = None
    if protocol.get("exclude_training"):
        training = Exclusion(training=training_items(victim.data, database.positions))
    ranking = Ranking(
        query.codes, database.codes, query.labels, database.labels, exclusion=training
    )
    return score_average_precision("MAP", ranking, measures_of(shown))


def without(
    attacks: list[Finished], victim: EncodedRun, voters: bool, training: bool
) -> list[Finished]:
    """Every attack, measured again without some database items."""
    return [measured_without(one, victim, voters=voters, training=training) for one in attacks]


def page_place(run: Run, out: Path | None) -> Path:
    """Where the page goes: report.html of the run, or any path that is no part of the run."""
    if out is None:
        return run.path / "report.html"
    whole, place = resolved(run.path), resolved(out.parent) / out.name
    inside = place.relative_to(whole).parts if place.is_relative_to(whole) else ()
    if inside and inside[0] in OWN_PARTS - {"report.html"}:
        raise HashprobeError(f"{out} is a part of the run: choose another place for the page")
    return out


def report_table(
    path: Path, *, exclude_voters: bool = False, exclude_training: bool = False
) -> str:
    """The table of a run's attacks as Markdown; opens neither pictures nor network for it.

    Args:
        path: the run folder.
        exclude_voters: whether every attack is measured again without the items that voted, for
            which the run is opened.
        exclude_training: whether it is measured again without the training items.

    Raises:
        HashprobeError: no attack on it is finished.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = Run.create(folder, {})
        >>> report_table(folder)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: ... has no finished attack to report: run hashprobe ...
    """
    attacks = finished_attacks(Run.open(path))
    choose(attacks, None, path)
    if exclude_voters or exclude_training:
        attacks = without(attacks, open_run(path), exclude_voters, exclude_training)
    return markdown_table(table(attacks))


def measures_of(finished: Finished) -> MeasureOptions:
    """How MAP and t-MAP of a finished attack were computed."""
    protocol = finished.record.protocol or {}
    names = ("top", "normaliser", "ties", "empty")
    missing = next((name for name in names if name not in protocol), None)
    if missing:
        path = finished.folder / RECORD
        raise HashprobeError(f"{path} is damaged: protocol.{missing} is missing")
    given = {name: protocol[name] for name in names}
    options: MeasureOptions = as_record(given, MeasureOptions, "protocol")
    return options


def choose(attacks: list[Finished], name: str | None, path: Path) -> Finished:
    """The attack that the pictures are of: that of a name, or the strongest."""
    if not attacks:
        raise HashprobeError(f"{path} has no finished attack to report: run hashprobe attack first")
    if name is not None:
        for finished in attacks:
            if finished.name == name:
                return finished
        known = ", ".join(f.name for f in attacks)
        raise HashprobeError(f"{path} has no finished attack {name!r}: there are {known}")
    return max(attacks, key=strength)


def strength(finished: Finished) -> tuple[bool, bool, float]:
    """What attacks are compared by: noise comes last, then t-MAP decides, or a low MAP."""
    result = finished.evaluation
    targeted = result.achieved is not None
    measured = result.achieved if targeted else result.map_attacked
    value = 0.0 if measured is None else measured.value
    return finished.kind != "noise", targeted, value if targeted else -value


def comparable(one: Finished, other: Finished) -> bool:
    """Whether two attacks had the same budget, queries, targets and measures.

    What is also judged after a codec plays no part: curves are of the pixels before it.
    """

    def asked(finished: Finished) -> dict[str, Any]:
        protocol = finished.record.protocol or {}
        return {name: value for name, value in protocol.items() if name not in ("codec", "crf")}

    return one.budget == other.budget and asked(one) == asked(other)


def table(attacks: list[Finished]) -> list[AttackRow]:
    """The untouched queries, then every attack."""
    rows = [
        attack_row(f.title, f.kind, budget_text(f.budget), f.evaluation, f.record.cost)
        for f in attacks
    ]
    return [*untouched_rows(f.evaluation for f in attacks), *rows]


def curves(
    attacks: list[Finished], database: Encoded
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """The curves of comparable attacks by their target labels; none without target labels."""
    sets: list[tuple[str, PackedCodes, Labels]] = []
    names = [finished.attack for finished in attacks]
    for finished in attacks:
        attacked = AttackResult.load(finished.folder)
        if attacked.target_labels is None:
            continue
        title = finished.title
        if names.count(finished.attack) > 1:
            title += f" ({finished.name})"
        if not sets:
            sets.append((UNTOUCHED, attacked.clean_codes, attacked.target_labels))
        sets.append((title, attacked.codes, attacked.target_labels))
    return curves_of(sets, database.codes, database.labels)


def facts(card: ModelCard, data: RetrievalData) -> tuple[tuple[str, str], ...]:
    """The network and the data in short."""
    sizes = ", ".join(f"{len(split):,} {role}" for role, split in data.splits().items())
    training = card.training
    return (
        ("Network", f"{card.backbone}, {card.contract.size}x{card.contract.size} pixels"),
        ("Code", f"{card.bits} bits"),
        ("Training", f"{training.get('loss')}, {training.get('epochs')} epochs"),
        ("Data", f"{data.name}: {sizes}"),
        ("Labels", f"{len(data.label_names)}"),
        ("Data checksum", data.checksum[:16]),
    )


def environment_facts(content: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Python, platform and versions out of an environment, as a page shows them."""
    packages = content.get("packages", {})
    pairs = [("Python", content.get("python")), ("Platform", content.get("platform"))]
    pairs += [(name, packages.get(name)) for name in PACKAGES]
    return tuple((name, str(value)) for name, value in pairs if value)
