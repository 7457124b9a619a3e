"""What an attack computes with, and what it has used: precision, batches, counts, progress."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.memory import fitting, saved_bytes


Precision = Literal["float32", "bfloat16"]
"""What gradients are computed in; pixels and judgement stay in float32."""
OnStep: TypeAlias = Callable[[int, int], None]
"""Called with (query steps done, query steps at most)."""
OnDone: TypeAlias = Callable[[list[int], Images], None]
"""Called with the rows of queries that are finished and their adversarial images."""


class Converted(Hasher):
    """A copy of a hasher that computes in bfloat16, its weights held in it.

    Each module that owns weights is converted and casts what it is given; what a hasher does to
    its pixels before (its normalisation) stays in float32, where grey levels are still told apart.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> fast = Converted(ImageHasher("small", 16).eval())
        >>> fast(torch.rand(2, 3, 32, 32)).dtype
        torch.float32
    """

    def __init__(self, hasher: Hasher) -> None:
        super().__init__(hasher.bits, hasher.contract)
        try:
            self.inner = copy.deepcopy(hasher)
        except (RuntimeError, TypeError) as error:
            raise HashprobeError(
                f"bfloat16 needs a copy of the hasher, and it cannot be copied ({error}): "
                "use precision float32"
            ) from error
        self.inner.eval().requires_grad_(False)
        for module in self.inner.modules():
            if holds_weights(module):
                convert(module)
                module.register_forward_pre_hook(cast_inputs, with_kwargs=True)
        lay_channels_last(self.inner)

    def features(self, frames: Images) -> Tensor:
        """What a `FramewiseHasher` makes of single frames, given back in float32."""
        given = frames.float()
        if holds_weights(self.inner):
            given = cast(given)
        features: Tensor = self.inner.features(given)  # type: ignore[operator]
        return features.float()

    def forward(self, images: Images, *more: Tensor) -> Logits:
        """Logits of images or clips in [0, 1], given back in float32."""
        logits: Tensor = self.inner(images.float(), *more)
        return logits.float()


def holds_weights(module: nn.Module) -> bool:
    """Whether a module has floating weights of its own, beside those of its children."""
    return any(weight.is_floating_point() for weight in module.parameters(recurse=False))


def convert(module: nn.Module) -> None:
    """Holds a module's own weights and buffers, and not those of its children, in bfloat16."""
    for weight in module.parameters(recurse=False):
        if weight.is_floating_point():
            weight.data = weight.data.to(torch.bfloat16)
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.is_floating_point():
            setattr(module, name, buffer.to(torch.bfloat16))


