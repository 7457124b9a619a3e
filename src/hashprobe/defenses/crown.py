"""Bounds of the logits of small networks within eps, by lines that are taken back to the pixels."""

import torch
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.defenses.intervals import Ends, bounded_by, ends_by_intervals, through
from hashprobe.tensors import Images, Logits
from hashprobe.victims.base import Hasher


AFFINE = (
    nn.Linear,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Flatten,
    nn.Identity,
    nn.Dropout,
)
"""Layers that are a matrix and a constant in evaluation mode."""
NEURONS = 256
"""Inner layers of more values keep the bounds of intervals."""


@checked
def crown_bounds(victim: Hasher, images: Images, eps: float) -> tuple[Logits, Logits]:
    """The least and the largest that each logit can be within eps (Zhang et al., NeurIPS 2018).

    CROWN: each ReLU lies between two lines over the range of what it is given, and a logit between
    two lines of the pixels, whose ends over all changes are exact. The range is that of the same
    bounds for the layers before it. From a layer that is neither affine nor ReLU the lines start
    anew, over the intervals of its values. What comes out is never wider than `interval_bounds`,
    and exact for linear layers, however many.

    Args:
        victim: as for `interval_bounds`.
        images: (Q, 3, H, W) in [0, 1], on any device.
        eps: l-infinity radius in [0, 1] pixels; pictures stay within black and white.

    Returns:
        Lower and upper ends, (Q, K) each, on the victim's device.

    Raises:
        HashprobeError: as `interval_bounds`.

    Example:
        >>> from hashprobe import Victim
        >>> from hashprobe.defenses import interval_bounds
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8))
        >>> victim, images = Victim(net, bits=8, size=2), torch.rand(1, 3, 2, 2)
        >>> narrow, wide = (f(victim, images, 0.05) for f in (crown_bounds, interval_bounds))
        >>> bool((narrow[0] >= wide[0]).all() and (narrow[1] <= wide[1]).all())
        True
    """
    return bounded_by(victim, images, eps, ends_by_lines)


def ends_by_lines(layers: list[nn.Module], first: Ends) -> Ends:
    """Ends after the last of some layers, within the intervals; images go one at a time."""
    least, most = ends_by_intervals(layers, first)
    if not len(least):
        return least, most
    each = [one_by_lines(layers, (low[None], high[None])) for low, high in zip(*first, strict=True)]
    low, high = zip(*each, strict=True)
    # Rounding may put an end beyond that of the intervals.
    return torch.cat(low).clamp(least, most), torch.cat(high).clamp(least, most)


def one_by_lines(layers: list[nn.Module], first: Ends) -> Ends:
    """Ends of one image after the last layer, those before each ReLU by the same lines."""
    ends = [first]
    for place, layer in enumerate(layers):
        low, high = through(layer, ends[-1])
        last = place + 1 == len(layers)
        if last or (isinstance(layers[place + 1], nn.ReLU) and low.numel() <= NEURONS):
            lower, upper = taken_back(layers[: place + 1], [*ends, (low, high)])
            # Rounding may part two ends that are equal.
            low, high = torch.maximum(low, lower), torch.minimum(high, upper)
            low, high = torch.minimum(low, high), torch.maximum(low, high)
        ends.append((low, high))
    return ends[-1]


def taken_back(layers: list[nn.Module], ends: list[Ends]) -> Ends:
    """Ends of every value after the last layer, by lines of what stands before the first.

    `ends` holds the ranges before each layer, and that after the last.
    """
    shape = ends[-1][0].shape[1:]
    lower = torch.eye(shape.numel()).to(ends[-1][0]).view(-1, *shape)
    upper, below, above = lower, 0 * lower.flatten(1).sum(1), 0 * lower.flatten(1).sum(1)
    start = 0
    for place in reversed(range(len(layers))):
        layer, (low, high) = layers[place], ends[place]
        if isinstance(layer, nn.ReLU):
            crossing = (low < 0) & (high > 0)
            chord = torch.where(crossing, high / (high - low), (low >= 0).to(low))
            floor = torch.where(crossing, (high > -low).to(low), (low >= 0).to(low))
            rise = torch.where(crossing, -low * chord, 0 * low)
            below = below + (lower.clamp(max=0) * rise).flatten(1).sum(1)
            above = above + (upper.clamp(min=0) * rise).flatten(1).sum(1)
            lower = lower.clamp(min=0) * floor + lower.clamp(max=0) * chord
            upper = upper.clamp(min=0) * chord + upper.clamp(max=0) * floor
        elif isinstance(layer, AFFINE):
            constant = layer(torch.zeros_like(low))
            below = below + (lower * constant).flatten(1).sum(1)
            above = above + (upper * constant).flatten(1).sum(1)
            lower, upper = transposed(layer, low, lower), transposed(layer, low, upper)
        else:
            start = place + 1
            break
    low, high = ends[start]
    least = (lower.clamp(min=0) * low + lower.clamp(max=0) * high).flatten(1).sum(1) + below
    most = (upper.clamp(min=0) * high + upper.clamp(max=0) * low).flatten(1).sum(1) + above
    return least.view(1, *shape), most.view(1, *shape)


def transposed(layer: nn.Module, like: Tensor, rows: Tensor) -> Tensor:
    """Rows of a matrix times that of an affine layer, which is given such as `like`."""
    given = torch.zeros(len(rows), *like.shape[1:], dtype=like.dtype, device=like.device)
    back = torch.func.vjp(layer, given)[1]
    found: Tensor = back(rows)[0]
    return found
