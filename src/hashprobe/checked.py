"""Arguments of public functions and classes, checked against their annotations; a leaf."""

import functools
import inspect
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path, PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

import numpy as np

from hashprobe.errors import HashprobeError


T = TypeVar("T")
MISFIT: Any = object()
"""What stands for a value that is not of a type."""
WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "True or False",
    NoneType: "None",
    Path: "a path",
    PurePath: "a path",
}
FAMILIES = {"bool": "bool", "uint8": "uint8", "int": "whole numbers", "float": "floating numbers"}
"""What dtypes are called in messages; other widths of one family are taken, too."""
CONTAINERS = (tuple, list, Sequence)
KEPT = 40
"""Characters of a value that a message shows."""
BYTES = ("uint8", "torch.uint8")
LONG = 2**63
"""Whole numbers are below this, up and down."""
LONGEST, LONGEST_NAME = 4095, 255
"""Bytes of a path, and of a name in it."""


class Late(NamedTuple):
    """A class that is imported when a value is first checked, so that torch is not before.

    Example:
        >>> Late("pathlib", "Path").kind()
        <class 'pathlib.Path'>
    """

    module: str
    name: str

    def kind(self) -> Any:
        """The class."""
        return getattr(import_module(self.module), self.name)


def checked(thing: T) -> T:
    """A function, or a class, whose arguments are checked against their annotations.

    Scalars of numpy and torch become plain numbers, text becomes a path where a path is wanted, and
    a list, or an array of one axis, a tuple where that is wanted. Nothing else is changed.

    Args:
        thing: a function, or a class whose `__init__` is checked.

    Returns:
        A function with the same signature, or the same class.

    Raises:
        HashprobeError: when it is called, for an argument of another type; the argument is named.

    Example:
        >>> @checked
        ... def double(n: int) -> int:
        ...     return 2 * n
        >>> double(np.int64(2))
        4
        >>> double("2")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: n must be a whole number; got '2'
    """
    if isinstance(thing, type):
        thing.__init__ = guarded(thing.__init__, thing)  # type: ignore[misc]
        return thing
    return guarded(thing)  # type: ignore[arg-type, return-value]


def guarded(call: Callable[..., Any], owner: type | None = None) -> Callable[..., Any]:
    """A function that checks its arguments first."""
    signature = inspect.signature(call)

    @functools.cache
    def hints() -> dict[str, Any]:
        return resolved(call, owner, signature)

    @functools.wraps(call)
    def checking(*given: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*given, **named)
        except TypeError:
            return call(*given, **named)  # Python says what is missing or too much
        known = hints()
        for name, value in bound.arguments.items():
            if name in known:
                bound.arguments[name] = fitted(value, known[name], name)
        return call(*bound.args, **bound.kwargs)

    # Values of other types are taken, too: other checkers have nothing to say before this one.
    checking.__no_type_check__ = True  # type: ignore[attr-defined]
    return checking


def resolved(
    call: Callable[..., Any], owner: type | None, signature: inspect.Signature
) -> dict[str, Any]:
    """The annotations of the arguments that are checked."""
    kinds = inspect.Parameter
    single = {
        name
        for name, one in signature.parameters.items()
        if one.kind not in (kinds.VAR_KEYWORD, kinds.VAR_POSITIONAL)
    }
    fields = owner is not None and hasattr(owner, "__dataclass_fields__")
    hints = typing.get_type_hints(owner if fields else inspect.unwrap(call), include_extras=True)
    return {name: kind for name, kind in hints.items() if name in single and kind is not Any}


def fitted(value: Any, kind: Any, name: str) -> Any:
    """A value of some type, or refused under its name.

    Args:
        value: anything.
        kind: an annotation.
        name: what the caller calls the value.

    Raises:
        HashprobeError: a value of another type.

    Example:
        >>> fitted(None, int | str, "output")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: output must be a whole number or text; got None
    """
    result = matched(value, kind)
    if result is MISFIT:
        hint = ": read them with as_labels" if name.endswith("labels") else ""
        words, bytes_seen = accepted(kind), str(getattr(value, "dtype", "")) in BYTES
        if bytes_seen and "of floating numbers" in words and "uint8" not in words:
            hint = ": divide by 255"
        long = isinstance(value, int) and abs(value) >= LONG
        counts = float not in (kind, *get_args(kind))
        below = "a whole number from 0 to 2^63 - 1" if counts else "a number below 2^63"
        wanted = below if long else accepted(kind)
        raise HashprobeError(f"{name} must be {wanted}; got {shown(value)}{hint}")
    if Path in get_args(kind) or kind in (Path, PurePath):
        check_path(result, name)
    return result


