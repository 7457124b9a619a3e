"""The full page of one attack from arrays alone, without a run folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import numpy as np

from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.index import FlatIndex, Found
from hashprobe.codes.labelled import Codes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.report.content import Curve, Example, Picture, ReportData, Retrieved
from hashprobe.report.page import write_report
from hashprobe.report.rows import UNTOUCHED, attack_row, budget_text, curves_of, untouched_rows
from hashprobe.storage.environment import environment, hashprobe_version
from hashprobe.types import check_whole
from hashprobe.workflow.examples import SHOWN, choice, frames_of, names, result_frames
from hashprobe.workflow.report_step import environment_facts
from hashprobe.workflow.results import kind_of, title_of


def write_quick_report(
    path: str | PurePath,
    *,
    evaluation: Evaluation,
    queries: Codes,
    attacked: Codes,
    database: Codes,
    spec: AttackSpec,
    title: str = "",
    label_names: Sequence[str] = (),
    lengths: Any = None,
    examples: int = 8,
) -> int:
    """Writes the page of one attack: table, curves and pictures, as one HTML file.

    Args:
        path: the file to make or replace.
        evaluation: how the attack was measured; cells of parts that are None stay empty.
        queries: Q untouched queries: codes, their own labels (or None), and as pictures their
            pixels, (Q, 3, H, W) or (Q, T, 3, H, W), uint8 or floating in [0, 1].
        attacked: the same queries after the attack; its labels are the target labels, or None.
        database: what was searched; without pictures the examples show no results.
        spec: which attack, and in which budget.
        title: the heading of the page; by default from attack and code length.
        label_names: C names; by default the numbers 0 to C - 1.
        lengths: (Q,) frames of each query where these are clips, an array or a tensor; None where
            all have T.
        examples: queries shown with their results before and after, at least 0.

    Returns:
        The size of the file in bytes.

    Raises:
        HashprobeError: parts of different lengths, codes of different lengths, pictures of another
            kind, or the disk refuses.

    Example:
        >>> import tempfile
        >>> from hashprobe.evaluation.outcome import AttackCodes
        >>> from hashprobe.evaluation.scoring import evaluate_attack
        >>> database = Codes.of([[0] * 8, [1] * 8], [0, 1])
        >>> codes, labels, grey = database.packed, database.labels, np.full((1, 3, 8, 8), 100)
        >>> attack = AttackCodes(query=codes[:1], attacked=codes[1:], target=codes[1:])
        >>> done = evaluate_attack(attack, database, query_labels=[0], target_labels=[1])
        >>> write_quick_report(
        ...     tempfile.mkdtemp() + "/report.html", evaluation=done, spec=AttackSpec("dhta"),
        ...     queries=Codes(codes[:1], labels[:1], np.uint8(grey)),
        ...     attacked=Codes(codes[1:], labels[1:], np.uint8(grey + 8)),
        ...     database=database) > 10_000
        True
    """
    check_whole("examples", examples, least=0)
    if len(queries) != len(attacked):
        raise HashprobeError(f"{len(attacked)} attacked queries for {len(queries)} queries")
    name, budget = title_of(spec.name), budget_text(spec.budget)
    row = attack_row(name, kind_of(spec.name), budget, evaluation)
    frames = None if lengths is None else [int(length) for length in lengths]
    shown = Pictures(queries, attacked, database, tuple(label_names), frames)
    examples_shown = shown.examples(min(examples, len(queries)), f"{name} at {budget}")
    pr, precision = curves(name, queries, attacked, database)
    page = ReportData(
        title=title or f"hashprobe: {name} on codes of {database.bits} bits",
        facts=(
            ("Code", f"{database.bits} bits"),
            ("Queries", f"{len(queries):,}"),
            ("Database", f"{len(database):,}"),
            ("Budget", str(spec.budget)),
        ),
        bits=database.bits,
        rows=(*untouched_rows([evaluation]), row),
        pr_curves=pr,
        precision_curves=precision,
        examples=examples_shown,
        choice=choice(len(examples_shown), int(shown.clips)) if examples_shown else "",
        environment=environment_facts(environment()),
        version=hashprobe_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return write_report(page, path)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures behind codes, and what is known of their labels."""

    queries: Codes
    attacked: Codes
    database: Codes
    label_names: tuple[str, ...]
    lengths: list[int] | None

    @property
    def clips(self) -> bool:
        """Whether the queries are clips."""
        return self.queries.pictures is not None and len(self.queries.pictures.shape) == 5

    def examples(self, count: int, note: str) -> tuple[Example, ...]:
        """The first queries with their results; none where their pixels are not known."""
        if not count or self.queries.pictures is None or self.attacked.pictures is None:
            return ()
        results: list[Found] = []
        if self.database.pictures is not None:
            index = FlatIndex(self.database.bits)
            index.add(self.database.packed)
            k = min(SHOWN, len(self.database))
            results = [index.search(c.packed[:count], k) for c in (self.queries, self.attacked)]
        return tuple(self.example(row, note, results) for row in range(count))

    def example(self, row: int, note: str, results: list[Found]) -> Example:
        """One query before and after the attack."""
        clean, after = as_bytes(self.queries.pictures[row]), as_bytes(self.attacked.pictures[row])
        frames: tuple[int, ...] = ()
        if self.clips:
            length = len(clean) if self.lengths is None else self.lengths[row]
            clean, after = clean[:length], after[:length]
            changed = np.flatnonzero((clean != after).any(axis=(1, 2, 3))) + 1
            frames = frames_of(length, changed.tolist())
            clean, after = (part[[n - 1 for n in frames]] for part in (clean, after))
        own, target = (labels_of(codes, row) for codes in (self.queries, self.attacked))
        lists = [self.found(one, row, own, target) for one in results] or [(), ()]
        return Example(
            query=str(row),
            labels=self.named(own),
            targets=self.named(target),
            image=clean,
            adversarial=after,
            before=lists[0],
            after=lists[1],
            frames=frames,
            note=note,
        )

    def found(
        self, results: Found, row: int, own: np.ndarray, target: np.ndarray
    ) -> tuple[Retrieved, ...]:
        """The results of one query."""
        distances, places = results
        return tuple(
            self.retrieved(int(place), int(distance), own, target)
            for distance, place in zip(distances[row], places[row], strict=True)
        )

    def retrieved(
        self, place: int, distance: int, own: np.ndarray, target: np.ndarray
    ) -> Retrieved:
        """One search result with its picture."""
        image = as_bytes(self.database.pictures[place])
        if image.ndim == 4:
            image = image[[n - 1 for n in result_frames(len(image))]]
        labels = labels_of(self.database, place)
        return Retrieved(
            image,
            self.named(labels),
            distance,
            own=share(labels, own),
            target=share(labels, target),
        )

    def named(self, labels: np.ndarray) -> tuple[str, ...]:
        """The names of a label vector."""
        return names(self.label_names or tuple(map(str, range(len(labels)))), labels)


def labels_of(codes: Codes, row: int) -> np.ndarray:
    """The label vector of one item; empty where labels are not known."""
    return np.zeros(0, bool) if codes.labels is None else np.asarray(codes.labels[row], bool)


def share(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two label vectors share a label; never where one is not known."""
    return len(one) == len(other) and bool((one & other).any())


def as_bytes(pixels: Any) -> Picture:
    """Pixels of an array or a tensor, as uint8 in 0..255."""
    array = np.asarray(pixels.detach().cpu() if hasattr(pixels, "detach") else pixels)
    if array.dtype != np.uint8:
        array = np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
    return array


def curves(
    name: str, queries: Codes, attacked: Codes, database: Codes
) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Curves by the target labels, or by the queries' own labels where there is no target."""
    right = queries.labels if attacked.labels is None else attacked.labels
    if right is None or database.labels is None:
        return (), ()
    sets = [(UNTOUCHED, queries.packed, right), (name, attacked.packed, right)]
    return curves_of(sets, database.packed, database.labels)