def cast_inputs(
    _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a converted module is given, in its own precision."""
    return cast(inputs), {name: cast(value) for name, value in named.items()}


def cast(given: Any) -> Any:
    """Tensors in bfloat16 where they are floating, those inside sequences too.

    Example:
        >>> state, places = cast((torch.zeros(1), torch.tensor([1])))
        >>> state.dtype, places.dtype
        (torch.bfloat16, torch.int64)
    """
    if isinstance(given, Tensor | PackedSequence):
        floating = (given if isinstance(given, Tensor) else given.data).is_floating_point()
        return given.to(torch.bfloat16) if floating else given
    if isinstance(given, list):
        return [cast(each) for each in given]
    return tuple(cast(each) for each in given) if isinstance(given, tuple) else given


class Session:
    """How the passes of an attack are computed, counted and watched; one for each run of `craft`.

    An attack hands it on to one call of the engine with all its queries; more calls, or calls with
    some of them, do without it, since rows are kept as they finish. An attack that calls the hasher
    by itself can leave it alone: the passes are counted from outside, whatever it says of itself.

    Args:
        precision: what gradients are computed in; `bfloat16` takes one converted copy of the
            hasher.
        batch_size: queries in the network at once; None chooses by the memory of the machine and
            what one query needs.
        lengths: (N,) frames of each query, where they are clips; None for images.
        on_step: called with (query steps done, query steps at most).
        on_done: called with (rows, images) as queries finish.

    Raises:
        HashprobeError: an unknown precision, or a batch size below 1.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> session, hasher = Session(), ImageHasher("small", 16)
        >>> with session.counting(hasher, 3):
        ...     _ = hasher(torch.rand(3, 3, 32, 32))
        >>> session.forwards, session.backwards
        (array([1, 1, 1]), array([0, 0, 0]))
    """

    def __init__(
        self,
        *,
        precision: Precision = "float32",
        batch_size: int | None = None,
        lengths: Int64[Tensor, " n"] | None = None,
        on_step: OnStep | None = None,
        on_done: OnDone | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            known = " or ".join(get_args(Precision))
            raise HashprobeError(f"precision must be {known}; got {precision!r}")
        if batch_size is not None and batch_size < 1:
            raise HashprobeError(f"batch size must be at least 1; got {batch_size}")
        self.precision = precision
        self.batch_size = batch_size
        self.fits: dict[tuple[int, ...], tuple[int, int]] = {}
        self.lengths = lengths
        self.on_step = on_step
        self.on_done = on_done
        self.forwards: Int64[np.ndarray, " n"] = np.zeros(0, np.int64)
        self.backwards: Int64[np.ndarray, " n"] = np.zeros(0, np.int64)
        self.attending: Sequence[int] | None = None
        self.copy_of: tuple[Hasher, Converted] | None = None

    def fast(self, hasher: Hasher) -> Hasher:
        """The hasher that gradients are taken through: itself, or its one bfloat16 copy."""
        if self.precision == "float32":
            return hasher
        if self.copy_of is None or self.copy_of[0] is not hasher:
            self.copy_of = (hasher, Converted(hasher))
        return self.copy_of[1]

    def rows(self, hasher: Hasher, *inputs: Tensor) -> int:
        """How many queries go through the network at once.

        Args:
            hasher: the victim.
            inputs: what it is called with for one of them, of clips a longest one.
        """
        if self.batch_size is not None:
            return self.batch_size
        shape = tuple(inputs[0].shape)
        length = int(inputs[1].max()) if len(inputs) > 1 else 0
        # A longer clip than any before needs more.
        if shape not in self.fits or self.fits[shape][0] < length:
            with self.attend([]):
                each = saved_bytes(self.fast(hasher), *inputs)
            self.fits[shape] = length, fitting(each, inputs[0].device)
        return self.fits[shape][1]

    @property
    def largest(self) -> int:
        """The most queries that have gone through the network at once."""
        return self.batch_size or max((size for _, size in self.fits.values()), default=1)

    def more(self, rows: Any) -> tuple[Tensor, ...]:
        """What a hasher is given beside the pixels of some queries: their lengths, for clips."""
        return () if self.lengths is None else (self.lengths[rows],)

    @contextmanager
    def attend(self, rows: Sequence[int]) -> Iterator[None]:
        """Says which queries the passes inside the block belong to; to none, with no rows."""
        before, self.attending = self.attending, rows
        try:
            yield
        finally:
            self.attending = before

    @contextmanager
    def counting(self, hasher: Hasher, n: int) -> Iterator[None]:
        """Counts the passes of n queries through a hasher and its copy, from outside.

        A pass of other rows than all of them, which nobody attends, is shared out among all.
        """
        self.forwards, self.backwards = np.zeros(n, np.int64), np.zeros(n, np.int64)
        rest = {"forwards": 0, "backwards": 0}

        def add(counts: Int64[np.ndarray, " n"], name: str, given: int, rows: Any) -> None:
            if rows is not None and len(rows) in (0, given):
                counts[list(rows)] += 1
                return
            whole, rest[name] = divmod(given + rest[name], n)
            counts += whole

        def forward(_: nn.Module, inputs: Any, logits: Tensor) -> None:
            given, rows = len(logits), self.attending
            add(self.forwards, "forwards", given, rows)
            if logits.requires_grad:
                logits.register_hook(  # type: ignore[no-untyped-call]
                    lambda _: add(self.backwards, "backwards", given, rows)
                )

        watched = [hasher] if self.fast(hasher) is hasher else [hasher, self.fast(hasher)]
        handles = [one.register_forward_hook(forward) for one in watched]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
