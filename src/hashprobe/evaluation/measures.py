"""MAP and t-MAP of a ranking by Hamming distance: arrays in, numbers with signatures out.

Their options, of which `hashprobe.evaluation.curves` shares the last three:

- `top`, T: length of the list; None, or more than there is, for the whole database, and then
  signatures say `all`.
- `normaliser`, what AP@T divides by: `hits` in the top T (the field's), `min` of R and T, or
  `relevant`, the R relevant items of the database.
- `ties`: `stable` (distance, then database position; the default under `hits`), `expected` (the
  mean over all orders of equal distances; the default under `min` and `relevant`), `best`, `worst`.
- `empty`, what a query without a value counts: `zero`, `skip` (left out of the mean and of the
  interval, NaN in per_query) or `error`. Under `hits` a query is empty when its top T holds no hit;
  under `min` and `relevant` when the database holds no relevant item, R = 0. Under `hits` with
  `best` and `worst` a query is empty when no order gives it a hit; `worst` takes an order without
  one as 0 under `zero`, and looks only at the orders with one under `skip` and `error`.
- `rounding`: how the attacked pixels were stored before they were encoded, such as `uint8`; it goes
  into the signature and changes nothing else.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.average import average_precision, harmonic
from hashprobe.evaluation.labels import AnyLabels
from hashprobe.evaluation.measurement import BOOTSTRAP, Bootstrap, Measurement, fill_empty, sign
from hashprobe.evaluation.ranking import Empty, Normaliser, Ranking, Ties, check_choice


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
        normaliser: what Z is: `hits`, `min` or `relevant`.
        ties: order of equal distances; None for the normaliser's default.
        empty: what a query without a value counts.
        rounding: how the query's pixels were stored, for the signature.
        bootstrap: how the interval is drawn.

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
        0.8333 MAP@all|norm:hits|ties:stable|empty:zero|rel:any|q:1|db:3|bits:8
    """
    ranking = Ranking(query_codes, database_codes, query_labels, database_labels)
    options = resolve(top, normaliser, ties, empty)
    return score_average_precision("MAP", ranking, options, rounding, bootstrap)


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
        query_codes: Q codes of K bits, of attacked queries, untouched ones, or target codes.
        database_codes: N codes of K bits.
        target_labels: multi-hot (Q, C) or classes (Q,), what each attack aims at.
        database_labels: multi-hot (N, C), or classes (N,).
        top: T, at least 1; None for the whole list.
        normaliser: what AP divides by: `hits`, `min` or `relevant`.
        ties: order of equal distances; None for the normaliser's default.
        empty: what a query without a value counts.
        rounding: how the attacked pixels were stored, for the signature.
        bootstrap: how the interval is drawn.

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
    options = resolve(top, normaliser, ties, empty)
    return score_average_precision("tMAP", ranking, options, rounding, bootstrap)


@dataclass(frozen=True)
class Options:
    """How lists are cut, normalised and ordered, with the defaults filled in."""

    top: int | None
    normaliser: Normaliser
    ties: Ties
    empty: Empty


def resolve(top: int | None, normaliser: str, ties: str | None, empty: str) -> Options:
    """Fills in the default tie policy and refuses what does not go together.

    Example:
        >>> resolve(1000, "min", None, "zero").ties
        'expected'
    """
    check_choice("normaliser", normaliser, Normaliser)
    check_choice("empty", empty, Empty)
    if ties is None:
        ties = "stable" if normaliser == "hits" else "expected"
    check_choice("ties", ties, Ties)
    if ties == "expected" and normaliser == "hits":
        raise HashprobeError(
            "ties expected is not offered with normaliser hits: how many hits the top T holds "
            "depends on the order of equal distances; use best and worst for bounds, or "
            "normaliser min or relevant"
        )
    if top is not None and top < 1:
        raise HashprobeError(f"top must be at least 1, or None for the whole list; got {top}")
    return Options(top, normaliser, ties, empty)  # type: ignore[arg-type]


def score_average_precision(
    name: str, ranking: Ranking, options: Options, rounding: str | None, bootstrap: Bootstrap
) -> Measurement:
    """Averages AP over the queries of a ranking."""
    size = len(ranking.database_codes)
    top = size if options.top is None else min(options.top, size)
    table = harmonic(0 if options.ties == "stable" else top)
    values = np.empty((len(ranking.query_codes), 1))
    score = partial(
        average_precision,
        ranking,
        table=table,
        top=top,
        normaliser=options.normaliser,
        ties=options.ties,
        hitless_orders=options.empty == "zero",
    )
    for rows, block in ranking.each(score):
        values[rows, 0] = block
    hits = f"no hit in the top {top}"
    reason = hits if options.normaliser == "hits" else "no relevant item in the database"
    values = fill_empty(values, options.empty, reason)
    signature = sign(
        f"{name}@{'all' if top == size else top}",
        norm=options.normaliser,
        ties=options.ties,
        empty=options.empty,
        **ranking.parts(rounding),
    )
    return Measurement.of(values[:, 0], signature, bootstrap)
