"""The one optimisation loop of the gradient attacks, and the care it takes of the hasher."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.attacks.box import Box
from hashprobe.attacks.checks import check_images, check_targets
from hashprobe.attacks.contract import OnStep
from hashprobe.errors import HashprobeError
from hashprobe.models.hasher import Hasher
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget


Objective: TypeAlias = Callable[[Logits, Targets, int], Float[Tensor, " n"]]
"""(logits, target codes, step from 0) -> one loss per query, to be made small."""
StepRule: TypeAlias = Callable[[Images], Images]
"""Gradient -> how to move, both in units of the budget's space."""


def unit_l2_step(gradient: Images, *, size: float) -> Images:
    """-size * g / ||g||_2 for each sample over all its values (DHTA, section 4.2).

    The DHTA release takes the norm over the whole tensor of its batch of 1; here every row has
    its own, so that a batch is as many independent problems. A zero gradient moves nothing.

    Args:
        gradient: (N, 3, H, W) of the loss, in the budget's space.
        size: l2 length of the step, in the same units.

    Returns:
        (N, 3, H, W) the move, of length `size` or 0.

    Example:
        >>> unit_l2_step(torch.tensor([3.0, 0.0, 4.0]).view(1, 3, 1, 1), size=10.0).flatten()
        tensor([-6., -0., -8.])
    """
    # Dividing by the peak first keeps squares of tiny gradients (tanh saturates) above 0.
    peak = gradient.abs().amax((1, 2, 3), keepdim=True)
    scaled = gradient / torch.where(peak > 0, peak, torch.ones_like(peak))
    norm = torch.linalg.vector_norm(scaled, dim=(1, 2, 3), keepdim=True)
    return -size * scaled / torch.where(peak > 0, norm, torch.ones_like(norm))


@contextmanager
def untouched(hasher: Hasher) -> Iterator[None]:
    """Lends a hasher for an attack: evaluation mode, no gradients for its weights.

    Weights keep no gradient because none is computed: their `requires_grad` is off inside the
    block. Mode (of every submodule) and flags are put back however the block ends.

    Args:
        hasher: any hasher, in any mode.

    Example:
        >>> from hashprobe.models import ImageHasher
        >>> hasher = ImageHasher("small", 16).train()
        >>> with untouched(hasher):
        ...     print(hasher.training, any(p.requires_grad for p in hasher.parameters()))
        False False
        >>> hasher.training, all(p.requires_grad for p in hasher.parameters())
        (True, True)
    """
    modes = [(module, module.training) for module in hasher.modules()]
    flags = [(weight, weight.requires_grad) for weight in hasher.parameters()]
    try:
        hasher.eval()
        for weight, _ in flags:
            weight.requires_grad_(False)
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


def minimise(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    *,
    objective: Objective,
    step_rule: StepRule,
    steps: int,
    budget: Budget,
    on_step: OnStep | None = None,
) -> Images:
    """Projected descent on a loss per query within the budget (DHTA, section 3.2, equation 9).

    x <- clamp(x + step_rule(gradient)) from the clean images on; returns the last iterate. In
    normalised space gradient and step count in normalised units, per channel. Rows never mix:
    each gets what it would get alone, up to the rounding of the network's own kernels.

    Args:
        hasher: left as it was: weights, gradients, flags, mode.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) with entries -1 and +1, or 0 for a bit that is left alone.
        objective: (logits, targets, step) -> (N,) losses.
        step_rule: (N, 3, H, W) gradient -> (N, 3, H, W) move, per sample.
        steps: how many forward and backward passes.
        budget: l-infinity radius and the space it counts in.
        on_step: called with (steps done, steps) after each step.

    Returns:
        (N, 3, H, W) adversarial queries, in the budget and in [0, 1].

    Raises:
        HashprobeError: images or targets that do not fit, a hasher whose logits have another
            shape, are not finite or carry no gradient.

    Example:
        >>> from functools import partial
        >>> from hashprobe.attacks.objectives import inner_product_loss
        >>> from hashprobe.models import ImageHasher
        >>> images = torch.rand(2, 3, 32, 32)
        >>> moved = minimise(
        ...     ImageHasher("small", 16), images, torch.ones(2, 16), budget=Budget(8 / 255),
        ...     objective=lambda z, b, step: inner_product_loss(z, b, 0.1),
        ...     step_rule=partial(unit_l2_step, size=1.0), steps=3)
        >>> bool((moved - images).abs().max() <= 8 / 255 + 1e-6)
        True
    """
    check_images(images)
    check_targets(targets, len(images), hasher.bits)
    # A caller in inference mode may hand over tensors that autograd refuses: work on copies.
    with untouched(hasher), torch.inference_mode(False), torch.enable_grad():
        adversarial, targets = images.detach().clone(), targets.detach().clone()
        box = Box.around(adversarial, budget, hasher.contract)
        for step in range(steps):
            gradient = pixel_gradient(hasher, adversarial, targets, objective, step)
            move = box.unit * step_rule(box.unit * gradient)
            adversarial = box.clamp(adversarial + move)
            if on_step is not None:
                on_step(step + 1, steps)
    return adversarial


def pixel_gradient(
    hasher: Hasher, images: Images, targets: Targets, objective: Objective, step: int
) -> Images:
    """The gradient of each query's loss with respect to its own pixels, and to nothing else."""
    pixels = images.detach().requires_grad_()
    logits = hasher(pixels)
    if logits.shape != targets.shape:
        raise HashprobeError(
            f"the hasher gave logits of shape {tuple(logits.shape)} for {len(images)} images; "
            f"it says that it has {targets.shape[1]} bits"
        )
    if not logits.requires_grad:
        raise HashprobeError(
            "the hasher's logits carry no gradient to the pixels: gradient attacks need one"
        )
    loss = objective(logits, targets.to(logits.dtype), step)
    (gradient,) = torch.autograd.grad(loss.sum(), pixels)
    # One check of both, so that a device waits for the host once a step.
    if not (logits.isfinite().all() & gradient.isfinite().all()):
        what = "gradient" if logits.isfinite().all() else "logits"
        raise HashprobeError(
            f"the hasher's {what} became infinite or NaN at step {step + 1}: "
            "check its weights and its precision"
        )
    return gradient
