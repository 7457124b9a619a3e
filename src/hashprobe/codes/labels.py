"""Labels in any of the accepted forms, read as multi-hot."""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from hashprobe.checked import checked
from hashprobe.codes.packed import as_numpy
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


AnyLabels: TypeAlias = Bool[np.ndarray, "_ _"] | Integer[np.ndarray, " _"]
"""Multi-hot (N, C), or one class an item, (N,) from 0."""


@checked
def as_labels(values: Any, classes: int | None = None) -> Labels:
    """Reads labels as multi-hot.

    Args:
        values: a list, an array or a tensor: (N,) or (N, 1) integers 0..C-1, one an item; or (N, C)
            multi-hot in bool or 0/1. One column of bool is multi-hot over one class.
        classes: C; None takes the largest integer + 1, or the number of columns.

    Returns:
        bool (N, C).

    Raises:
        HashprobeError: another shape or dtype, a negative label, one that is not below C, or one
            column of floats, which could be either.

    Example:
        >>> as_labels([2, 0])
        array([[False, False,  True],
               [ True, False, False]])
    """
    if classes is not None and classes < 1:
        raise HashprobeError(f"classes must be at least 1; got {classes}")
    array = as_classes(read(values))
    if array.ndim == 2:
        return multi_hot(array, classes)
    check_classes(array)
    width = (int(array.max()) + 1 if array.size else 1) if classes is None else classes
    if array.size and array.max() >= width:
        where = int(np.argmax(array))
        raise HashprobeError(f"label {array[where]} of item {where} is not below {width} classes")
    try:
        result = np.zeros((len(array), width), dtype=bool)
    except (MemoryError, ValueError) as error:
        raise HashprobeError(
            f"{len(array)} items over {width} classes do not fit into memory: number the classes "
            "by numpy.unique(labels, return_inverse=True)[1]"
        ) from error
    result[np.arange(len(array)), array] = True
    return result


def read(values: Any) -> np.ndarray:
    """The array behind labels in any form."""
    try:
        return as_numpy(values)
    except ValueError as error:
        raise HashprobeError(
            "labels must be integers (N,) or multi-hot (N, C); got a list whose rows have "
            "different lengths"
        ) from error


def as_classes(array: np.ndarray) -> np.ndarray:
    """Labels with one column of integers as a row of classes; others as they are.

    Args:
        array: labels in any of the accepted forms.

    Raises:
        HashprobeError: one column of floats: nothing says whether it holds classes or multi-hot.

    Example:
        >>> as_classes(np.array([[1], [0], [1]]))
        array([1, 0, 1])
    """
    if array.ndim != 2 or array.shape[1] != 1 or array.dtype == np.bool_:
        return array
    if array.dtype.kind == "f":
        raise HashprobeError(
            f"labels of shape {array.shape} must be integers (classes) or bool (multi-hot over one "
            f"class); got {array.dtype}{first_blank(array[:, 0])}"
        )
    return array[:, 0]


def multi_hot(array: Shaped[np.ndarray, "n c"], classes: int | None) -> Labels:
    """Multi-hot labels in bool, from bool or 0/1."""
    if classes is not None and array.shape[1] != classes:
        raise HashprobeError(f"labels must have {classes} classes; got {array.shape[1]}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf":
        raise HashprobeError(f"multi-hot labels must be bool or 0/1; got dtype {array.dtype}")
    strange = np.argwhere((array != 0) & (array != 1))
    if len(strange):
        item, label = strange[0].tolist()
        raise HashprobeError(
            f"multi-hot labels must be bool or 0/1; got {array[item, label]} at item {item}, "
            f"label {label}"
        )
    return array.astype(bool)


def check_classes(labels: np.ndarray) -> None:
    """Refuses labels that are not one integer from 0 on for each item."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        seen = f"{labels.dtype} of shape {labels.shape}{first_blank(labels)}"
        hint = ""
        if labels.ndim == 1 and labels.dtype.kind in "UST":
            hint = ": number the names by numpy.unique(labels, return_inverse=True)[1]"
        raise HashprobeError(f"labels must be integers (N,) or multi-hot (N, C); got {seen}{hint}")
    if labels.size and labels.min() < 0:
        where = int(np.argmin(labels))
        raise HashprobeError(f"labels must not be negative; got {labels[where]} at item {where}")


def first_blank(labels: np.ndarray) -> str:
    """Where the first item without a label is, in words; empty where every item has one."""
    if labels.ndim != 1 or labels.dtype.kind not in "fO":
        return ""
    # A blank cell of a table arrives as NaN, or as None among objects; NaN differs from itself.
    blank = [item for item, value in enumerate(labels) if value is None or value != value]
    return f", item {blank[0]} has no label" if blank else ""
