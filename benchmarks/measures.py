"""MAP of 5,000 queries before 130,000 codes: hashprobe, numpy, the released way, torchmetrics.

Time is processor time of all threads, so that a busy machine does not count.

python benchmarks/measures.py           # a tenth of the queries
python benchmarks/measures.py --full    # all of them, and 1 and 10 million codes
"""

import multiprocessing
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from common import Results, arguments, median

from hashprobe.codes.index import FlatIndex
from hashprobe.codes.labels import as_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.bootstrap import Bootstrap
from hashprobe.evaluation.measures import mean_average_precision


TOP = 5000
FEW = Bootstrap(resamples=10)


def problem(queries: int, items: int, bits: int, classes: int, multi: bool) -> list[Any]:
    """Codes scattered about the centres of their labels; classes, or two labels of 80 an item."""
    rng = np.random.default_rng(0)
    centres = rng.choice(np.array([-1, 1], np.int8), (classes, bits))
    codes, labels = [], []
    for count in (queries, items):
        own = rng.integers(classes, size=(count, 2 if multi else 1))
        parts = []
        for start in range(0, count, 1 << 18):
            some = own[start : start + (1 << 18)]
            noise = rng.random((len(some), bits), np.float32) < 0.2
            base = centres[some].sum(1) + centres[some[:, 0]]
            parts.append(np.packbits((base > 0) ^ noise, axis=1))
        codes.append(PackedCodes(np.concatenate(parts), bits))
        hot = np.zeros((count, classes), bool)
        if multi:
            hot[np.arange(count)[:, None], own] = True
        labels.append(hot if multi else own[:, 0].astype(np.int16))
    return [*codes, *labels]


def ours(arrays: list[Any], ties: str = "stable") -> float:
    """The measure of this library."""
    normaliser: Any = "min" if ties == "expected" else "hits"
    return mean_average_precision(
        *arrays,
        top=TOP,
        ties=ties,
        normaliser=normaliser,
        bootstrap=FEW,  # type: ignore[arg-type]
    ).value


def released(arrays: list[Any]) -> float:
    """Dense doubles: one matrix of all distances, then a sort of each of its rows."""
    queries, database = (a.signs().astype(np.float64) for a in arrays[:2])
    own, theirs = (hot.astype(np.float64) for hot in multi_hot(arrays))
    distances = 0.5 * (queries.shape[1] - queries @ database.T)
    total = 0.0
    for row in range(len(queries)):
        relevant = (own[row] @ theirs.T > 0).astype(np.float32)
        hits = np.flatnonzero(relevant[np.argsort(distances[row])][:TOP]) + 1.0
        total += np.mean(np.arange(1, len(hits) + 1) / hits) if len(hits) else 0.0
    return total / len(queries)


def honest(arrays: list[Any]) -> float:
    """Numpy as a good engineer writes it: bytes, no label product, a radix sort of each row."""
    queries, database, own, theirs = arrays
    rows, total = database.data.view(f"u{queries.bits // 8}")[:, 0], 0.0
    asked = queries.data.view(rows.dtype)[:, 0]
    for row in range(len(queries)):
        near = np.argsort(np.bitwise_count(rows ^ asked[row]), kind="stable")[:TOP]
        same = theirs == own[row] if theirs.ndim == 1 else (theirs & own[row]).any(1)
        hits = np.flatnonzero(same[near]) + 1.0
        total += np.mean(np.arange(1, len(hits) + 1) / hits) if len(hits) else 0.0
    return total / len(queries)


def multi_hot(arrays: list[Any]) -> list[np.ndarray]:
    """The labels of queries and database, multi-hot over the same classes."""
    classes = 1 + max(int(labels.max()) for labels in arrays[2:])
    return [x if x.ndim == 2 else as_labels(x, classes) for x in arrays[2:]]


def by_faiss(arrays: list[Any]) -> float:
    """The nearest T by faiss, then AP of their labels."""
    queries, database, own, theirs = arrays
    index = FlatIndex(queries.bits)
    index.add(database)
    _, found = index.search(queries, TOP)
    total = 0.0
    for row, items in enumerate(found):
        labels = theirs[items]
        shared = labels == own[row] if labels.ndim == 1 else (labels & own[row]).any(1)
        hits = np.flatnonzero(shared) + 1.0
        total += np.mean(np.arange(1, len(hits) + 1) / hits) if len(hits) else 0.0
    return total / len(queries)


