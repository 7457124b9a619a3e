"""Which frames of a clip an attack changes, and whether it changes all of them alike."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from hashprobe.data.queries import own_frames
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Frames, Lengths
from hashprobe.types import Budget


def check_frame_rule(budget: Budget, images: Tensor) -> None:
    """Refuses a rule about frames where there are none.

    Raises:
        HashprobeError: it is one, and these are images.

    Example:
        >>> check_frame_rule(Budget(shared=True), torch.zeros(2, 3, 8, 8))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: frames and shared are for clips; got images
    """
    if (budget.frames is not None or budget.shared) and images.ndim != 5:
        raise HashprobeError("frames and shared are for clips; got images")


def keep_rule(change: Tensor, budget: Budget, lengths: Lengths | None = None) -> Tensor:
    """The part of a change of clips that a budget's rule about frames allows.

    Padding is never changed. Of more frames than `frames` those that change most stay. Where all
    must change alike, each value takes the largest of the changes that the frames have there: a
    shared change that black and white have cut short in some frames comes back whole.

    Args:
        change: (N, T, 3, H, W), floating or of whole grey levels.
        budget: `frames` and `shared` of it.
        lengths: (N,) frames of each clip; None where all have T.

    Returns:
        The same shape and dtype. With `shared` it may lead beyond black and white: clamp it there.

    Example:
        >>> change = torch.tensor([3, -5, 4]).view(1, 3, 1, 1, 1).expand(1, 3, 3, 1, 1)
        >>> keep_rule(change, Budget(frames=2))[0, :, 0, 0, 0].tolist()
        [0, -5, 4]
        >>> keep_rule(change, Budget(shared=True))[0, :, 0, 0, 0].tolist()
        [-5, -5, -5]
    """
    mask = spread(kept_frames(change, budget, lengths))
    change = change * mask
    if budget.shared:
        change = change.gather(1, change.abs().argmax(1, keepdim=True)) * mask
    return change


def kept_frames(change: Tensor, budget: Budget, lengths: Lengths | None = None) -> Frames:
    """The frames whose change a budget allows."""
    own = own_frames(change, lengths)
    if budget.frames is None:
        return own
    size = change.abs().sum((2, 3, 4), dtype=torch.float64)
    # What is not a number stays, to be refused later.
    return own & ~(size <= 0) & largest(size.masked_fill(~own, -1), budget.frames)


def largest(size: Tensor, counts: int | Int64[Tensor, " n"]) -> Frames:
    """The `counts` largest of each row; the first of equal ones."""
    order = size.argsort(dim=1, descending=True, stable=True)
    counts = torch.as_tensor(counts, device=size.device).expand(len(size))
    taken = torch.arange(size.shape[1], device=size.device) < counts.unsqueeze(1)
    return torch.zeros_like(taken).scatter_(1, order, taken)


def spread(frames: Frames) -> Bool[Tensor, "n t 1 1 1"]:
    """A mask of frames, for their pixels."""
    return frames[:, :, None, None, None]
