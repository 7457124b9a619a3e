"""Functions as machine code, which is kept on disk beside them."""

import inspect
from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, which is kept on disk and leaves other threads running."""
    # Checks of types at run time wrap the function: numba compiles what is inside.
    inner = inspect.unwrap(function)
    try:
        made: Callable[..., Any] = njit(nogil=True, cache=True, error_model="numpy")(inner)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = njit(nogil=True, error_model="numpy")(inner)
    return made