def by_torchmetrics(arrays: list[Any]) -> float:
    """RetrievalMAP, query by query; it takes scores, and none that are negative."""
    import torch
    from torchmetrics.functional.retrieval import retrieval_average_precision

    queries, database = (torch.from_numpy(a.signs()).float() for a in arrays[:2])
    own, theirs = (torch.from_numpy(hot) for hot in multi_hot(arrays))
    total = 0.0
    for row in range(len(queries)):
        scores = queries.shape[1] + 1 + database @ queries[row]
        relevant = (theirs & own[row]).any(1)
        total += float(retrieval_average_precision(scores, relevant, top_k=TOP))
    return total / len(queries)


def apart(work: Callable[[], float], repeats: int, sender: Any) -> None:
    """In a process of its own, so that its memory is its own."""
    before, spent, value = peak(), [], 0.0
    for _ in range(repeats):
        start = time.process_time()
        value = work()
        spent.append(time.process_time() - start)
    sender.send((median(spent), peak() - before, value))


def peak() -> float:
    """Largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(work: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Seconds, MB beyond the input, and the value."""
    fork = multiprocessing.get_context("fork")
    there, here = fork.Pipe()
    process = fork.Process(target=apart, args=(work, repeats, here))
    process.start()
    here.close()
    try:
        answer: tuple[float, float, float] = there.recv()
    except EOFError:
        answer = (float("nan"), float("nan"), float("nan"))  # killed for want of memory
    process.join()
    return answer


def side_by_side(results: Results, full: bool, tiny: bool, few: bool = False) -> None:
    """All ways on the same codes; `few` leaves out multi-hot labels and all but numpy and ours."""
    queries, items = (20, 500) if tiny else (5000, 130_000) if full else (500, 130_000)
    rows = []
    cases = ((32, 100, False), (64, 100, False), (32, 80, True))
    for bits, classes, multi in cases[: 2 if few else 3]:
        arrays = problem(queries, items, bits, classes, multi)
        ways: list[tuple[str, Callable[[], float], int]] = [
            ("released way", lambda a=arrays: released(a), 1),
            ("numpy, class compare", lambda a=arrays: honest(a), 1),
            *(
                (f"hashprobe, {ties}", lambda a=arrays, t=ties: ours(a, t), 3)
                for ties in ("stable", "expected", "best", "worst")
            ),
            ("faiss top-k", lambda a=arrays: by_faiss(a), 1),
        ]
        if has_torchmetrics():
            ways.append(("torchmetrics", lambda a=arrays: by_torchmetrics(a), 1))
        if few:
            ways = ways[1:4]
        pairs, all_spent = queries * items, list[float]()
        for name, work, repeats in ways:
            spent, memory, value = measured(work, repeats)
            all_spent.append(spent)
            rows.append(
                {
                    "bits": bits,
                    "labels": f"{classes} {'multi-hot' if multi else 'classes'}",
                    "way": name,
                    "seconds": spent,
                    "ns a pair": 1e9 * spent / pairs,
                    "times less than the first": all_spent[0] / spent,
                    "MB": memory,
                    f"MAP@{TOP}": value,
                }
            )
    results.table(f"{queries:,} queries before {items:,} codes", rows)


def has_torchmetrics() -> bool:
    """Whether the package is there; hashprobe does not need it."""
    try:
        import torchmetrics  # noqa: F401
    except ImportError:
        return False
    return True


def growth(results: Results, full: bool, tiny: bool) -> None:
    """How time and memory grow with the database."""
    rows = []
    sizes = (1_000_000, 10_000_000) if full else (100_000, 1_000_000)
    for items in (500, 1000) if tiny else sizes:
        arrays = problem(1000 if full else 100, items, 64, 100, False)
        for ties in ("stable", "expected"):
            spent, memory, _ = measured(lambda a=arrays, t=ties: ours(a, t), 1)  # type: ignore[misc]
            rows.append(
                {
                    "codes": items,
                    "queries": len(arrays[0]),
                    "ties": ties,
                    "seconds": spent,
                    "ns a pair": 1e9 * spent / items / len(arrays[0]),
                    "MB beyond the input": memory,
                }
            )
    results.table("Growth with the database, 64 bits", rows)


def main() -> None:
    """Both tables."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        few={"action": "store_true", "help": "numpy and this library alone, and one table"},
    )
    results = Results("measures")
    side_by_side(results, given.full, given.tiny, given.few)
    if not given.few:
        growth(results, given.full, given.tiny)
    results.write(given.json)


if __name__ == "__main__":
    main()