def check_path(path: Any, name: str) -> None:
    """Refuses a path that no file can have."""
    if not isinstance(path, str | PurePath):
        return
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError:
        encoded = b"\0"
    parts = encoded.split(os.fsencode(os.sep))
    if b"\0" in encoded or len(encoded) > LONGEST or max(map(len, parts)) > LONGEST_NAME:
        raise HashprobeError(f"{name} must be a path that a file can have; got {shown(str(path))}")


def matched(value: Any, kind: Any) -> Any:
    """A value as one of some type, or MISFIT."""
    origin = get_origin(kind)
    if kind is Any or kind is object or isinstance(kind, TypeVar | str):
        return value
    if origin is Annotated:
        inner, *more = get_args(kind)
        late = next((each for each in more if isinstance(each, Late)), None)
        return matched(value, inner if late is None else late.kind())
    if origin in (Union, UnionType):
        return first_match(value, get_args(kind))
    if origin is Literal:
        same = (each for each in get_args(kind) if isinstance(value, type(each)) and each == value)
        return next(same, MISFIT)
    if kind in (int, float, bool):
        return number(value, kind)
    if kind in (Path, PurePath):
        return kind(value) if isinstance(value, str | os.PathLike) else MISFIT
    if origin in CONTAINERS or kind in CONTAINERS:
        return elements(value, origin or kind, get_args(kind))
    if hasattr(kind, "dtypes") and hasattr(kind, "array_type"):
        return value if fits_array(value, kind) else MISFIT
    if origin is Callable or origin is typing.get_origin(Callable[..., Any]) or kind is Callable:
        return value if callable(value) else MISFIT
    return value if is_instance(value, origin or kind) else MISFIT


def first_match(value: Any, kinds: tuple[Any, ...]) -> Any:
    """A value as one of the first of several types that it is without a change, or with one."""
    results = [matched(value, each) for each in kinds]
    fit = [result for result in results if result is not MISFIT]
    return next((result for result in fit if result is value), fit[0] if fit else MISFIT)


