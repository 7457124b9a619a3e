"""Small frozen values and array aliases that cross every border; imports no torch.

Shapes: N items, C labels, K bits. The tensor twins live in `hashprobe.tensors`.
"""

import sys
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Int8, UInt8

from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress, Silent


Labels: TypeAlias = Bool[np.ndarray, "n c"]
"""Multi-hot labels; two items are relevant to each other when they share at least one."""
Signs: TypeAlias = Int8[np.ndarray, "n k"]
"""Codes with entries -1 and +1."""
PackedBits: TypeAlias = UInt8[np.ndarray, "n b"]
"""Codes packed eight bits a byte, most significant bit first, +1 -> 1."""

Space = Literal["pixel", "normalised"]
Precision = Literal["float32", "bfloat16"]
"""What gradients are computed in; pixels and judgement stay in float32."""
Filter = Literal["bilinear", "bicubic", "nearest", "lanczos", "box"]
Fit = Literal["squash", "crop", "pad"]
Layout = Literal["nchw", "nhwc"]
"""Whether the channels of a network's input stand before height and width, or behind them."""
MAX_SIDE, MAX_FRAMES = 16_384, 65_536
"""Most pixels of a picture's side, and most frames of a clip."""
SEEDS = 2**63
"""Seeds are below this number: every generator takes them."""
COUNTS = 2**31 - 1
"""The largest number of things (steps, epochs, queries, items of a list) that can be asked for."""
PROCESSES = 1024
"""The largest number of processes that can be asked for."""


def check_seed(seed: object, name: str = "seed") -> int:
    """Refuses a seed that a generator of random numbers does not take.

    Args:
        seed: a whole number from 0 to 2^63 - 1.
        name: what the caller calls it.

    Returns:
        The same as an int.

    Raises:
        HashprobeError: anything else.

    Example:
        >>> check_seed(-1)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: seed must be a whole number from 0 to 2^63 - 1; got -1
    """
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if whole and 0 <= int(seed) < SEEDS:  # type: ignore[call-overload]
        return int(seed)  # type: ignore[call-overload, no-any-return]
    # Python refuses to write out numbers of thousands of digits.
    long = isinstance(seed, int) and abs(seed) >= 10**40
    seen = f"a number of {seed.bit_length()} bits" if long else repr(seed)  # type: ignore[attr-defined]
    raise HashprobeError(f"{name} must be a whole number from 0 to 2^63 - 1; got {seen:.80}")


