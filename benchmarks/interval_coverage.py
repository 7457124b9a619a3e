"""How often an interval of a mean over queries holds the true mean, by simulation.

python benchmarks/interval_coverage.py           # 1,000 samples a case
python benchmarks/interval_coverage.py --full    # 10,000
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from common import Results, arguments

from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap


RARE = 0.05
"""Share of large values in the mixtures."""
SIZES = (16, 24, 50, 100)
METHODS = (BOOTSTRAP, replace(BOOTSTRAP, method="percentile", resamples=1000))


@dataclass(frozen=True)
class Case:
    """A distribution of values of one query, and its mean."""

    name: str
    draw: Callable[[np.random.Generator, int], np.ndarray]
    mean: float
    bounds: tuple[float, float] = (0.0, 1.0)


def rate(p: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    """Values 0 and 1."""
    return lambda random, n: (random.random(n) < p).astype(float)


def floor_like(random: np.random.Generator, n: int) -> np.ndarray:
    """AP of untouched queries by a target label: small, but large for one query in 20."""
    large = random.random(n) < RARE
    return np.where(large, random.uniform(0.3, 1, n), random.beta(1, 60, n))


def rare_gain(random: np.random.Generator, n: int) -> np.ndarray:
    """Differences of two attacks that end alike but for one query in 20."""
    return np.where(random.random(n) < RARE, random.uniform(0.2, 1, n), 0.0)


CASES = (
    Case("Beta(8, 2)", lambda random, n: random.beta(8, 2, n), 0.8),
    Case("0 or 1, p = 0.9", rate(0.9), 0.9),
    Case("0 or 1, p = 0.02", rate(0.02), 0.02),
    Case("floor-like mixture", floor_like, 0.65 * RARE + (1 - RARE) / 61),
    Case(
        "difference of Beta(8, 2) and Beta(6, 3)",
        lambda random, n: random.beta(8, 2, n) - random.beta(6, 3, n),
        0.8 - 2 / 3,
        (-1.0, 1.0),
    ),
    Case("difference, rare gains", rare_gain, 0.6 * RARE, (-1.0, 1.0)),
)


def coverage(case: Case, n: int, method: Bootstrap, samples: int) -> tuple[float, float]:
    """Share of samples of n queries whose interval holds the mean, and its mean width.

    The samples are columns: each block of them has draws of its own.
    """
    random, held, widths, block = np.random.default_rng([n, samples]), 0, 0.0, 50
    for start in range(0, samples, block):
        values = np.stack([case.draw(random, n) for _ in range(min(block, samples - start))], 1)
        low, high = replace(method, seed=start).interval(values, case.bounds)
        held += int(((low <= case.mean) & (case.mean <= high)).sum())
        widths += float((high - low).sum())
    return held / samples, widths / samples


def simulate(
    results: Results, samples: int, cases: Sequence[Case] = CASES, sizes: Sequence[int] = SIZES
) -> None:
    """One row a case and size: coverage and width of both methods."""
    rows = []
    for case in cases:
        for n in sizes:
            row: dict[str, object] = {"values": case.name, "queries": n}
            for method in METHODS:
                held, width = coverage(case, n, method, samples)
                row |= {f"{method.method}: holds the mean": held, f"{method.method}: width": width}
            rows.append(row)
    results.table(f"Intervals of 95 %, {samples:,} samples a row", rows)


def main() -> None:
    """The table."""
    given = arguments((__doc__ or "").splitlines()[0])
    results = Results("coverage")
    samples = 10_000 if given.full else 20 if given.tiny else 1_000
    simulate(results, samples, sizes=SIZES[:1] if given.tiny else SIZES)
    results.write(given.json)


if __name__ == "__main__":
    main()
