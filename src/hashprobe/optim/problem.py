"""What an attack moves of its queries: all of each, or some frames of a clip."""

from collections.abc import Callable
from functools import partial

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hashprobe.optim.frames import largest
from hashprobe.optim.gradients import gradient_of
from hashprobe.optim.rule import Descent
from hashprobe.optim.session import Session
from hashprobe.tensors import Clips, Images, Logits, Targets
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import FramewiseHasher, gathered, own_frames, spread_out


class Moving:
    """All of every query: images, or clips with all their frames.

    Args:
        images: (N, 3, H, W) in [0, 1], or clips.
        lengths: (N,) frames of each clip; None for images, and where all have T.

    Example:
        >>> Moving(torch.zeros(2, 4, 3, 8, 8), torch.tensor([4, 2])).given.int().tolist()
        [[1, 1, 1, 1], [1, 1, 0, 0]]
    """

    pixels: Images
    """(N, ...) what moves, where it starts from."""
    given: Bool[Tensor, "n t"] | None
    """Which frames of it are a clip's own and may move; None for images."""

    def __init__(self, images: Images, lengths: Int64[Tensor, " n"] | None) -> None:
        self.pixels, self.lengths = images, lengths
        self.given = own_frames(images, lengths) if images.ndim == 5 else None

    def inputs(self, rows: Int64[Tensor, " m"], pixels: Images) -> tuple[Tensor, ...]:
        """What a hasher is called with for some queries whose pixels have moved."""
        return self.anew(rows, pixels)

    def anew(self, rows: Int64[Tensor, " m"], pixels: Images) -> tuple[Tensor, ...]:
        """The same with nothing that was computed before."""
        images = self.whole(rows, pixels)
        return (images,) if self.lengths is None else (images, self.lengths[rows])

    def whole(self, rows: Int64[Tensor, " m"], pixels: Images) -> Images:
        """The queries themselves, with what has moved in its place."""
        return pixels


class SomeFrames(Moving):
    """Some frames of each clip; what a hasher makes of the others is computed once.

    Where the hasher looks at every frame by itself first, a pass costs only the frames that move.

    Args:
        clips: (N, T, 3, H, W) in [0, 1].
        lengths: (N,) frames of each clip; None where the hasher is not told.
        open: (N, T) which frames move.
        features: (N, T, F) what a `FramewiseHasher` makes of those that stand still; None for other
            hashers.

    Example:
        >>> open = torch.tensor([[False, True, True], [True, False, False]])
        >>> moving = SomeFrames(torch.rand(2, 3, 3, 8, 8), torch.tensor([3, 1]), open, None)
        >>> moving.pixels.shape, moving.places.tolist()
        (torch.Size([2, 2, 3, 8, 8]), [[1, 2], [0, -1]])
    """

    def __init__(
        self,
        clips: Clips,
        lengths: Int64[Tensor, " n"] | None,
        open: Bool[Tensor, "n t"],
        features: Float[Tensor, "n t f"] | None,
    ) -> None:
        most = int(open.sum(1).max())
        # The places of open frames in their order, and then those of the others.
        order = (~open).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
        rows = torch.arange(len(clips), device=clips.device).unsqueeze(1)
        self.pixels, self.given = clips[rows, order], open[rows, order]
        self.places = torch.where(self.given, order, -1)
        self.clips, self.lengths, self.features = clips, lengths, features

    def inputs(self, rows: Int64[Tensor, " m"], pixels: Images) -> tuple[Tensor, ...]:
        """What a hasher is called with: the frames that move, if it can do with them."""
        if self.features is None:
            return self.anew(rows, pixels)
        assert self.lengths is not None
        return pixels, self.lengths[rows], self.places[rows], self.features[rows]

    def whole(self, rows: Int64[Tensor, " m"], pixels: Images) -> Clips:
        """The clips themselves, with what has moved in its place."""
        places = self.places[rows]
        row, column = (places >= 0).nonzero(as_tuple=True)
        return self.clips[rows].index_put((row, places[row, column]), pixels[row, column])


def some_frames(
    hasher: Hasher,
    clips: Clips,
    targets: Targets,
    descent: Descent,
    counts: Int64[Tensor, " n"],
    *,
    session: Session,
) -> Moving:
    """The frames of each clip that the gradient at the clean clip promises most of.

    The gradient is that of the descent's first step, with respect to what the hasher sees of each
    frame by itself, or to the pixels where it does not look at frames by themselves. Taken are the
    frames whose part of it has the largest l1 norm: by so much, to first order, the loss falls when
    every value of that frame's part moves by one.

    Args:
        hasher: lent already.
        clips: (N, T, 3, H, W) in [0, 1].
        targets: (N, K) or (N, F).
        descent: says what is compared, and how.
        counts: (N,) frames of each clip, at least 1.
        session: counts the pass that this takes of each clip that has more frames than are wanted,
            and says how long the clips are.

    Returns:
        The frames; all of the clips, where none has more than are wanted.
    """
    own = own_frames(clips, session.lengths)
    chosen = (counts < own.sum(1)).nonzero().squeeze(1)
    if not len(chosen):
        return Moving(clips, session.lengths)
    fast, framewise = session.fast(hasher), isinstance(hasher, FramewiseHasher)
    lengths = own.sum(1) if framewise else session.lengths
    whole = Moving(clips, lengths)
    first = own.sum(1).argmax().unsqueeze(0)
    size = 1 if framewise else session.rows(hasher, *whole.inputs(first, clips[first]))
    norms, features = clips.new_zeros(own.shape), None
    for rows in torch.split(chosen, size):
        if framewise:
            given, forward = seen_by(fast, clips[rows], own[rows])
            # Nothing is needed of a clip whose frames all move.
            features = given.new_zeros(*own.shape, given.shape[2]) if features is None else features
            features[rows] = given
        else:
            given, forward = clips[rows], partial(call, fast, whole, rows)
        with session.attend(rows.tolist()):
            step = torch.zeros_like(rows)
            _, gradient = gradient_of(fast, forward, given, targets[rows], descent, step)
        norms[rows] = gradient.abs().flatten(2).sum(2).to(norms)
    open = own & largest(norms.masked_fill(~own, -1), counts)
    return SomeFrames(clips, lengths, open, features)


def call(hasher: Hasher, moving: Moving, rows: Int64[Tensor, " m"], pixels: Images) -> Logits:
    """Logits of some queries whose pixels have moved."""
    logits: Tensor = hasher(*moving.inputs(rows, pixels))
    return logits


def seen_by(
    hasher: Hasher, clips: Clips, own: Bool[Tensor, "n t"]
) -> tuple[Tensor, Callable[[Tensor], Logits]]:
    """What a `FramewiseHasher`, or its copy, sees of each frame, and its way on to logits."""
    with torch.no_grad():
        seen = spread_out(hasher.features(gathered(clips, own)), own)  # type: ignore[operator]
    lengths = own.sum(1)
    none, nowhere = clips[:, :0], lengths.new_zeros(len(lengths), 0)
    return seen, lambda features: hasher(none, lengths, nowhere, features)
