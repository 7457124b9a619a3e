"""Queries steered to codes within an l2 norm: what a certificate in that norm stands beside."""

import numpy as np
import torch
from jaxtyping import Float

from hashprobe.attacks._bit_margin import descent
from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.optim.gradients import gradient_of
from hashprobe.optim.steps import UnitL2Step
from hashprobe.tensors import Images, Tensor
from hashprobe.types import Signs, check_whole
from hashprobe.victims.base import Hasher, check_range, frozen_eval
from hashprobe.victims.encoding import device_of


MOMENTUM = 0.8
"""What of the direction before is kept."""
NEAR = 1e-3
"""How far, in levels, rounding of floating numbers moves a pixel of 8 bits."""
HALVINGS = 30
"""Of the scale at which a change is put on whole levels."""


@checked
def within_l2(
    victim: Hasher,
    images: Images,
    codes: Signs,
    norm: float,
    *,
    steps: int = 20,
    batch_size: int = 32,
) -> Images:
    """Steers images to codes by the margins of their bits, each within an l2 norm.

    Steps along the gradient of `bit_margin_loss` (momentum, unit l2 length, from twice the norm to
    0) are cut to black and white and then projected onto the ball, so that no part of the norm goes
    to values that cannot be reached. What the victim sees is in 8 bits: the largest multiple of the
    change whose values, rounded to whole levels, stay in the ball. The last of the images with the
    fewest wrong bits is returned. A random victim, such as one behind `Smoothing`, is attacked
    through draws that differ from step to step, because its pixels do.

    Args:
        victim: gives logits with gradients; left as it was.
        images: (N, 3, H, W) in [0, 1], multiples of 1/255.
        codes: (N, K) wanted codes, -1 and +1.
        norm: the most that an image may move, in units of white; above 0. Below 1/255 nothing can.
        steps: of the descent.
        batch_size: images in the victim at once.

    Returns:
        (N, 3, H, W) multiples of 1/255 in [0, 1], within the norm.

    Raises:
        HashprobeError: a number out of range, pixels that are no multiples of 1/255, codes that do
            not fit, or a victim without finite gradients.

    Example:
        >>> import numpy as np
        >>> from hashprobe.victims import ImageHasher
        >>> victim, images = ImageHasher("small", 8, size=8).eval(), torch.ones(2, 3, 8, 8) / 2
        >>> images = (255 * images).round() / 255
        >>> moved = within_l2(victim, images, np.ones((2, 8), np.int8), 0.1, steps=2)
        >>> bool((moved - images).flatten(1).norm(dim=1).max() <= 0.1)
        True
    """
    check_whole("steps", steps)
    check_whole("batch size", batch_size)
    if not 0 < norm < float("inf"):
        raise HashprobeError(f"the norm of an attack must be above 0; got {norm}")
    if codes.shape != (len(images), victim.bits):
        raise HashprobeError(
            f"{len(images)} images need a code of {victim.bits} bits each; got shape {codes.shape}"
        )
    if not np.isin(codes, (-1, 1)).all():
        raise HashprobeError("wanted codes must be of -1 and +1; got other values")
    check_range(images, "pixels of queries")
    if images.numel() and (255 * images - (255 * images).round()).abs().max() > NEAR:
        raise HashprobeError(
            "pixels of queries must be multiples of 1/255, as those of 8 bits are; got others: "
            "round them with (255 * images).round() / 255"
        )
    given, wanted = images.to(device_of(victim)), torch.from_numpy(codes).to(device_of(victim))
    moved = []
    with frozen_eval(victim), torch.enable_grad():
        for begin in range(0, len(images), batch_size):
            rows = slice(begin, begin + batch_size)
            moved.append(moved_within(victim, given[rows], wanted[rows], norm, steps))
    return torch.cat(moved).to(images) if moved else images


def moved_within(victim: Hasher, images: Tensor, codes: Tensor, norm: float, steps: int) -> Tensor:
    """One batch of `within_l2`."""
    rule, radius = descent(steps, 1.0, None, False), 255 * norm
    targets, step = codes.to(images), UnitL2Step(1.0)
    levels = (255 * images).round()
    change, direction = torch.zeros_like(levels), torch.zeros_like(levels)
    best, fewest = levels.clone(), torch.full((len(images),), victim.bits + 1)
    for done in range(steps + 1):
        shown = (levels + on_levels(change, radius)).clamp(0, 255)
        when = torch.full((len(images),), min(done, steps - 1), device=images.device)
        logits, gradient = gradient_of(victim, shown / 255, targets, rule, when, victim)
        wrong = ((logits >= 0) != (targets > 0)).sum(1).cpu()
        better = wrong <= fewest  # the later has more of the margins, and of the norm
        best[better.to(images.device)] = shown[better.to(images.device)]
        fewest = torch.minimum(wrong, fewest)
        direction = MOMENTUM * direction + step(gradient, when)
        change = change - 2 * radius * (1 - done / steps) * step(direction, when)
        change = (levels + change).clamp(0, 255) - levels
        change = change * (radius / norms_of(change).clamp_min(radius))
    return best / 255


def norms_of(change: Tensor) -> Float[Tensor, "n 1 1 1"]:
    """The l2 norm of each row."""
    found: Tensor = change.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return found


def on_levels(change: Images, radius: float) -> Images:
    """The largest multiple of each change whose rounded values stay within a norm, rounded.

    Example:
        >>> change = torch.tensor([[0.4, 0.3, 0.01]]).view(1, 3, 1, 1)
        >>> on_levels(change, 1.5).flatten(), on_levels(change, 5.0).flatten()
        (tensor([1., 1., 0.]), tensor([4., 3., 0.]))
    """
    peak = change.abs().flatten(1).amax(1).view(-1, 1, 1, 1).clamp_min(1e-30)
    low, high = 0 * peak, (radius + 1) / peak
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        inside = norms_of((middle * change).round()) <= radius
        low, high = middle.where(inside, low), high.where(inside, middle)
    return (low * change).round()
