"""MAP, t-MAP and precision over a database in parts, equal to those over the whole.

Counts by distance add up over parts, and all policies for ties but `stable` need nothing else. For
`stable`, counts of all parts say at which place of the whole ranking each part's items of a
distance begin, because equal distances stand in the order of the database. In a second pass each
part then adds the precision at its own hits. No list is ever held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels
from hashprobe.codes.sharded_codes import Slice
from hashprobe.crafting.executor import Executor, InProcess
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.average import average_of_counts, harmonic, normalised
from hashprobe.evaluation.code_shards import CodeShards
from hashprobe.evaluation.codefile import PRECISION_LENGTH, no_such_target
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.measures import mean_of_average
from hashprobe.evaluation.ranking import Counts, Ranking, group_hits


HERE = InProcess()
FIELD = MeasureOptions()
"""The options that most papers take."""
TABLE = 10_000_000
"""Longest list for which harmonic numbers are added up; beyond it they are computed one by one."""


@checked
def score_shards(
    shards: CodeShards, options: MeasureOptions = FIELD, *, executor: Executor = HERE
) -> dict[str, Measurement]:
    """Scores queries against a database in files; memory does not grow with it.

    Args:
        shards: the queries and where the database is; workers must reach the files, too.
        options: list length, normaliser, ties, empty queries, intervals.
        executor: who reads the parts of the database.

    Returns:
        As `score_codes`: `map`, `precision` and, with targets, `tmap`. Policies other than `stable`
        give the same numbers bit by bit, `stable` up to rounding of the last digits.

    Raises:
        HashprobeError: files that are damaged, a target label that no item has, or as
            `mean_average_precision`.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder, codes = Path(tempfile.mkdtemp()), np.array([[0], [1], [255]], np.uint8)
        >>> np.save(folder / "a.codes.npy", codes)
        >>> np.save(folder / "a.labels.npy", np.array([0, 1, 0]))
        >>> np.savez(folder / "queries.npz", query_codes=codes[:1], query_labels=[0], bits=8)
        >>> round(score_shards(CodeShards.open(folder))["map"].value, 4)
        0.8333
    """
    scores = {}
    for name, key in (("MAP", "map"), ("tMAP", "tmap")):
        labels = shards.query_labels if name == "MAP" else shards.target_labels
        if labels is None:
            continue
        task = Scoring(shards, labels, options)
        counts, hits = task.measure(executor)
        reachable = counts.relevant.any(axis=1)
        if name == "tMAP" and not reachable.all():
            raise no_such_target(labels, int(np.argmin(reachable)))
        scores[key] = task.average(name, counts, hits)
        if name == "MAP":
            scores["precision"] = task.precision(counts, hits)
    return scores


@dataclass(frozen=True, eq=False)
class Hits:
    """What the second pass knows of each query.

    Example:
        >>> one = np.zeros(1, np.int64)
        >>> Hits(np.zeros(1), one, one).found
        array([0])
    """

    sums: Float64[np.ndarray, " q"]
    """Sum of the precisions at the hits in the first T places."""
    found: Int64[np.ndarray, " q"]
    """Hits in the first T places."""
    first: Int64[np.ndarray, " q"]
    """Hits in the first N places."""


@dataclass(frozen=True, eq=False)
class Scoring:
    """Queries with the labels that they ask for, and how lists are scored.

    Example:
        >>> [field for field in Scoring.__dataclass_fields__]
        ['shards', 'labels', 'options']
    """

    shards: CodeShards
    labels: AnyLabels
    options: MeasureOptions

    @property
    def top(self) -> int:
        """T, the length of the list."""
        return self.options.length(len(self.shards))

    @property
    def short(self) -> int:
        """N of the precision."""
        return min(self.options.top or PRECISION_LENGTH, len(self.shards))

    def ranking(self, part: Slice) -> Ranking:
        """The queries and a part of the database."""
        codes, labels = self.shards.read(part)
        return Ranking(self.shards.query_codes, codes, self.labels, labels)

    def measure(self, executor: Executor) -> tuple[Counts, Hits | None]:
        """One or two passes over the database."""
        parts = list(self.shards.slices())
        total: list[Any] = [None] * len(parts)
        for number, found in executor.run(as_it_is, self, count_part, parts):
            total[number] = found
        counts = Counts(sum(one.total for one in total), sum(one.relevant for one in total))
        if self.options.order != "stable":
            return counts, None
        made: list[Any] = [None] * len(parts)
        tasks = self.begins(parts, total, counts)
        for number, found in executor.run(as_it_is, self, place_part, tasks):
            made[number] = found
        # Added in the order of the database, whoever was first.
        sums, found, first = (sum(column) for column in zip(*made, strict=True))
        return counts, Hits(sums, found, first)

    def begins(
        self, parts: list[Slice], total: list[Counts], counts: Counts
    ) -> Iterator[tuple[Slice, np.ndarray, np.ndarray]]:
        """Each part with the items, and the hits, before its first item of each distance."""
        place, hit = counts.nearer(counts.total), counts.nearer(counts.relevant)
        for part, own in zip(parts, total, strict=True):
            yield part, place.copy(), hit.copy()
            place, hit = place + own.total, hit + own.relevant

    def average(self, name: str, counts: Counts, hits: Hits | None) -> Measurement:
        """MAP or t-MAP; see `score_average_precision`."""
        values = average_of(counts, hits, self.top, self.options)
        return mean_of_average(name, values, len(self.shards), self.options, self.parts())

    def precision(self, counts: Counts, hits: Hits | None) -> Measurement:
        """P@N; see `score_precision`."""
        order, n = self.options.order, self.short
        if hits is not None:
            values = hits.first / n
        else:
            values = group_hits(counts, n, order).sum(axis=1).astype(np.float64) / n
        signature = sign(f"P@{n}", ties=order, **self.parts())
        return Measurement.of(values, signature, self.options.bootstrap)

    def parts(self) -> dict[str, object]:
        """The parts that end every signature, as `Ranking.parts` has them."""
        codes = self.shards.query_codes
        return {"rel": "any", "q": len(codes), "db": len(self.shards), "bits": codes.bits}


def as_it_is(given: Any) -> Any:
    """What a worker keeps: what it was given."""
    return given


def count_part(scoring: Scoring, part: Slice) -> Counts:
    """Counts of a part of the database by distance."""
    ranking = scoring.ranking(part)
    shape = len(scoring.labels), scoring.shards.query_codes.bits + 1
    total, relevant = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for rows, counts in ranking.each(ranking.counts, counted=True):
        total[rows], relevant[rows] = counts.total, counts.relevant
    return Counts(total, relevant)


def place_part(
    scoring: Scoring, task: tuple[Slice, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hits of a part of the database at their places in the whole ranking."""
    try:
        from hashprobe.evaluation.shard_kernels import add_hits
    except ImportError as error:
        raise HashprobeError(
            f"stable ties over a folder need numba, which cannot be loaded here ({error}): repair "
            "its installation, or choose --ties expected with --normaliser min or relevant"
        ) from error
    part, place, hit = task
    place, hit = np.array(place), np.array(hit)  # what a cluster hands over may not be written
    ranking, ends = scoring.ranking(part), np.array([scoring.top, scoring.short])
    queries = len(scoring.labels)
    sums, found, first = np.zeros(queries), np.zeros(queries, np.int64), np.zeros(queries, np.int64)

    def work(rows: slice) -> None:
        into = (sums[rows], found[rows], first[rows])
        add_hits(ranking.pairs_of(rows), (place[rows], hit[rows]), ends, into)

    for _ in ranking.each(work, counted=True):
        pass
    return sums, found, first


def average_of(
    counts: Counts, hits: Hits | None, top: int, options: MeasureOptions
) -> Float64[np.ndarray, " q"]:
    """AP of each query, NaN for an empty one; see `average_precision`."""
    if hits is None:
        return average_of_counts(counts, top, options, harmonics(top))
    return normalised(hits.sums, hits.found, counts.relevant.sum(axis=1), top, options)


class LongTable:
    """Harmonic numbers of any size, computed where they are looked up."""

    def __getitem__(self, index: Any) -> Any:
        from scipy.special import digamma  # type: ignore[import-untyped]

        return digamma(np.asarray(index, np.float64) + 1) + np.euler_gamma


def harmonics(top: int) -> Any:
    """Harmonic numbers H(0) .. H(T), as an array while that is small."""
    return harmonic(top) if top <= TABLE else LongTable()