def check_whole(name: str, value: object, least: int = 1, most: int = COUNTS) -> int:
    """Refuses a number of things that is no whole number, or out of range.

    Args:
        name: what the caller calls it.
        value: a whole number from least to most.
        least: the smallest that makes sense.
        most: the largest; what is beyond it can only be a mistake.

    Returns:
        The same as an int.

    Raises:
        HashprobeError: anything else.

    Example:
        >>> check_whole("workers", 10**9, least=0, most=PROCESSES)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: workers must be at most 1,024; got 1000000000
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise HashprobeError(f"{name} must be a whole number; got {value!r:.80}")
    number = int(value)
    if least <= number <= most:
        return number
    # Python refuses to write out numbers of thousands of digits.
    long = abs(number) >= 10**40
    seen = f"a number of {number.bit_length()} bits" if long else str(number)
    bound = f"at least {least}" if number < least else f"at most {most:,}"
    raise HashprobeError(f"{name} must be {bound}; got {seen}")


def generator_of(seed: int) -> np.random.Generator:
    """NumPy's default generator for a seed.

    Args:
        seed: a whole number from 0 to 2^63 - 1.

    Raises:
        HashprobeError: another seed.

    Example:
        >>> int(generator_of(0).integers(100))
        85
    """
    return np.random.default_rng(check_seed(seed))


@checked
@dataclass(frozen=True)
class Budget:
    """How far an attack may move a pixel, in the l-infinity norm (DHTA, section 3.2, equation 8).

    Example:
        >>> print(Budget(8 / 255))
        8/255 (0.0314) in pixels
        >>> print(Budget(0.032, "normalised"))
        0.032 in normalised units
        >>> print(Budget(8 / 255, frames=4, shared=True))
        8/255 (0.0314) in pixels, the same in at most 4 frames
    """

    eps: float = 8 / 255
    """Largest change of one value; > 0 and, in pixel space, at most 1."""
    space: Space = "pixel"
    """`pixel`: eps counts in [0, 1] pixels; `normalised`: after (x - mean) / std, per channel."""
    frames: int | None = None
    """Most frames of a clip that may change, at least 1; None: all of them (clips only)."""
    shared: bool = False
    """Whether every frame that changes is changed alike, up to black and white (clips only)."""

    def __post_init__(self) -> None:
        if self.space not in ("pixel", "normalised"):
            raise HashprobeError(f"eps space must be pixel or normalised; got {self.space!r}")
        top = 1.0 if self.space == "pixel" else sys.float_info.max
        if not 0 < self.eps <= top:
            raise HashprobeError(f"eps must be above 0 and at most 1 in pixels; got {self.eps}")
        if self.frames is not None:
            check_whole("frames that an attack changes", self.frames)

    @checked
    def both_readings(self, std: tuple[float, float, float]) -> str:
        """The budget in the other space, too (the paper and its released code differ in this).

        Args:
            std: of the network's normalisation, per channel, in [0, 1] units.

        Example:
            >>> Budget(0.032, "normalised").both_readings((0.229, 0.224, 0.225))
            '0.032 in normalised units, 1.83/255 to 1.87/255 in pixels'
            >>> Budget(8 / 255).both_readings((0.5, 0.5, 0.5))
            '8/255 (0.0314) in pixels, 0.0627 in normalised units'
        """
        if self.space == "pixel":
            ends = [f"{self.eps / s:.3g}" for s in (max(std), min(std))]
            other = "in normalised units"
        else:
            ends = [f"{self.eps * s * 255:.2f}/255" for s in (min(std), max(std))]
            other = "in pixels"
        return f"{self.size}, {' to '.join(dict.fromkeys(ends))} {other}{self.where}"

    @property
    def size(self) -> str:
        """The radius in words."""
        if self.space == "normalised":
            return f"{self.eps:.4g} in normalised units"
        n = self.eps * 255
        text = f"{n:.0f}/255" if abs(n - round(n)) < 1e-6 else f"{n:.2f}/255"
        return f"{text} ({self.eps:.4f}) in pixels"

    @property
    def where(self) -> str:
        """What is said of a clip's frames, with a comma before it; nothing where all may change."""
        if self.frames is None:
            return ", the same in all frames" if self.shared else ""
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        return f", {'the same in ' if self.shared else ''}at most {frames}"

    def __str__(self) -> str:
        return self.size + self.where

    def to_json(self) -> dict[str, Any]:
        """As JSON; what it does not say of frames is left out, as before there were such rules.

        Example:
            >>> Budget(0.1, frames=3).to_json()
            {'eps': 0.1, 'space': 'pixel', 'frames': 3}
        """
        silent = {"frames": None, "shared": False}
        return {k: v for k, v in asdict(self).items() if k not in silent or v != silent[k]}


