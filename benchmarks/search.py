"""FlatIndex against bare faiss.

python benchmarks/search.py [--full]
"""

import faiss
import numpy as np
from common import Results, arguments, median, paired

from hashprobe.codes.index import FlatIndex
from hashprobe.codes.packed import PackedCodes


def bare(data: np.ndarray, counting: bool) -> faiss.IndexBinaryFlat:
    """faiss as its tutorial has it, or with counting buckets."""
    index = faiss.IndexBinaryFlat(8 * data.shape[1])
    index.use_heap = not counting
    index.add(data)
    return index


def compare(results: Results, full: bool, tiny: bool) -> None:
    """Turn by turn on the same codes."""
    rng = np.random.default_rng(0)
    rows = []
    for bits, items, queries, k in (
        (32, 130_000, 1000, 1000),
        (64, 130_000, 1000, 1000),
        (64, 1_000_000, 200, 100),
        (128, 1_000_000, 200, 1000),
    ):
        if tiny:
            items, queries, k = 1000, 10, 5
        database = rng.integers(0, 256, (items, bits // 8), dtype=np.uint8)
        asked = rng.integers(0, 256, (queries if full else queries // 5, bits // 8), np.uint8)
        index, codes = FlatIndex(bits), PackedCodes(asked, bits)
        index.add(PackedCodes(database, bits))
        heap, buckets = bare(database, False), bare(database, True)
        times = paired(
            [
                lambda i=index, c=codes, k=k: i.search(c, k),
                lambda i=heap, a=asked, k=k: i.search(a, k),
                lambda i=buckets, a=asked, k=k: i.search(a, k),
            ],
            9 if full else 5,
        )
        ours, by_heap, by_buckets = map(median, times)
        rows.append(
            {
                "bits": bits,
                "codes": items,
                "queries": len(asked),
                "k": k,
                "FlatIndex, s": ours,
                "faiss as it comes, s": by_heap,
                "faiss with counting buckets, s": by_buckets,
                "of faiss as it comes": ours / by_heap,
                "of its faster one": ours / min(by_heap, by_buckets),
            }
        )
    results.table("Search", rows)


def main() -> None:
    """The table."""
    given = arguments((__doc__ or "").splitlines()[0])
    results = Results("search")
    compare(results, given.full, given.tiny)
    results.write(given.json)


if __name__ == "__main__":
    main()