def number(value: Any, kind: Any) -> Any:
    """A plain number of some kind, out of a scalar of numpy or torch, too."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        try:
            value = value.item()
        except (RuntimeError, ValueError):  # a tensor without values
            return MISFIT
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else MISFIT
    if kind is int:
        # Nothing counts further, and neither numpy nor torch do.
        return value if isinstance(value, int) and abs(value) < LONG else MISFIT
    if isinstance(value, int):
        return value if abs(value) < LONG else MISFIT
    return value if isinstance(value, float) else MISFIT


def elements(value: Any, kind: Any, kinds: tuple[Any, ...]) -> Any:
    """A sequence with elements of some types."""
    if getattr(value, "ndim", None) == 1 and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return MISFIT
    some = kind is tuple and kinds and kinds[-1] is not ...
    if some and len(value) != len(kinds):
        return MISFIT
    each_kind = list(kinds) if some else [kinds[0] if kinds else Any] * len(value)
    found = [matched(each, wanted) for each, wanted in zip(value, each_kind, strict=True)]
    if any(each is MISFIT for each in found):
        return MISFIT
    return (
        value
        if all(a is b for a, b in zip(found, value, strict=True)) and isinstance(value, kind)
        else (tuple if kind is tuple else list)(found)
    )


def fits_array(value: Any, kind: Any) -> bool:
    """Whether a value is an array or a tensor of some axes and family of dtypes, with values."""
    if kind.array_type is np.ndarray:
        right = isinstance(value, np.ndarray)
    else:
        torch: Any = sys.modules.get("torch")
        right = torch is not None and isinstance(value, torch.Tensor)
        right = right and not value.is_meta and value.layout == torch.strided
    if not right:
        return False
    axes, shape = kind.dim_str.split(), tuple(value.shape)
    several = [i for i, axis in enumerate(axes) if axis.startswith(("*", "..."))]
    if several:
        tail = len(axes) - several[0] - 1
        if len(shape) < len(axes) - 1:
            return False
        shape = (*shape[: several[0]], *shape[len(shape) - tail :])
        axes.pop(several[0])
    fixed = [(axis, size) for axis, size in zip(axes, shape, strict=False) if axis.isdigit()]
    if len(shape) != len(axes) or any(int(axis) != size for axis, size in fixed):
        return False
    return bool(families(kind) & families_of(str(value.dtype).removeprefix("torch.")))


@functools.cache
def families(kind: Any) -> frozenset[str]:
    """The families of dtypes that an annotation of an array takes."""
    names = kind.dtypes if isinstance(kind.dtypes, list | tuple) else [*FAMILIES]
    if list(names) == ["uint8"]:
        return frozenset({"uint8"})
    return frozenset().union(*(families_of(str(name)) for name in names)) - {"uint8"}


@functools.cache
def families_of(dtype: str) -> frozenset[str]:
    """The families that a dtype belongs to; uint8 is one of its own among the whole numbers."""
    if dtype.startswith("bool"):
        return frozenset({"bool"})
    if dtype.startswith(("int", "uint")):
        return frozenset({"int", "uint8"} if dtype == "uint8" else {"int"})
    return frozenset({"float"} if dtype.startswith(("float", "bfloat")) else ())


def is_instance(value: Any, kind: Any) -> bool:
    """Whether a value is an instance; of a protocol, whether it has its members."""
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False):
        if isinstance(value, type):
            return False
        names = [name for name in vars(kind) if not name.startswith("_")] or ["__call__"]
        return all(hasattr(value, name) for name in names)
    return isinstance(value, kind)


def accepted(kind: Any) -> str:
    """A type in words."""
    origin = get_origin(kind)
    if origin is Annotated:
        late = next((each for each in get_args(kind) if isinstance(each, Late)), None)
        return accepted(get_args(kind)[0]) if late is None else with_article(late.name)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(accepted, get_args(kind))))
    if origin is Literal:
        known = [str(each) for each in get_args(kind)]
        return " or ".join(known) if len(known) < 3 else f"one of {', '.join(known)}"
    if origin in CONTAINERS or kind in CONTAINERS:
        inner = get_args(kind)
        many = f" of {len(inner)}" if inner and inner[-1] is not ... and origin is tuple else ""
        return f"a sequence{many}" + (f", each {accepted(inner[0])}" if inner else "")
    if hasattr(kind, "dtypes") and hasattr(kind, "array_type"):
        what = "a numpy array" if kind.array_type is np.ndarray else "a dense tensor"
        held = " or ".join(word for name, word in FAMILIES.items() if name in families(kind))
        axes = ["..." if axis.startswith("*") else axis for axis in kind.dim_str.split()]
        return f"{what} of {held}, ({', '.join(axes).upper()})"
    if origin in (Mapping, dict):
        return "a mapping"
    if origin is not None and "Callable" in str(origin):
        return "a function"
    if origin is type:
        return "a class"
    return WORDS.get(kind) or with_article(getattr(kind, "__name__", str(kind)))


def with_article(name: str) -> str:
    """The name of a class with its article."""
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


def shown(value: Any) -> str:
    """A value in a sentence: short ones as Python writes them, others by type and size.

    Args:
        value: anything.

    Example:
        >>> shown("a"), shown(10**400), shown(np.zeros((2, 3))), shown({1: 2})
        ("'a'", 'a number of 1329 bits', 'an array of float64, shape (2, 3)', 'a dict')
    """
    if isinstance(value, np.number | np.bool_) and value.dtype.kind in "biuf":
        value = value.item()
    if value is None or isinstance(value, bool | float | str | int):
        if isinstance(value, int) and abs(value) >= 10**KEPT:
            return f"a number of {value.bit_length()} bits"
        text = ascii(value) if isinstance(value, str) else repr(value)
        return text if len(text) <= KEPT else f"{text[: KEPT - 4]}...'"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        what = "an array" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
        dtype = str(value.dtype).removeprefix("torch.")
        where = " without values (meta)" if getattr(value, "is_meta", False) else ""
        return f"{what} of {dtype[:KEPT]}, shape {tuple(value.shape)}{where}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    plain = isinstance(value, list | tuple) and len(value) <= 6
    if plain and all(isinstance(each, float | str | int | NoneType) for each in value):
        ends = "[]" if isinstance(value, list) else "()"
        text = f"{ends[0]}{', '.join(map(shown, value))}{ends[1]}"
        if len(text) <= 2 * KEPT:
            return text
    return with_article(type(value).__name__)
