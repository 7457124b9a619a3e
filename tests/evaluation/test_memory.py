"""Working memory must depend on the database alone: no array of queries by items ever exists."""

import tracemalloc

import numpy as np
import pytest

from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation import ranking
from hashprobe.evaluation.curves import (
    precision_at,
    precision_recall_curve,
    precision_within_radius,
)
from hashprobe.evaluation.measurement import Bootstrap
from hashprobe.evaluation.measures import mean_average_precision


ITEMS, BITS = 20_000, 32


def side(n, seed):
    random = np.random.default_rng(seed)
    data = random.integers(0, 256, size=(n, BITS // 8), dtype=np.uint8)
    return PackedCodes(data, BITS), as_labels(random.integers(10, size=n), 10)


def average_precision(ties):
    normaliser = "min" if ties == "expected" else "hits"
    options = {"ties": ties, "normaliser": normaliser, "bootstrap": Bootstrap(resamples=10)}
    return lambda *arrays: mean_average_precision(*arrays, top=500, **options)


@pytest.mark.parametrize(
    "measure",
    [
        average_precision("stable"),
        average_precision("expected"),
        average_precision("worst"),
        lambda *arrays: precision_at(100, *arrays),
        precision_within_radius,
        precision_recall_curve,
    ],
    ids=["stable", "expected", "worst", "precision", "radius", "pr"],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_peak_does_not_grow_with_the_queries(measure, threads, monkeypatch):
    monkeypatch.setattr(ranking, "cores", lambda: threads)
    database, labels = side(ITEMS, 0)
    peaks = []
    for queries in (100, 1000):
        codes, own = side(queries, 1)
        tracemalloc.start()
        try:
            measure(codes, database, own, labels)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    results = 1000 * 8 * 6
    # Whether two threads are at their peaks at the same time is a matter of chance.
    assert peaks[1] < 1.05 * threads * peaks[0] + results
    assert peaks[1] < 1000 * ITEMS  # not even one byte a query and item
