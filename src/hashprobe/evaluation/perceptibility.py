"""How visible an attack is: RMSE (as in DHTA), largest change, PSNR and SSIM."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from hashprobe.checked import checked, shown
from hashprobe.errors import HashprobeError


WINDOW, SIGMA = 11, 1.5
"""Side and standard deviation of the Gaussian window, in pixels (Wang et al. 2004)."""
C1, C2 = 0.01**2, 0.03**2
"""Stabilisers of SSIM, (K1 L)^2 and (K2 L)^2, for pixels of range L = 1."""
ROUNDING = 1e-6
"""Differences up to this are float32's rounding of one value, not a change."""
BLOCK_PIXELS = 1 << 20
"""Pixel values compared at once, so that memory does not grow with the number of images."""


@checked
@dataclass(frozen=True)
class Perceptibility:
    """The visible difference between images, or clips, and their attacked twins.

    Example:
        >>> Perceptibility(0.0081, 8.0, 41.8, 0.97).to_json()
        {'rmse': 0.0081, 'linf_255': 8.0, 'psnr': 41.8, 'ssim': 0.97}
        >>> print(Perceptibility(0.0081, 8.0, 41.8, 0.97))
        RMSE 8.10e-03, largest change 8/255, PSNR 41.8 dB, SSIM 0.9700
    """

    rmse: float
    """Mean over images of the root mean squared difference, in [0, 1] (DHTA's perceptibility)."""
    linf_255: float
    """Largest change of any value of any image, in units of 1/255."""
    psnr: float
    """Peak signal-to-noise ratio in dB, the mean over the images that differ; inf if none does."""
    ssim: float
    """Structural similarity in [-1, 1], the mean over images; 1 for identical ones."""
    rmse_frames: float | None = None
    """The mean over clips of the root mean squared difference over the changed frames of a clip,
    0 for a clip without changed frames; None for images."""

    def __str__(self) -> str:
        whole = f"RMSE {self.rmse:.2e}, largest change {self.linf_255:.0f}/255, "
        text = f"{whole}PSNR {self.psnr:.1f} dB, SSIM {self.ssim:.4f}"
        if self.rmse_frames is None:
            return text
        return f"{text}, RMSE of changed frames {self.rmse_frames:.2e}"

    def to_json(self) -> dict[str, Any]:
        """The numbers by name; JSON has no infinity, so an infinite PSNR becomes None."""
        numbers = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: value if np.isfinite(value) else None for name, value in numbers.items()}

    @classmethod
    def from_json(cls, numbers: dict[str, Any]) -> Perceptibility:
        """Reads what `to_json` gave; clips in old records lack `rmse_frames`."""
        given = {name: np.inf if value is None else value for name, value in numbers.items()}
        return cls(**given)


@runtime_checkable
class Pixels(Protocol):
    """Images that can be read block by block: an array, a tensor on the CPU, or files.

    Example:
        >>> isinstance(np.zeros((1, 3, 8, 8)), Pixels)
        True
    """

    @property
    def shape(self) -> Any:
        """(N, 3, H, W)."""

    def __getitem__(self, rows: Any, /) -> Any:
        """The images of a slice, as something that numpy can read."""


@checked
def compare_pixels(
    images: Pixels, attacked: Pixels, lengths: Int64[np.ndarray, " n"] | None = None
) -> Perceptibility:
    """Compares images, or clips, with their attacked twins in [0, 1] pixels.

    RMSE is sqrt(mean((x' - x)^2)) per image, then the mean (DHTA). SSIM (Wang et al. 2004) takes
    an 11 x 11 Gaussian window of sigma 1.5 at every place where the whole window fits, K1 = 0.01,
    K2 = 0.03, per channel, then the mean. In a smaller image the window shrinks to the largest odd
    side that fits; sigma stays. All values of a clip's own frames count the same (DHTA, section
    4.4); SSIM is the mean over its frames. A frame is changed if a value of it differs by more
    than the rounding of float32.

    Args:
        images: (N, 3, H, W), uint8 or floating in [0, 1]; or clips, (N, T, 3, H, W).
        attacked: the same shape and order, uint8 or floating in [0, 1].
        lengths: (N,) frames of each clip, from 1 to T; None if all have T, and for images.

    Returns:
        RMSE, the largest change in 1/255, PSNR in dB, SSIM; of clips also the RMSE of the changed
        frames.

    Raises:
        HashprobeError: the shapes differ or are not (N, 3, H, W), there are no images, a dtype is
            neither uint8 nor floating, or a value is NaN or outside [0, 1].

    Example:
        >>> black = np.zeros((1, 3, 8, 8), dtype=np.uint8)
        >>> result = compare_pixels(black, black + np.uint8(51))
        >>> print(round(result.rmse, 3), round(result.linf_255, 1), round(result.psnr, 2))
        0.2 51.0 13.98
    """
    return compare_twins(images, (attacked,), lengths)[0]


def compare_twins(
    images: Pixels, twins: Sequence[Pixels], lengths: Int64[np.ndarray, " n"] | None = None
) -> list[Perceptibility]:
    """`compare_pixels` with several attacked twins: all are read together, and equal ones of a
    block are compared once.

    Two twins are equal where they are the same in float32: 8-bit pixels and 1/255 of them are.
    """
    check_pixels(images, "images")
    totals = []
    for twin in twins:
        check_pixels(twin, "attacked images")
        if tuple(images.shape) != tuple(twin.shape):
            seen = f"{tuple(images.shape)}, attacked ones {tuple(twin.shape)}"
            raise HashprobeError(f"images have shape {seen}")
        totals.append(Totals(tuple(images.shape), lengths))
    for rows in blocks(images.shape):
        x = as_unit(images[rows], "images")
        done: list[tuple[Any, Block]] = []
        for twin, total in zip(twins, totals, strict=True):
            y = as_unit(twin[rows], "attacked images")
            same = (block for before, block in done if np.array_equal(before, y.astype(np.float32)))
            block = next(same, None) or compare_block(x, y, total.own[rows])
            done.append((y.astype(np.float32), block))
            total.add(rows, block)
    return [total.result() for total in totals]


