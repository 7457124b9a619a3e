"""Labels in any of the accepted forms, read as multi-hot."""

from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Integer, Shaped

from hashprobe.codes.packed import as_numpy
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


AnyLabels: TypeAlias = Bool[np.ndarray, "_ _"] | Integer[np.ndarray, " _"]
"""Multi-hot (N, C), or one class an item, (N,) from 0."""


def as_labels(values: Any, classes: int | None = None) -> Labels:
    """Reads labels as multi-hot.

    Args:
        values: a list, an array or a tensor: (N,) integers 0..C-1, one an item; or (N, C)
            multi-hot in bool or 0/1.
        classes: C; None takes the largest integer + 1, or the number of columns.

    Returns:
        bool (N, C).

    Raises:
        HashprobeError: another shape or dtype, a negative label, or one that is not below C.

    Example:
        >>> as_labels([2, 0])
        array([[False, False,  True],
               [ True, False, False]])
    """
    array = as_numpy(values)
    if array.ndim == 2:
        return multi_hot(array, classes)
    check_classes(array)
    width = (int(array.max()) + 1 if array.size else 1) if classes is None else classes
    if array.size and array.max() >= width:
        where = int(np.argmax(array))
        raise HashprobeError(f"label {array[where]} of item {where} is not below {width} classes")
    result = np.zeros((len(array), width), dtype=bool)
    result[np.arange(len(array)), array] = True
    return result


def multi_hot(array: Shaped[np.ndarray, "n c"], classes: int | None) -> Labels:
    """Multi-hot labels in bool, from bool or 0/1."""
    if classes is not None and array.shape[1] != classes:
        raise HashprobeError(f"labels must have {classes} classes; got {array.shape[1]}")
    if array.dtype == np.bool_:
        return array
    if array.dtype.kind not in "iuf" or not ((array == 0) | (array == 1)).all():
        raise HashprobeError(f"multi-hot labels must be bool or 0/1; got dtype {array.dtype}")
    return array.astype(bool)


def check_classes(labels: np.ndarray) -> None:
    """Refuses labels that are not one integer from 0 on for each item."""
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        seen = f"{labels.dtype} of shape {labels.shape}"
        raise HashprobeError(f"labels must be integers (N,) or multi-hot (N, C); got {seen}")
    if labels.size and labels.min() < 0:
        where = int(np.argmin(labels))
        raise HashprobeError(f"labels must not be negative; got {labels[where]} at item {where}")
