"""MAP and t-MAP of rankings by Hamming distance: arrays in, numbers with signatures out.

The options (`hashprobe.evaluation.curves` shares the last three):

- `top`: T, the length of the list. None, or more than the database holds, takes the whole
  database, and signatures then say `all`.
- `normaliser`: what AP@T is divided by. `hits` in the top T (as most papers do), `min` of R and T,
  or `relevant`, the R relevant items of the database.
- `ties`: the order of equal distances. `stable` (distance, then database position; the default
  under `hits`), `expected` (the mean over all orders; the default under `min` and `relevant`),
  `best` or `worst`.
- `empty`: how a query without a value is counted. `zero`, `skip` (left out of the mean and of the
  interval, NaN in per_query) or `error`. Under `hits` a query is empty if its top T holds no hit;
  under `min` and `relevant` if the database holds no relevant item, R = 0. Under `hits` with
  `best` and `worst` a query is empty if no order gives it a hit. There, `worst` counts an order
  without a hit as 0 under `zero`, and considers only orders with a hit under `skip` and `error`.
- `rounding`: how the attacked pixels were stored before they were encoded, such as `uint8`. It
  is written into the signature and changes nothing else.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from jaxtyping import Float64

from hashprobe.checked import checked
from hashprobe.codes.labels import AnyLabels
from hashprobe.codes.packed import PackedCodes
from hashprobe.evaluation.average import average_precision, harmonic
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement, fill_empty, sign
from hashprobe.evaluation.ranking import Empty, Normaliser, Ranking, Ties


@checked
def mean_average_precision(
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    query_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    top: int | None = None,
    normaliser: Normaliser = "hits",
    ties: Ties | None = None,
    empty: Empty = "zero",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """MAP@T: the mean over queries of the average precision of the T nearest items.

    AP@T = (sum over i <= T of Prec(i) rel(i)) / Z (DHTA, section 4.1).

    Args:
        query_codes: Q codes of K bits.
        database_codes: N codes of K bits.
        query_labels: multi-hot (Q, C), or classes (Q,); relevant means sharing at least one label.
        database_labels: multi-hot (N, C), or classes (N,).
        top: T, at least 1; None for the whole list.
        normaliser: what Z is, `hits`, `min` or `relevant`.
        ties: order of equal distances; None for the normaliser's default.
        empty: how a query without a value is counted.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        MAP in [0, 1] with its interval, and AP of each query (Q,).

    Raises:
        HashprobeError: an empty database, labels or codes that do not fit each other, an unknown
            option, `expected` under `hits`, or an empty query under `error`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [0] * 7 + [1], [1] * 8]))
        >>> labels = np.array([[True, False], [False, True], [True, False]])
        >>> found = mean_average_precision(codes[:1], codes, labels[:1], labels)
        >>> print(round(found.value, 4), found.signature.split("|v")[0])
        0.8333 MAP@all|norm:hits|ties:stable|empty:zero|rel:any|q:1|db:3|bits:8|ci:gaffke
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    options = MeasureOptions(top, normaliser, ties, empty, bootstrap)
    return score_average_precision("MAP", ranking, options, rounding)


@checked
def targeted_mean_average_precision(
    query_codes: PackedCodes,
    database_codes: PackedCodes,
    target_labels: AnyLabels,
    database_labels: AnyLabels,
    *,
    top: int | None = None,
    normaliser: Normaliser = "hits",
    ties: Ties | None = None,
    empty: Empty = "zero",
    rounding: str | None = None,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Measurement:
    """t-MAP@T: MAP with the target label in place of the query's (DHTA, section 4.1).

    Args:
        query_codes: Q codes of K bits: of attacked or clean queries, or target codes.
        database_codes: N codes of K bits.
        target_labels: multi-hot (Q, C) or classes (Q,), the target of each attack.
        database_labels: multi-hot (N, C), or classes (N,).
        top: T, at least 1; None for the whole list.
        normaliser: what AP is divided by, `hits`, `min` or `relevant`.
        ties: order of equal distances; None for the normaliser's default.
        empty: how a query without a value is counted.
        rounding: how the attacked pixels were stored, for the signature.
        bootstrap: how the interval is computed.

    Returns:
        t-MAP in [0, 1] with its interval, and the AP of each query (Q,).

    Raises:
        HashprobeError: as `mean_average_precision`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> targeted_mean_average_precision(codes[:1], codes, labels[1:], labels).value
        0.5
    """
    ranking = Ranking(query_codes, database_codes, target_labels, database_labels, "target")
    options = MeasureOptions(top, normaliser, ties, empty, bootstrap)
    return score_average_precision("tMAP", ranking, options, rounding)


def score_average_precision(
    name: str, ranking: Ranking, options: MeasureOptions, rounding: str | None = None
) -> Measurement:
    """Averages AP over the queries of a ranking."""
    size = len(ranking.database_codes)
    table = harmonic(0 if options.order == "stable" else options.length(size))
    values = np.empty(len(ranking.query_codes))
    for rows, block in ranking.each(
        partial(average_precision, ranking, options=options, table=table), counted=True
    ):
        values[rows] = block
    return mean_of_average(name, values, size, options, ranking.parts(rounding))


def mean_of_average(
    name: str,
    values: Float64[np.ndarray, " q"],
    size: int,
    options: MeasureOptions,
    parts: Mapping[str, object],
) -> Measurement:
    """The mean of AP over queries, NaN for an empty one, with its interval and signature.

    Args:
        name: of the measure.
        values: AP of each query.
        size: items of the database.
        options: how lists were scored.
        parts: what ends the signature.

    Raises:
        HashprobeError: an empty query, where that is an error.
    """
    top = options.length(size)
    hits = f"no hit in the top {top}"
    reason = hits if options.normaliser == "hits" else "no relevant item in the database"
    filled = fill_empty(values[:, None], options.empty, reason)
    signature = sign(
        f"{name}@{'all' if top == size else top}",
        norm=options.normaliser,
        ties=options.order,
        empty=options.empty,
        **parts,
    )
    return Measurement.of(filled[:, 0], signature, options.bootstrap)
