"""Bounds of the logits of small networks over all pictures within eps, by interval arithmetic."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits
from hashprobe.victims.backbones import Small
from hashprobe.victims.base import Hasher, check_range, frozen_eval, in_own_dtype
from hashprobe.victims.encoding import device_of
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.wrap import Victim


Ends = tuple[Tensor, Tensor]
"""Lower and upper ends."""
MONOTONE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardtanh,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
    nn.Identity,
)
"""Layers that never fall where what they are given rises: their ends are those of the ends."""
KNOWN = (*MONOTONE, nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.Dropout)
"""Layers that have bounds, except for those that `odd` names."""


@checked
def interval_bounds(victim: Hasher, images: Images, eps: float) -> tuple[Logits, Logits]:
    """The least and the largest that each logit can be within eps (Gowal et al., ICCV 2019).

    Ends are taken through the network layer by layer; they are exact for one linear layer and widen
    with each further one, so they say something about small networks and small eps alone;
    `crown_bounds` are tighter.

    Args:
        victim: an `ImageHasher` of the backbone `small`, or a `Victim` around a sequence of linear
            and convolutional layers, batch normalisation, pooling and ReLU, tanh or sigmoid.
        images: (Q, 3, H, W) in [0, 1], on any device.
        eps: l-infinity radius in [0, 1] pixels; pictures stay within black and white.

    Returns:
        Lower and upper ends, (Q, K) each, on the victim's device.

    Raises:
        HashprobeError: a victim with another layer, of clips, pixels beyond [0, 1] or of another
            size, or an eps beyond [0, 1].

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
        >>> low, high = interval_bounds(Victim(net, bits=8, size=2), torch.rand(1, 3, 2, 2), 0.01)
        >>> bool((low < high).all())
        True
    """
    return bounded_by(victim, images, eps, ends_by_intervals)


@checked
def interval_radius(
    victim: Hasher, images: Images, steps: tuple[float, ...], *, crown: bool = False
) -> tuple[np.ndarray, Float64[np.ndarray, "q k"]]:
    """Codes and the l-infinity radius of each bit, as `BitCertificate` takes them.

    Args:
        victim: as for `interval_bounds`.
        images: (Q, 3, H, W) in [0, 1].
        steps: the eps that are tried, growing.
        crown: whether bounds are those of `crown_bounds`, which are tighter and take longer.

    Returns:
        (Q, K) signs, int8, and the largest eps of those tried within which each keeps its sign; 0
        where none does.

    Raises:
        HashprobeError: as `interval_bounds`, or steps that do not grow.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8))
        >>> victim = Victim(net, bits=8, size=2)
        >>> signs, radius = interval_radius(victim, torch.rand(1, 3, 2, 2), (0.01, 0.02))
        >>> set(radius.flatten().tolist()) <= {0.0, 0.01, 0.02}
        True
    """
    if not steps or list(steps) != sorted(set(steps)):
        raise HashprobeError(f"steps must grow from one to the next; got {steps}")
    from hashprobe.defenses.crown import crown_bounds

    bounds = crown_bounds if crown else interval_bounds
    clean, _ = interval_bounds(victim, images, 0.0)
    signs = torch.where(clean >= 0, 1, -1)
    radius, fixed = np.zeros(tuple(clean.shape)), torch.ones_like(clean).bool()
    for eps in steps:
        low, high = bounds(victim, images, eps)
        fixed &= torch.where(signs > 0, low >= 0, high < 0)
        radius[fixed.cpu().numpy()] = eps
    return signs.to(torch.int8).cpu().numpy(), radius


def bounded_by(
    victim: Hasher,
    images: Images,
    eps: float,
    method: Callable[[list[nn.Module], Ends], Ends],
) -> Ends:
    """Ends of the logits within eps, by a method that takes those of normalised pixels further."""
    if not 0 <= eps <= 1:
        raise HashprobeError(f"eps must be from 0 to 1; got {eps:g}")
    check_range(images, "pixels of queries")
    layers, size = layers_of(victim), victim.contract.size
    if images.shape[-2:] != (size, size):
        height, width = images.shape[-2:]
        raise HashprobeError(
            f"the victim takes {size}x{size} pixels; got {height}x{width}: resize the pictures"
        )
    images = in_own_dtype(victim, images.to(device_of(victim)))
    with frozen_eval(victim), torch.no_grad():
        low, high = ((images + side).clamp(0, 1) for side in (-eps, eps))
        # The normalisation of a channel rises with it.
        first: Ends = (victim.normalised(low), victim.normalised(high))  # type: ignore[operator]
        return method(layers, first)


def ends_by_intervals(layers: list[nn.Module], ends: Ends) -> Ends:
    """Ends after the last of some layers."""
    for layer in layers:
        ends = through(layer, ends)
    return ends


def layers_of(victim: Hasher) -> list[nn.Module]:
    """The layers of a victim, in order.

    Raises:
        HashprobeError: another network than a sequence of known layers.
    """
    if victim.contract.frames:
        raise HashprobeError("interval bounds are for victims of images; this one takes clips")
    if isinstance(victim, ImageHasher) and isinstance(victim.network, Small):
        parts: list[nn.Module] = [victim.network.features, nn.AdaptiveMaxPool2d(1), nn.Flatten()]
        found = [layer for part in (*parts, victim.network.head) for layer in flat(part)]
    elif isinstance(victim, Victim) and victim.activation == "none" and victim.output is None:
        found = flat(victim.network) if isinstance(victim.network, nn.Module) else []
    else:
        found = []
    strange = [name for layer in found if (name := odd(layer))]
    if not found or strange:
        seen = f"a layer {strange[0]}" if strange else "another network"
        raise HashprobeError(
            f"interval bounds know the backbone small, and sequences of linear, convolutional, "
            f"pooling and normalising layers with ReLU, tanh or sigmoid; this victim has {seen}: "
            "take noisy_votes, which asks for nothing"
        )
    return found


def flat(module: nn.Module) -> list[nn.Module]:
    """The layers of nested sequences in order; any other module is one."""
    if isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward:
        return [layer for child in module for layer in flat(child)]
    return [module]


def odd(layer: nn.Module) -> str:
    """The name of a layer whose bounds are not known; empty for others."""
    name = type(layer).__name__
    own = all(type(layer).forward is not kind.forward for kind in KNOWN)  # of a subclass
    if own or not isinstance(layer, KNOWN):
        return name
    if isinstance(layer, nn.LeakyReLU) and layer.negative_slope < 0:
        return f"{name} with a slope below 0"
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.running_mean is None:
        return f"{name} without running statistics"
    return ""


def through(layer: nn.Module, ends: Ends) -> Ends:
    """Ends after a layer in evaluation mode."""
    low, high = ends
    if isinstance(layer, nn.Dropout):
        return ends
    if isinstance(layer, MONOTONE):
        return layer(low.clone()), layer(high.clone())  # some change what they are given
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        first, second = layer(low), layer(high)  # it falls where its weight is negative
        return torch.minimum(first, second), torch.maximum(first, second)
    middle, reach = (low + high) / 2, (high - low) / 2
    if isinstance(layer, nn.Linear):
        moved, spread = layer(middle), linear(reach, layer.weight.abs())
    else:
        assert isinstance(layer, nn.Conv2d)
        moved, spread = layer(middle), absolute(layer)(reach)
    return moved - spread, moved + spread


def absolute(layer: nn.Conv2d) -> Callable[[Tensor], Tensor]:
    """A convolution with the absolute values of its weights, without a bias."""
    if layer.padding_mode != "zeros":
        raise HashprobeError(
            f"interval bounds know convolutions padded with zeros; got {layer.padding_mode}"
        )

    def convolve(reach: Tensor) -> Tensor:
        return conv2d(
            reach,
            layer.weight.abs(),
            None,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
        )

    return convolve
