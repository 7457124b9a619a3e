"""Codes and labels from one npz file, scored without a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from hashprobe.checked import checked
from hashprobe.codes.labels import as_classes, as_labels, check_classes
from hashprobe.codes.packed import PackedCodes, as_codes
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.curves import score_precision
from hashprobe.evaluation.exclusion import Exclusion
from hashprobe.evaluation.measure_options import MeasureOptions
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.ranking import Empty, Normaliser, Ranking, Ties
from hashprobe.evaluation.relevance import check_labelled
from hashprobe.storage.files import read_npz
from hashprobe.types import Labels


NEEDED = ("database_codes", "query_codes", "database_labels", "query_labels")
LABELS = ("database_labels", "query_labels", "target_labels")
PRECISION_LENGTH = 100
"""N of the precision if no top is given."""


@checked
@dataclass(frozen=True, eq=False)
class CodeFile:
    """The arrays of a code file.

    Example:
        >>> codes, labels = PackedCodes.from_signs(np.eye(8)), np.eye(8, dtype=bool)
        >>> CodeFile(codes, codes[:2], labels, labels[:2]).target_labels is None
        True
    """

    database_codes: PackedCodes
    """N codes of K bits."""
    query_codes: PackedCodes
    """Q codes of K bits."""
    database_labels: Bool[np.ndarray, "n _"]
    """Multi-hot (N, C); for integers, one column for each label that a query or target has."""
    query_labels: Bool[np.ndarray, "q _"]
    """Multi-hot (Q, C)."""
    target_labels: Bool[np.ndarray, "t _"] | None = None
    """Multi-hot (Q, C); None if the file has no targets."""
    voters: Int64[np.ndarray, "q m"] | None = None
    """(Q, M) database positions whose codes voted for a query's target code, -1 for none."""
    training: Bool[np.ndarray, " n"] | None = None
    """(N,) which database items the network was trained on."""

    @checked
    def exclusion(self, exclude_voters: bool, exclude_training: bool) -> Exclusion | None:
        """What is left out of the search.

        Raises:
            HashprobeError: the file does not say which items these are.
        """
        for name, asked, items, shape in (
            ("voters", exclude_voters, self.voters, "(Q, M) database positions"),
            ("training", exclude_training, self.training, "(N,) bool"),
        ):
            if asked and items is None:
                raise HashprobeError(
                    f"the file does not say which items to leave out: it lacks {name}, {shape}"
                )
        if not exclude_voters and not exclude_training:
            return None
        voters = self.voters if exclude_voters else None
        return Exclusion(voters, self.training if exclude_training else None)


@checked
def load_code_file(path: str | Path) -> CodeFile:
    """Reads codes and labels from an npz file; pickled objects are refused.

    Keys: `database_codes` and `query_codes`, (N, K) in -1/+1, 0/1 or bool, or packed uint8
    (N, ceil(K / 8)), most significant bit first, together with a scalar `bits` = K;
    `database_labels`, `query_labels` and optionally `target_labels` (one for each query), (N,) or
    (N, 1) integers, or (N, C) multi-hot. Optionally `voters`, (Q, M) database positions, -1 for
    none, and `training`, (N,) bool: what a score can leave out.

    Args:
        path: the file to read.

    Returns:
        The arrays, codes packed and labels multi-hot.

    Raises:
        HashprobeError: the file is missing, truncated or holds pickled objects, a key is missing,
            codes or labels are in none of the forms, do not fit each other or are empty, a query
            has no label, or no database item has a target label.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "codes.npz"
        >>> codes, labels = np.array([[1] * 8, [-1] * 8]), np.array([3, 5])
        >>> np.savez(path, database_codes=codes, query_codes=codes, database_labels=labels,
        ...          query_labels=labels)
        >>> load_code_file(path).query_codes
        PackedCodes(2 x 8 bits)
    """
    arrays = read_npz(path)
    missing = [key for key in NEEDED if key not in arrays]
    if missing:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise HashprobeError(f"{path} lacks {', '.join(missing)}; it holds {held}")
    try:
        bits = read_bits(arrays)
        labels = read_labels({key: arrays[key] for key in LABELS if key in arrays})
        file = CodeFile(
            read_codes(arrays["database_codes"], "database_codes", bits),
            read_codes(arrays["query_codes"], "query_codes", bits),
            labels["database_labels"],
            labels["query_labels"],
            labels.get("target_labels"),
            None if "voters" not in arrays else read_voters(arrays["voters"]),
            None if "training" not in arrays else read_training(arrays["training"]),
        )
        both = file.voters is not None, file.training is not None
        Ranking(
            file.query_codes,
            file.database_codes,
            file.query_labels,
            file.database_labels,
            exclusion=file.exclusion(*both),
        )
        check_labelled(file.query_labels, "query_labels")
        if file.target_labels is not None:
            check_targets(file, as_classes(arrays["target_labels"]))
    except HashprobeError as error:
        raise HashprobeError(f"{path}: {error}") from error
    return file


