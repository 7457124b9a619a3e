"""Single passes through a victim: outputs, and gradients of a loss per query."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.problem import layout
from hashprobe.optim.rule import Compared, Steps, UpdateRule
from hashprobe.tensors import Logits, TargetSets
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher, frozen_eval, in_own_dtype
from hashprobe.victims.features import hash_layer_input
from hashprobe.victims.memory import fitting, saved_bytes
from hashprobe.victims.passes import attend


@checked
def outputs_of(
    victim: Hasher, queries: Queries, runtime: Runtime, compared: Compared = "logits"
) -> Float[Tensor, "n f"]:
    """Logits, or what the hash layer is given, of queries that are not moved; one pass for each.

    They are computed in the victim's own precision, whatever gradients are computed in.

    Args:
        victim: left as it was.
        queries: N images or clips with pixels in [0, 1].
        runtime: how many go through at once.
        compared: `features` for what the hash layer is given.

    Returns:
        (N, K) or (N, F), without a graph.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> outputs_of(ImageHasher("small", 16), queries, Runtime(), "features").shape
        torch.Size([2, 256])
    """
    with frozen_eval(victim), torch.inference_mode(False), torch.no_grad():
        size = runtime.batch_size or rows_that_fit(victim, queries)
        parts = []
        for start in range(0, len(queries), size):
            rows = range(start, min(start + size, len(queries)))
            part = queries.take(slice(rows.start, rows.stop)).laid_out(
                layout(victim, queries.pixels)
            )
            pixels, *lengths = part.given
            given = in_own_dtype(victim, pixels), *lengths
            with attend(rows):
                if compared == "features":
                    with hash_layer_input(victim) as seen:
                        victim(*given)
                    parts.append(features_of(seen, len(part)).to(part.pixels))
                else:
                    parts.append(victim(*given))
    return torch.cat(parts)


def rows_that_fit(victim: Hasher, queries: Queries) -> int:
    """How many queries go through a victim at once, as memory allows; a longest clip decides."""
    longest = 0 if queries.lengths is None else int(queries.lengths.argmax())
    with attend([]):
        pixels, *lengths = queries.take([longest]).given
        each = saved_bytes(victim, in_own_dtype(victim, pixels), *lengths)
    return fitting(each, queries.pixels.device)


def features_of(seen: list[Tensor], count: int) -> Float[Tensor, "n f"]:
    """What the hash layer was given in one pass of so many queries.

    Raises:
        HashprobeError: not one row a query.
    """
    rows = len(seen[0]) if seen else 0
    if rows != count:
        raise HashprobeError(
            f"the features of a query are what the network's last layer is given, one row a query; "
            f"it was given {rows} for {count}: is there a layer after the one that sees frames?"
        )
    return seen[0]


def gradient_of(
    forward: Callable[[Tensor], Logits],
    given: Tensor,
    targets: TargetSets,
    rule: UpdateRule,
    step: Steps,
    victim: Hasher,
) -> tuple[Tensor, Tensor]:
    """What is compared, and the gradient of each query's loss with respect to what is given.

    Args:
        forward: from what is given to logits.
        given: (N, ...) pixels, or what stands for them.
        targets: (N, K) or (N, F).
        rule: says what is compared, and how.
        step: (N,) steps that each query has behind it.
        victim: what `forward` goes through.

    Returns:
        (N, K) or (N, F) without a graph, and a gradient of the shape of `given`, which is for the
        caller to check.

    Raises:
        HashprobeError: outputs of another shape than the targets, without a gradient or not finite.
    """
    given = given.detach().requires_grad_()
    what = "features" if rule.compared == "features" else "logits"
    if what == "features":
        with hash_layer_input(victim) as seen:
            logits = forward(given)
        outputs = features_of(seen, len(targets)).to(given.dtype)
    else:
        logits = forward(given)
        # Half precision would round what targets hold beside codes, such as numbers of rows.
        outputs = logits.to(torch.promote_types(logits.dtype, torch.float32))
    free = rule.compared == "anything"
    if outputs.shape != (len(targets), victim.bits if free else targets.shape[-1]):
        raise HashprobeError(
            f"the victim gave {what} of shape {tuple(outputs.shape)} for {len(given)} images; "
            f"wanted are {victim.bits if free else targets.shape[-1]} each"
        )
    if not outputs.requires_grad:
        raise HashprobeError(
            f"the victim's {what} carry no gradient to the pixels: gradient attacks need one"
        )
    loss = rule.objective(outputs, targets.to(outputs.dtype), step)
    # Backward passes are counted at the logits: a gradient of 0 must reach them, too.
    unused = 0.0 * logits.sum() if what == "features" else 0.0
    (gradient,) = torch.autograd.grad(loss.sum() + unused, given)
    check_finite(outputs, what, step)
    return outputs.detach(), gradient


def check_finite(values: Tensor, what: str, step: Steps) -> None:
    """Refuses outputs or gradients that are not finite."""
    # A sum is finite only if all values are: one pass, and one number to look at. It may overflow.
    if not values.detach().sum().isfinite() and not values.isfinite().all():
        raise HashprobeError(
            f"the victim's {what} became infinite or NaN at step {int(step.min()) + 1}: "
            "check its weights and its precision"
        )