class Block(NamedTuple):
    """How some images, or clips, differ from their twins; one number each but for the last."""

    squares: Float64[np.ndarray, " n"]
    """Sum over frames of the mean squared difference."""
    similarities: Float64[np.ndarray, " n"]
    """Sum over frames of SSIM."""
    moved: Float64[np.ndarray, " n"]
    """Frames that changed."""
    largest: float


def compare_block(
    x: Float64[np.ndarray, "n *t c h w"],
    y: Float64[np.ndarray, "n *t c h w"],
    own: Int64[np.ndarray, " n"],
) -> Block:
    """Compares images, or the own frames of clips, with their twins."""
    frames = x.shape[1] if x.ndim == 5 else 1
    shown = np.arange(frames) < own[:, None]
    x, y = (part.reshape(-1, *part.shape[-3:])[shown.ravel()] for part in (x, y))
    whose, change = np.flatnonzero(shown.ravel()) // frames, np.abs(y - x)
    return Block(
        np.bincount(whose, (change**2).mean(axis=(1, 2, 3))),
        np.bincount(whose, ssim(x, y)),
        np.bincount(whose, change.max(axis=(1, 2, 3)) > ROUNDING),
        float(change.max()),
    )


class Totals:
    """What is known of one twin of all images so far."""

    def __init__(self, shape: tuple[int, ...], lengths: Int64[np.ndarray, " n"] | None) -> None:
        self.clips, count = len(shape) == 5, shape[0]
        frames = shape[1] if self.clips else 1
        self.own = np.full(count, frames) if lengths is None else lengths
        self.squares, self.similarities, self.moved = np.zeros((3, count))
        self.largest = 0.0

    def add(self, rows: slice, block: Block) -> None:
        """Takes some images."""
        self.squares[rows], self.moved[rows] = block.squares, block.moved
        self.similarities[rows] = block.similarities / self.own[rows]
        self.largest = max(self.largest, block.largest)

    def result(self) -> Perceptibility:
        """The numbers over all images."""
        squares, own, moved = self.squares, self.own, self.moved
        changed = (squares / own)[moved > 0]
        # Unchanged frames add only rounding to the sum.
        per_frame = np.sqrt(squares / np.maximum(moved, 1)) * (moved > 0)
        return Perceptibility(
            float(np.sqrt(squares / own).mean()),
            255 * self.largest,
            float(-10 * np.log10(changed).mean()) if changed.size else float("inf"),
            float(self.similarities.mean()),
            float(per_frame.mean()) if self.clips else None,
        )


def ssim(
    x: Float64[np.ndarray, "n c h w"], y: Float64[np.ndarray, "n c h w"]
) -> Float64[np.ndarray, " n"]:
    """Mean structural similarity of each pair, over channels and places of the window."""
    weights = gaussian(min(*x.shape[2:], WINDOW))
    mean_x, mean_y = smooth(x, weights), smooth(y, weights)
    variance = smooth(x * x, weights) - mean_x**2 + smooth(y * y, weights) - mean_y**2
    covariance = smooth(x * y, weights) - mean_x * mean_y
    structure = (2 * covariance + C2) / (variance + C2)
    luminance = (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)
    similarity: np.ndarray = (luminance * structure).mean(axis=(1, 2, 3))
    return similarity


def gaussian(side: int) -> Float64[np.ndarray, " k"]:
    """One-dimensional Gaussian weights of the largest odd length up to side; they sum to 1."""
    half = (side - 1) // 2
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * SIGMA**2))
    normalised: np.ndarray = weights / weights.sum()
    return normalised


def smooth(
    x: Float64[np.ndarray, "n c h w"], weights: Float64[np.ndarray, " k"]
) -> Float64[np.ndarray, "n c a b"]:
    """Weighted means over the window, at every place where the whole window fits."""
    for axis in (2, 3):
        size = x.shape[axis] - len(weights) + 1
        shifted = (np.take(x, range(i, i + size), axis=axis) for i in range(len(weights)))
        x = np.sum([weight * part for weight, part in zip(weights, shifted, strict=True)], axis=0)
    return x


def blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of images of bounded size."""
    step = max(1, BLOCK_PIXELS // int(np.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


def check_pixels(images: Pixels, name: str) -> None:
    """Refuses anything but a batch of RGB images or clips."""
    shape = tuple(images.shape)
    if len(shape) not in (4, 5) or shape[-3] != 3 or 0 in shape:
        raise HashprobeError(f"{name} must have shape (N, 3, H, W), N > 0; got {shape}")


def as_unit(pixels: Any, name: str) -> Float64[np.ndarray, "n *t c h w"]:
    """Pixels as float64 in [0, 1]."""
    try:
        images = np.asarray(pixels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise HashprobeError(f"{name} must be arrays; got {shown(pixels)}") from error
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise HashprobeError(f"{name} must be uint8 or floating in [0, 1]; got {images.dtype}")
    if images.dtype == np.uint8:
        return images / 255.0
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):  # NaN fails this test too
        seen = f"min {low:.4g}, max {high:.4g}"
        raise HashprobeError(f"{name} must lie in [0, 1]; got {seen}: already normalised?")
    return images.astype(np.float64)