@checked
@dataclass(frozen=True)
class InputContract:
    """What a network expects of its images or clips; it travels with the checkpoint.

    The caller always hands over float32 RGB in [0, 1]; mean, std, order of the channels and layout
    are applied inside the network. Size, filter, fit and resize_to say how a picture of another
    size becomes one of this size.

    Raises:
        HashprobeError: a value of another type or out of range.

    Example:
        >>> InputContract(size=32).fit
        'squash'
    """

    size: int = 224
    """Height and width of the input, in pixels; 0 where each picture keeps its own size."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, in [0, 1] units."""
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Per channel, in [0, 1] units."""
    filter: Filter = "bilinear"
    """Resize filter, always with antialiasing: another filter gives other codes."""
    fit: Fit = "squash"
    """`squash`: both sides to size; `crop`: shorter side to size, then the centre; `pad`: longer
    side to size, black borders beside the picture."""
    frames: int = 0
    """Most frames of a clip that the network sees; 0 for a network of images."""
    bgr: bool = False
    """Whether the network expects blue first; mean and std are of red, green and blue anyway."""
    layout: Layout = "nchw"
    """Where the network expects the channels."""
    resize_to: int = 0
    """Pixels of the side that pictures are resized to before the centre of size is cut out of them,
    at least size; 0: size itself."""

    def __post_init__(self) -> None:
        for name, value, low, high in (
            ("size", self.size, 0, MAX_SIDE),
            ("frames", self.frames, 0, MAX_FRAMES),
            ("resize_to", self.resize_to or self.size, self.size, MAX_SIDE),
        ):
            if not low <= value <= high:
                raise HashprobeError(f"{name} must be {low} to {high}; got {shown(value)}")
        for name, numbers in (("mean", self.mean), ("std", self.std)):
            if not all(isfinite(number) for number in numbers):
                raise HashprobeError(f"{name} must be finite numbers; got {shown(numbers)}")
        if min(self.std) <= 0:
            raise HashprobeError(f"std must be above 0 in every channel; got {shown(self.std)}")

    def to_json(self) -> dict[str, Any]:
        """As JSON; what contracts did not have at first is left out where it is by default.

        Example:
            >>> sorted(InputContract(bgr=True).to_json())
            ['bgr', 'filter', 'fit', 'frames', 'mean', 'size', 'std']
        """
        silent = {"bgr": False, "layout": "nchw", "resize_to": 0}
        known = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        return {k: v for k, v in known.items() if k not in silent or v != silent[k]}


@checked
@dataclass(frozen=True)
class Runtime:
    """How something is computed: where, in which precision, how much at once, and who is told.

    Workers, cache and progress play no part in a result. The precision of gradients does, and is
    kept with the result. The batch size and the number of threads decide in which order a network's
    kernels sum, and so on the last bits of a gradient. Over many steps that difference grows: the
    same attack in another batch ends at other pixels for many queries, with a mean over the queries
    that is about the same. `deterministic` fixes both, so that the same machine gives the same
    pixels again.

    Raises:
        HashprobeError: an unknown precision, a batch size below 1, workers below 0 or above 1,024.

    Example:
        >>> Runtime(batch_size=0)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: batch size must be at least 1; got 0
    """

    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ..."""
    precision: Precision = "float32"
    """What gradients are computed in; judgement is always in float32."""
    batch_size: int | None = None
    """Queries, or images, in the network at once; None chooses by the machine's memory, or, if
    deterministic, by the size of a query alone."""
    workers: int | None = None
    """Decoding processes; None chooses by the number of cores, 0 decodes in this process."""
    skip_bad: bool = False
    """Whether to go on without items that cannot be decoded."""
    cache: Any = None
    """A `ClipCache` that keeps decoded clips for the next time, or None."""
    progress: Progress = field(default_factory=Silent)
    """Who is told."""
    deterministic: bool = False
    """Whether attacks are computed in fixed batches, by a fixed number of threads, with kernels
    that give the same result each time where there are such; it is kept with the result."""
    shard: int | None = None
    """Attacked queries that share a file; None: up to 1,000 queries have a file each, and of more
    about 64 MiB of pixels are in one. It plays no part in a result."""
    executor: Any = None
    """Who computes shards of queries or items, see `hashprobe.crafting.RayExecutor`; None: this
    process. In the deterministic mode it plays no part in a result."""
    watch: Any = None
    """Who keeps queries as an attack finishes them, see `hashprobe.optim.Watch`; or None."""

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            known = " or ".join(get_args(Precision))
            raise HashprobeError(f"precision must be {known}; got {self.precision!r}")
        if self.batch_size is not None:
            check_whole("batch size", self.batch_size)
        if self.shard is not None:
            check_whole("shard", self.shard)
        if self.workers is not None:
            check_whole("workers", self.workers, 0, PROCESSES)
