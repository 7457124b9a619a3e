"""Floats become bits by a mean, a matrix and thresholds; how these are fitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float

from hashprobe.checked import checked
from hashprobe.codes.packed import as_numpy, check_bits
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_npz, write_npz
from hashprobe.types import generator_of


Method: TypeAlias = Literal["mean", "median", "pca", "itq", "random"]
"""How a binariser is fitted."""
Floats: TypeAlias = Float[np.ndarray, "_ _"]
"""A matrix of floats."""

ITERATIONS = 50
"""Of ITQ, as published."""
MEMBERS = ("mean", "matrix", "thresholds", "zero_bit")
"""Arrays of a binariser's file; each may be missing."""


@checked
@dataclass(frozen=True, eq=False)
class Binariser:
    """Bits of D floats z: the signs of (z - mean) @ matrix - thresholds.

    Raises:
        HashprobeError: shapes that do not fit each other, values that are not finite, more than
            4,096 bits or floats.

    Example:
        >>> Binariser(mean=np.array([1.0, 2.0]))(np.array([[0.0, 3.0]]))
        array([[-1.,  1.]])
    """

    mean: Any = None
    """(D,) what is subtracted first; None: 0."""
    matrix: Any = None
    """(D, K) what the rest is multiplied by; None: each float is a bit."""
    thresholds: Any = None
    """(K,) what is subtracted last; None: 0."""
    zero_bit: Literal[0, 1] = 1
    """The bit of a result of exactly 0: 1 for the sign rule >= 0, 0 for > 0."""

    def __post_init__(self) -> None:
        for name, dims in (("mean", 1), ("matrix", 2), ("thresholds", 1)):
            if getattr(self, name) is None:
                continue
            array = as_numpy(getattr(self, name), name)
            if array.ndim != dims or not array.size:
                wanted = "(D, K)" if dims == 2 else "one axis"
                raise HashprobeError(f"{name} must have shape {wanted}; got {array.shape}")
            if not np.isfinite(array).all():
                raise HashprobeError(f"{name} must be finite numbers")
            object.__setattr__(self, name, array.astype(np.float32))
        if self.mean is self.matrix is self.thresholds is None:
            raise HashprobeError("a binariser needs mean, matrix or thresholds")
        widths = {"floats": self.floats, "bits": self.bits}
        for name, given in (("mean", self.mean), ("thresholds", self.thresholds)):
            width = widths["floats" if name == "mean" else "bits"]
            if given is not None and len(given) != width:
                raise HashprobeError(
                    f"a binariser of {self.floats} floats and {self.bits} bits has {len(given)} "
                    f"values of {name}"
                )
        check_bits(self.bits)

    @property
    def floats(self) -> int:
        """D, the width of the embedding."""
        given = (self.matrix, self.mean, self.thresholds)
        return len(next(array for array in given if array is not None))

    @property
    def bits(self) -> int:
        """K, the length of a code."""
        return self.floats if self.matrix is None else int(self.matrix.shape[1])

    def __call__(self, floats: Any) -> Floats:
        """(N, K) real numbers of (N, D) floats, whose signs are the bits."""
        values = as_numpy(floats, "floats").astype(np.float64)
        values = values if self.mean is None else values - self.mean
        values = values if self.matrix is None else values @ self.matrix
        return values if self.thresholds is None else values - self.thresholds

    def save(self, path: str | Path) -> None:
        """Writes mean, matrix and thresholds to an .npz file, whole or not at all.

        Args:
            path: file to write; an existing one is replaced.

        Raises:
            HashprobeError: the file cannot be written.
        """
        known = {name: getattr(self, name) for name in MEMBERS[:3]}
        arrays = {name: array for name, array in known.items() if array is not None}
        write_npz(Path(path), {**arrays, "zero_bit": np.array(self.zero_bit)})

    @classmethod
    def load(cls, path: str | Path) -> "Binariser":
        """Reads a binariser; nothing in the file is executed.

        Args:
            path: an .npz file of mean (D,), matrix (D, K) and thresholds (K,); what is missing
                changes nothing. zero_bit is 0 or 1.

        Raises:
            HashprobeError: no such file, or arrays that do not fit.
        """
        try:
            arrays = read_npz(path)
            return cls.of(arrays)
        except HashprobeError as error:
            if not Path(path).is_file():
                raise
            text = str(error).removeprefix(f"{path} ")
            raise HashprobeError(f"{path} is no binariser: {text}") from error

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Binariser":
        """A binariser out of the arrays of a file."""
        unknown = sorted(set(arrays) - set(MEMBERS))
        if unknown or not arrays:
            held = ", ".join(unknown) or "nothing"
            raise HashprobeError(f"it needs mean, matrix and thresholds; it holds {held}")
        given: dict[str, Any] = dict(arrays)
        zero = given.pop("zero_bit", np.array(1))
        if zero.size != 1 or zero.item() not in (0, 1):
            raise HashprobeError("zero_bit must be 0 or 1")
        return cls(**given, zero_bit=1 if zero.item() else 0)


