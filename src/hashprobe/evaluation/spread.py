"""How far a measure moves between runs of the same attack on the same queries."""

from collections.abc import Sequence

import numpy as np

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP
from hashprobe.evaluation.measurement import Measurement, measure_of, with_method


@checked
def between_runs(runs: Sequence[Measurement]) -> Measurement:
    """The mean of a measure over runs, and where another run would lie.

    The interval is the prediction interval of Student's t: mean +- t s sqrt(1 + 1/R), with s the
    standard deviation over R runs. It says nothing of other queries.

    Args:
        runs: the measure of each run, two or more, over the same queries.

    Returns:
        Mean and interval, within the range of the measure; `per_query` holds one value a run.

    Raises:
        HashprobeError: fewer than two runs, or runs of different measures.

    Example:
        >>> runs = [Measurement.of(np.full(20, v), "tMAP|v:0.1") for v in (0.50, 0.52, 0.51)]
        >>> print(between_runs(runs), between_runs(runs).signature)
        0.510 [0.460, 0.560] runs:3|tMAP|ci:prediction-t|v:0.1
    """
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    if len(runs) < 2:
        raise HashprobeError(f"the spread between runs needs 2 runs or more; got {len(runs)}")
    measures = {measure_of(run.signature) for run in runs}
    if len(measures) > 1:
        raise HashprobeError(f"different measures: {' and '.join(sorted(measures))}")
    values = np.array([run.value for run in runs])
    count, mean, confidence = len(values), float(values.mean()), BOOTSTRAP.confidence
    reach = stdtrit(count - 1, (1 + confidence) / 2) * values.std(ddof=1) * (1 + 1 / count) ** 0.5
    least, most = runs[0].bounds
    signature = with_method(f"runs:{count}|{measures.pop()}", "prediction-t")
    low, high = max(least, mean - float(reach)), min(most, mean + float(reach))
    return Measurement(mean, low, high, signature, values, confidence, runs[0].bounds)