@checked
def score_codes(
    file: CodeFile,
    *,
    top: int | None = None,
    normaliser: Normaliser = "hits",
    ties: Ties | None = None,
    empty: Empty = "zero",
    exclude_voters: bool = False,
    exclude_training: bool = False,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> dict[str, Measurement]:
    """Scores the queries of a code file against its database.

    Args:
        file: codes and labels.
        top: T of MAP and t-MAP, at least 1; None for the whole list.
        normaliser: what AP is divided by, `hits`, `min` or `relevant`.
        ties: order of equal distances, also for the precision; None for the normaliser's default.
        empty: how a query without a value is counted.
        exclude_voters: whether the items that voted for a query's target code are left out for it.
        exclude_training: whether the items that the network was trained on are left out.
        bootstrap: how the intervals are computed.

    Returns:
        `map`; `precision`, P@N with N = top (100 without one, and at most the size of the
        database); `tmap` if the file has target labels.

    Raises:
        HashprobeError: as `mean_average_precision`.

    Example:
        >>> codes = PackedCodes.from_signs(np.array([[0] * 8, [1] * 8]))
        >>> labels = np.eye(2, dtype=bool)
        >>> scores = score_codes(CodeFile(codes, codes, labels, labels, labels[::-1]))
        >>> {name: score.value for name, score in scores.items()}
        {'map': 1.0, 'precision': 0.5, 'tmap': 0.5}
    """
    options = MeasureOptions(top, normaliser, ties, empty, bootstrap)
    exclusion = file.exclusion(exclude_voters, exclude_training)

    def ranking(labels: Labels, asked: str = "query") -> Ranking:
        return Ranking(
            file.query_codes, file.database_codes, labels, file.database_labels, asked, exclusion
        )

    own = ranking(file.query_labels)
    n = min(top or PRECISION_LENGTH, len(own.database_codes))
    scores = {"map": score_average_precision("MAP", own, options)}
    scores["precision"] = score_precision(n, own, options.order, None, bootstrap)
    if file.target_labels is not None:
        targets = ranking(file.target_labels, "target")
        scores["tmap"] = score_average_precision("tMAP", targets, options)
    return scores


def read_voters(array: np.ndarray) -> Int64[np.ndarray, "q m"]:
    """Positions of the items that voted."""
    if array.ndim != 2 or array.dtype.kind not in "iu":
        seen = f"{array.dtype} of shape {array.shape}"
        raise HashprobeError(f"voters must be database positions, integers (Q, M); got {seen}")
    if array.size and array.max() > np.iinfo(np.int64).max:
        raise HashprobeError(f"voters must be database positions; got {array.max()}")
    return array.astype(np.int64)


def read_training(array: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Which items the network was trained on."""
    if array.ndim != 1 or not np.isin(array, (0, 1)).all():
        seen = f"{array.dtype} of shape {array.shape}"
        raise HashprobeError(f"training must be one bool, or 0 or 1, an item (N,); got {seen}")
    return array.astype(bool)


def read_bits(arrays: dict[str, np.ndarray]) -> int | None:
    """K of packed codes, if the file holds it."""
    bits = arrays.get("bits")
    if bits is None:
        return None
    if bits.size != 1 or bits.dtype.kind not in "iu":
        raise HashprobeError(f"bits must be one integer; got {bits.dtype} of shape {bits.shape}")
    return int(bits.reshape(()))


def read_codes(array: np.ndarray, key: str, bits: int | None) -> PackedCodes:
    """Codes of one key; they can be packed only if the file holds bits."""
    if array.ndim and len(array) == 0:
        side = key.split("_")[0]
        raise HashprobeError(f"{key} is empty, shape {array.shape}: there are no {side} codes")
    try:
        return as_codes(array, bits)
    except HashprobeError as error:
        packed = array.dtype == np.uint8 and bits is None
        hint = "; packed codes also need the key bits in the file" if packed else ""
        raise HashprobeError(f"{key}: {error}{hint}") from error


def read_labels(arrays: dict[str, np.ndarray]) -> dict[str, Labels]:
    """Labels of every key over the same classes.

    Integers may be any class numbers. Only classes that a query or target has get a column, so
    large numbers need no memory.
    """
    given, arrays = arrays, {}
    for key, array in given.items():
        try:
            arrays[key] = as_classes(array)
        except HashprobeError as error:
            raise HashprobeError(f"{key}: {error}") from error
    widths = {array.shape[1] for array in arrays.values() if array.ndim == 2}
    if len(widths) > 1:
        seen = ", ".join(f"{key} {array.shape}" for key, array in sorted(arrays.items()))
        raise HashprobeError(f"labels must be over the same classes; got {seen}")
    result: dict[str, Labels] = {}
    for key, array in arrays.items():
        try:
            if array.ndim == 1 and not widths:
                check_classes(array)
            else:
                result[key] = as_labels(array, next(iter(widths), None))
        except HashprobeError as error:
            raise HashprobeError(f"{key}: {error}") from error
    if widths:
        return result
    numbers = {key: array.astype(np.int64) for key, array in arrays.items()}
    asked = np.unique(np.concatenate([v for k, v in numbers.items() if k != "database_labels"]))
    return {key: number[:, None] == asked[None, :] for key, number in numbers.items()}


def check_targets(file: CodeFile, given: np.ndarray) -> None:
    """Refuses targets that no search can return."""
    targets = file.target_labels
    if targets is None:
        return
    if len(targets) != len(file.query_codes):
        raise HashprobeError(
            f"{len(targets)} target labels for {len(file.query_codes)} query codes"
        )
    reachable = (targets & file.database_labels.any(axis=0)).any(axis=1)
    if reachable.all():
        return
    raise no_such_target(given, int(np.argmin(reachable)))


def no_such_target(given: np.ndarray, query: int) -> HashprobeError:
    """The error about a query whose target labels, as they were given, no item has."""
    named = [int(given[query])] if given.ndim == 1 else np.flatnonzero(given[query]).tolist()
    if not named:
        return HashprobeError(f"query {query} has no target label: its row holds only zeros")
    label = " or ".join(map(str, named))
    return HashprobeError(f"unknown target label {label} of query {query}: no database item has it")