@checked
def fit_binariser(
    features: Any,
    method: Method,
    bits: int | None = None,
    *,
    seed: int = 0,
    zero_bit: Literal[0, 1] = 1,
) -> Binariser:
    """Fits a binariser to the floats of some pictures, the more the better.

    Args:
        features: (N, D) floats, N at least 2, an array or a tensor.
        method: `mean`: the signs of centred floats; `median`: each float against its median over
            the pictures, so that bits are balanced; `pca`: signs of the K leading principal
            components; `itq`: of these after the rotation that brings them nearest to their signs
            (Gong and Lazebnik, Iterative quantization, CVPR 2011, 50 iterations); `random`: of
            centred floats along K random directions, orthogonal as far as there are D.
        bits: K, 1 to 4096, at most D for pca and itq; None or D for mean and median.
        seed: of the random rotation (random, itq).
        zero_bit: the bit of a result of exactly 0.

    Returns:
        The binariser.

    Raises:
        HashprobeError: another shape, values that are not finite or all the same, or more bits than
            a method gives.

    Example:
        >>> floats = np.random.default_rng(0).normal(size=(50, 8)) + 3
        >>> fit_binariser(floats, "itq", 4)(floats).shape
        (50, 4)
    """
    values = as_numpy(features, "features")
    if values.ndim != 2 or len(values) < 2 or not values.size:
        raise HashprobeError(f"features must have shape (N, D), N at least 2; got {values.shape}")
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise HashprobeError("features must be finite numbers")
    if (values == values[:1]).all():
        raise HashprobeError("the features of all pictures are the same: nothing can be fitted")
    width = values.shape[1]
    if method in ("mean", "median"):
        if bits not in (None, width):
            raise HashprobeError(
                f"method {method} gives a bit for each of {width} floats; got {bits} bits: leave "
                f"them out, or choose one of {', '.join(get_args(Method)[2:])}"
            )
        if method == "median":
            return Binariser(thresholds=np.median(values, axis=0), zero_bit=zero_bit)
        return Binariser(mean=values.mean(0), zero_bit=zero_bit)
    bits = width if bits is None else bits
    check_bits(bits)
    mean, rng = values.mean(0), generator_of(seed)
    if method == "random":
        return Binariser(mean, directions(width, bits, rng), zero_bit=zero_bit)
    most = min(width, len(values) - 1)
    if bits > most:
        raise HashprobeError(
            f"{method} of {len(values)} pictures with {width} floats gives at most {most} bits; "
            f"got {bits}: take more pictures, fewer bits, or method random"
        )
    components = principal(values - mean, bits)
    if method == "itq":
        components = components @ rotation((values - mean) @ components, rng)
    return Binariser(mean, components, zero_bit=zero_bit)


def principal(centred: Floats, bits: int) -> Floats:
    """(D, K) the leading principal components of centred floats."""
    # The smaller of the two Gram matrices has the same eigenvalues.
    if centred.shape[1] <= len(centred):
        return np.ascontiguousarray(np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :bits])
    return np.ascontiguousarray(np.linalg.svd(centred, full_matrices=False)[2][:bits].T)


def rotation(projected: Floats, rng: np.random.Generator) -> Floats:
    """The rotation of ITQ (section 2.2): V R is as near to its signs as the iterations bring it."""
    found = directions(projected.shape[1], projected.shape[1], rng)
    for _ in range(ITERATIONS):
        signs = np.where(projected @ found >= 0, 1.0, -1.0)
        left, _, right = np.linalg.svd(signs.T @ projected)
        found = (left @ right).T
    return found


def directions(width: int, count: int, rng: np.random.Generator) -> Floats:
    """(D, K) random directions, in blocks of at most D that are orthogonal to each other."""
    blocks = []
    for start in range(0, count, width):
        q, r = np.linalg.qr(rng.normal(size=(width, width)))
        # Uniform over all rotations: the signs of r's diagonal are taken out.
        blocks.append((q * np.sign(np.diag(r)))[:, : count - start])
    return np.concatenate(blocks, axis=1)
