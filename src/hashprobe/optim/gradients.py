"""Single passes through a hasher that is lent: outputs and gradients."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hashprobe.errors import HashprobeError
from hashprobe.optim.rule import Compared, Descent, Steps
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.victims.base import Hasher, untouched
from hashprobe.victims.features import hash_layer_input


def layout(hasher: Hasher, images: Tensor) -> torch.memory_format:
    """How pixels lie in memory: as the hasher's own filters do; clips always frame after frame.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> hasher = ImageHasher("small", 16).to(memory_format=torch.channels_last)
        >>> layout(hasher, torch.rand(1, 3, 32, 32))
        torch.channels_last
    """
    if images.ndim != 4:
        return torch.contiguous_format
    filters = [weight for weight in hasher.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    last = filters and all(w.is_contiguous(memory_format=torch.channels_last) for w in filters)
    return torch.channels_last if last else torch.contiguous_format


def outputs_of(
    hasher: Hasher,
    images: Images,
    session: Session,
    compared: Compared = "logits",
    lengths: Int64[Tensor, " n"] | None = None,
) -> Float[Tensor, "n f"]:
    """Logits, or what the hash layer is given, of images that are not moved; one pass for each.

    Args:
        hasher: left as it was.
        images: (N, 3, H, W) in [0, 1].
        session: counts the passes, and says how many images go through at once.
        compared: `features` for what the hash layer is given.
        lengths: (N,) frames of each, where they are clips; by default those of the queries.

    Returns:
        (N, K) or (N, F), without a graph.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> hasher, images = ImageHasher("small", 16), torch.rand(2, 3, 32, 32)
        >>> outputs_of(hasher, images, Session(), "features").shape
        torch.Size([2, 256])
    """
    lengths = session.lengths if lengths is None else lengths
    with untouched(hasher), torch.inference_mode(False), torch.no_grad():
        first = slice(1) if lengths is None else lengths.argmax().unsqueeze(0)
        size = session.rows(hasher, images[first], *() if lengths is None else (lengths[first],))
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size].detach().clone()
            part = part.contiguous(memory_format=layout(hasher, part))
            more = () if lengths is None else (lengths[start : start + size],)
            rows = range(start, start + len(part))
            with session.attend(rows), hash_layer_input(hasher) as seen:
                logits = hasher(part, *more)
            parts.append(
                features_of(seen, len(part)).to(part) if compared == "features" else logits
            )
    return torch.cat(parts)


def features_of(seen: list[Tensor], count: int) -> Float[Tensor, "n f"]:
    """What the hash layer was given in one pass of so many queries.

    Raises:
        HashprobeError: not one row a query.
    """
    rows = len(seen[0]) if seen else 0
    if rows != count:
        raise HashprobeError(
            f"the features of a query are what the network's last layer is given, one row a query; "
            f"it was given {rows} for {count}: has it a layer after the one that sees frames?"
        )
    return seen[0]


def gradient_of(
    hasher: Hasher,
    forward: Callable[[Tensor], Logits],
    given: Tensor,
    targets: Targets,
    descent: Descent,
    step: Steps,
) -> tuple[Tensor, Tensor]:
    """What is compared, and the gradient of each query's loss with respect to what is given.

    Args:
        hasher: what `forward` goes through.
        forward: from what is given to logits.
        given: (N, ...) pixels, or what stands for them.
        targets: (N, K) or (N, F).
        descent: says what is compared, and how.
        step: (N,) steps that each query has behind it.

    Returns:
        (N, K) or (N, F) without a graph, and a gradient of the shape of `given`.

    Raises:
        HashprobeError: outputs of another shape than the targets, without a gradient or not finite.
    """
    given = given.detach().contiguous(memory_format=layout(hasher, given)).requires_grad_()
    if descent.compared == "features":
        what = "features"
        with hash_layer_input(hasher) as seen:
            logits = forward(given)
        outputs = features_of(seen, len(targets)).to(given.dtype)
    else:
        what = "logits"
        logits = outputs = forward(given)
    if outputs.shape != targets.shape:
        raise HashprobeError(
            f"the hasher gave {what} of shape {tuple(outputs.shape)} for {len(given)} images; "
            f"wanted are {targets.shape[1]} each"
        )
    if not outputs.requires_grad:
        raise HashprobeError(
            f"the hasher's {what} carry no gradient to the pixels: gradient attacks need one"
        )
    loss = descent.objective(outputs, targets.to(outputs.dtype), step)
    # Passes are counted where logits are given: a gradient of nought must reach them, too.
    unused = 0.0 if logits is outputs else 0.0 * logits.sum()
    (gradient,) = torch.autograd.grad(loss.sum() + unused, given)
    if not (outputs.isfinite().all() & gradient.isfinite().all()):
        what = "gradient" if outputs.isfinite().all() else what
        raise HashprobeError(
            f"the hasher's {what} became infinite or NaN at step {int(step.min()) + 1}: "
            "check its weights and its precision"
        )
    return outputs.detach(), gradient.contiguous()
