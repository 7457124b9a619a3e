"""What an attack moves of its queries, and how the victim sees it: all of each, or some frames."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from hashprobe.data.queries import Queries
from hashprobe.optim.box import Box, snapped
from hashprobe.tensors import Clips, Frames, Images, Logits
from hashprobe.victims.base import Hasher, dtype_of
from hashprobe.victims.encoding import judging
from hashprobe.victims.memory import fitting, saved_bytes
from hashprobe.victims.passes import attend, note
from hashprobe.victims.seen import remember


Rows = Int64[Tensor, " m"]
"""Which queries, by their places among all."""


class Problem:
    """All pixels of every query: images, or clips with all their frames.

    Args:
        victim: what gradients are taken through, in evaluation mode.
        judge: the victim in float32, which confirms codes that a lower precision has reached.
        queries: N images or clips with pixels in [0, 1].
        box: where their pixels may go.
        confirm: whether a code that the victim gives for reached is confirmed by the judge; by
            default where they are not one.
    """

    start: Images
    """(N, ...) what moves, where it starts from."""
    open: Frames | None
    """Which frames of it may move; None for images."""
    box: Box
    """Where it may go."""
    room: Box
    """The same before padding is closed."""

    def __init__(
        self,
        victim: Hasher,
        judge: Hasher,
        queries: Queries,
        box: Box,
        confirm: bool | None = None,
    ) -> None:
        self.victim, self.judge, self.dtype = victim, judge, dtype_of(judge)
        self.confirm = victim is not judge if confirm is None else confirm
        self.start, self.lengths = queries.pixels, queries.lengths
        self.open = queries.own if queries.pixels.ndim == 5 else None
        self.room = box
        self.box = box if self.open is None else box.within(self.start, self.open)
        self.layout = layout(victim, self.start)

    def forward(self, rows: Rows, pixels: Images) -> Logits:
        """Logits of some queries whose pixels have moved."""
        logits: Tensor = self.victim(*self.given(rows, pixels))
        return logits

    def exact(self, rows: Rows, pixels: Images) -> Logits:
        """The same as the victim is judged, with nothing that was computed before."""
        whole = self.paste(rows, pixels)
        with judging(self.judge, pixels.device):
            logits: Tensor = self.judge(*self.given(rows, whole))
        if whole.ndim == 4:  # the runner need not ask again
            remember(self.judge, whole, logits)
        return logits

    def given(self, rows: Rows, queries: Images) -> tuple[Tensor, ...]:
        """What a victim is called with: pixels in its own dtype and, of clips, their lengths."""
        queries = queries.to(self.dtype or queries.dtype)
        return (queries,) if self.lengths is None else (queries, self.lengths[rows])

    def paste(self, rows: Rows, pixels: Images) -> Images:
        """The whole queries, with what has moved in its place."""
        return pixels

    def origin(self, row: int) -> Images:
        """Where a query starts, in the units of the box."""
        start = self.box.scale * self.start[row : row + 1]
        return snapped(start) if self.box.scale > 1 else start

    def pool(self, rows: list[int]) -> int:
        """How many of some queries go through the victim at once: as memory allows."""
        counts = [0] * len(self.start) if self.open is None else self.open.sum(1).tolist()
        longest = torch.tensor([max(rows, key=lambda row: counts[row])], device=self.start.device)
        with attend([]):
            each = saved_bytes(
                self.victim, self.start[longest], through=lambda one: self.forward(longest, one)
            )
        weights = sum(weight.nbytes for weight in self.victim.parameters())
        return fitting(each, self.start.device, weights if self.start.ndim == 4 else None)


class FrameSubset(Problem):
    """Some frames of each clip; what a victim makes of the others is computed once.

    Where the victim looks at every frame by itself first, a pass costs only the frames that move.

    Args:
        victim: what gradients are taken through, in evaluation mode.
        judge: the victim in float32.
        queries: N clips with pixels in [0, 1].
        box: where all their pixels may go.
        open: (N, T) which frames move.
        features: (N, T, F) what a `FramewiseHasher` makes of the frames; None for other victims.
    """

    def __init__(
        self,
        victim: Hasher,
        judge: Hasher,
        queries: Queries,
        box: Box,
        open: Frames,
        features: Float[Tensor, "n t f"] | None,
    ) -> None:
        most = int(open.sum(1).max())
        # The places of open frames in their order, and then those of the others.
        order = (~open).to(torch.int8).argsort(dim=1, stable=True)[:, :most]
        rows = torch.arange(len(open), device=open.device).unsqueeze(1)
        self.victim, self.judge, self.dtype = victim, judge, dtype_of(judge)
        self.confirm = victim is not judge
        self.start, self.open = queries.pixels[rows, order], open[rows, order]
        chosen = box.bounded(box.low[rows, order], box.high[rows, order])
        self.box = chosen.within(self.start, self.open)
        self.layout = layout(victim, self.start)
        self.places = torch.where(self.open, order, -1)
        self.clips, self.lengths, self.features = queries.pixels, queries.lengths, features

    def forward(self, rows: Rows, pixels: Images) -> Logits:
        """Logits of some clips whose chosen frames have moved."""
        if self.features is None:
            logits: Tensor = self.victim(*self.given(rows, self.paste(rows, pixels)))
            return logits
        assert isinstance(self.lengths, Tensor)
        places = self.places[rows]
        row, column = (places >= 0).nonzero(as_tuple=True)
        frames = pixels[row, column].to(self.dtype or pixels.dtype)
        seen = self.victim.features(frames)  # type: ignore[operator]
        features = self.features[rows].to(seen).index_put((row, places[row, column]), seen)
        logits = self.victim.code(features, self.lengths[rows])  # type: ignore[operator]
        note(logits)
        return logits

    def paste(self, rows: Rows, pixels: Images) -> Clips:
        """The whole clips, with the frames that have moved in their places."""
        places = self.places[rows]
        row, column = (places >= 0).nonzero(as_tuple=True)
        return self.clips[rows].index_put((row, places[row, column]), pixels[row, column])


def layout(victim: Hasher, pixels: Tensor) -> torch.memory_format:
    """How pixels lie in memory: as the victim's own filters do; clips always frame after frame.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> victim = ImageHasher("small", 16).to(memory_format=torch.channels_last)
        >>> layout(victim, torch.rand(1, 3, 32, 32))
        torch.channels_last
    """
    if pixels.ndim != 4:
        return torch.contiguous_format
    filters = [weight for weight in victim.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    last = filters and all(w.is_contiguous(memory_format=torch.channels_last) for w in filters)
    return torch.channels_last if last else torch.contiguous_format
