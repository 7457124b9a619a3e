"""Probes a victim on a few pictures before anything is attacked or encoded."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Lengths, Logits
from hashprobe.victims.base import Hasher, in_own_dtype
from hashprobe.victims.checks import check_logits, naming_pixels
from hashprobe.victims.encoding import device_of, judging
from hashprobe.victims.output_checks import (
    check_bits_turn,
    check_gradient,
    check_saturation,
    is_suspicious,
    sign_columns,
)
from hashprobe.victims.passes import attend


PICTURES, CLIPS = 4, 2
"""Clean queries that are probed at most."""
REPEATED = 1e-4
"""Difference of two passes, in units of the mean |logit|, that rounding does not make."""
TURNED, MOVED = 0.02, 0.1
"""The same for a query alone and in a batch: for bits that turn over, and for any logit."""
FEWEST = 3
"""Pictures from which two signs of one size are no accident."""
FEW_SIGNS = 0.25
"""Share of outputs without a gradient up to which an attack is worth while."""
REPEATS = 3
"""Further passes of the same pictures, where there is a difference."""
OUTPUTS = 64
"""Outputs of a query that tell how a victim behaves."""
PUSH = 0.5
"""How far pixels are moved to see whether any bit turns over."""


@checked
@dataclass(frozen=True)
class Preflight:
    """What a probe found that is no reason to refuse a victim.

    Example:
        >>> Preflight().writes
        False
    """

    writes: bool = False
    """Whether the victim writes into what it is given, or into outputs that it gave before."""
    notes: tuple[str, ...] = ()
    """What a user should know, one line each."""
    outputs: tuple[tuple[float, ...], ...] = ()
    """The first outputs of two clean queries: how the victim behaves."""


@checked
def preflight(
    victim: Hasher, queries: Queries, *, gradients: bool = False, batch_size: int | None = None
) -> Preflight:
    """Refuses a victim whose codes or gradients cannot be trusted.

    A few clean queries, their negatives and one picture of noise go through the victim together,
    with gradients if these are needed; then each clean query goes through alone. Further passes are
    taken where something is suspicious.

    Args:
        victim: left as it was.
        queries: N queries, uint8 or floating in [0, 1]; a few of them are taken.
        gradients: whether the victim will be attacked by gradients.
        batch_size: most queries in the network at once; None for all that are probed.

    Returns:
        Whether the victim has to be guarded, and what is worth a line.

    Raises:
        HashprobeError: outputs that are no real finite (N, K) tensor, that differ from pass to
            pass or by what else is in the batch, or whose bits never turn over; with `gradients`,
            outputs without a gradient, or saturated ones.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> preflight(ImageHasher("small", 16), Queries(torch.rand(2, 3, 32, 32))).writes
        False
    """
    if batch_size is not None and batch_size < 1:
        raise HashprobeError(f"batch size must be at least 1; got {batch_size}")
    if victim.query_only and gradients:
        raise HashprobeError(
            f"{victim.query_only}: it gives no gradients, so that only attacks by queries are left"
        )
    clean = some_of(queries, device_of(victim))
    pixels, lengths = with_synthetic(clean)
    passes = Passes(victim, batch_size or len(pixels))
    try:
        with attend([]), torch.inference_mode(False), judging(victim, pixels.device):
            return probe(passes, in_own_dtype(victim, pixels), lengths, len(clean), gradients)
    except torch.OutOfMemoryError as error:
        if passes.size == 1:
            raise HashprobeError(
                f"{pixels.device} has too little memory for one query: take smaller images, fewer "
                "frames or another device"
            ) from error
    return preflight(victim, clean, gradients=gradients, batch_size=1)


@contextmanager
def guarded(victim: Hasher, found: Preflight) -> Iterator[None]:
    """Gives a victim that writes into tensors copies of them, and takes copies, for a while.

    Args:
        victim: the victim; copies of it that are made inside the block are guarded, too.
        found: what `preflight` found.
    """
    if not found.writes:
        yield
        return
    before = victim.register_forward_pre_hook(copy_given)
    after = victim.register_forward_hook(copy_made)
    try:
        yield
    finally:
        before.remove()
        after.remove()


def copy_given(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copies of the tensors that a module is given."""
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in given)


def copy_made(_: Any, __: Any, made: Any) -> Any:
    """A copy of the tensor that a module gives."""
    return made.clone() if isinstance(made, Tensor) else made


def some_of(queries: Queries, device: torch.device) -> Queries:
    """A few queries from all over, none twice, with floating pixels on a device."""
    most = CLIPS if queries.pixels.ndim == 5 else PICTURES
    rows = np.unique(np.linspace(0, len(queries) - 1, min(most, len(queries))).astype(int))
    some = queries.take(rows.tolist()).on(device)
    some = some.laid_out(torch.contiguous_format)
    return some.take(
        [
            row
            for row in range(len(some))
            if not any(torch.equal(some.pixels[row], some.pixels[other]) for other in range(row))
        ]
    )


def with_synthetic(clean: Queries) -> tuple[Tensor, Lengths | None]:
    """Pixels and lengths of clean queries, then of negatives of some and of a picture of noise."""
    few = 2 if clean.lengths is None else 1
    chance = torch.Generator().manual_seed(0)
    noise = torch.rand(clean.pixels[:1].shape, generator=chance).to(clean.pixels)
    pixels = torch.cat([clean.pixels, 1 - clean.pixels[:few], noise])
    lengths = clean.lengths
    return pixels, None if lengths is None else torch.cat([lengths, lengths[:few], lengths[:1]])


@dataclass
class Passes:
    """Passes of pictures through a victim, and what it does to tensors meanwhile."""

    victim: Hasher
    size: int
    """Most pictures in one pass."""
    writes: bool = False
    """Whether it wrote into what it was given."""
    made: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Outputs without a graph, and copies of them from when they were made."""

    def __call__(self, pixels: Tensor, lengths: Lengths | None, size: int = 0) -> Logits:
        """Logits of pictures, so many of them at once."""
        parts, size = [], size or self.size
        for start in range(0, len(pixels), size):
            rows = slice(start, start + size)
            parts.append(self.one(pixels[rows], None if lengths is None else lengths[rows]))
        return torch.cat(parts)

    def one(self, pixels: Tensor, lengths: Lengths | None) -> Logits:
        """Logits of pictures that go through together."""
        given = [pixels.clone()] if lengths is None else [pixels.clone(), lengths.clone()]
        with naming_pixels(pixels, self.victim):
            logits: Tensor = self.victim(*given)
        check_logits(logits, len(pixels), self.victim.bits)
        self.writes |= not torch.equal(given[0].detach(), pixels.detach())
        self.writes |= lengths is not None and not torch.equal(given[1], lengths)
        self.made.append((logits.detach(), logits.detach().clone()))
        return logits.clone()

    @property
    def reused(self) -> bool:
        """Whether outputs have changed since they were made."""
        return any(not torch.equal(now, then) for now, then in self.made)


def probe(
    passes: Passes, pixels: Tensor, lengths: Lengths | None, clean: int, gradients: bool
) -> Preflight:
    """Everything that is probed; the first pictures are the clean ones."""
    with torch.set_grad_enabled(gradients):
        leaf = pixels.clone().requires_grad_(gradients)
        raw = passes(leaf, lengths)
    logits = raw.detach().double().clone()
    check_finite(logits[:clean])
    check_repeated(passes, pixels, lengths, logits[:clean])
    if passes.reused and gradients:
        raise HashprobeError(
            "the network writes its outputs into a tensor that it keeps, so that no gradient can "
            "be taken twice: let it return a tensor that is new in every pass"
        )
    slope = slope_of(raw, leaf, kept=True) if gradients else None
    # A negative of a constant picture may be no number; that is nobody's query.
    there = logits[logits.isfinite().all(1)]
    notes = check_gradient(there, slope, clean) if gradients else []
    if passes.victim.query_only:
        notes.append(f"note: {passes.victim.query_only}: only attacks by queries can be used")
    if is_suspicious(there):
        notes += check_bits_turn(there, pushed(passes, pixels, lengths), gradients)
    if gradients and not notes:
        check_saturation(there)
        notes += check_signs(there, raw, leaf)
    shown = tuple(tuple(row[:OUTPUTS].tolist()) for row in logits[: min(2, clean)])
    return Preflight(passes.writes or passes.reused, tuple(notes), shown)


def check_finite(logits: Logits) -> None:
    """Refuses outputs of clean queries that are not finite."""
    bad = ~logits.isfinite().all(1)
    if bad.any():
        kind = "NaN" if logits[bad].isnan().any() else "infinite values"
        raise HashprobeError(
            f"the network gives {kind} for {int(bad.sum())} of {len(logits)} queries that were "
            "probed: check its weights, its precision and its normalisation"
        )


def check_repeated(
    passes: Passes, pixels: Tensor, lengths: Tensor | None, together: Logits
) -> None:
    """Refuses outputs that are others in a second pass, or for a query alone.

    Raises:
        HashprobeError: with the number of bits that differ.
    """
    clean = len(together)
    scale = together.abs().mean().clamp_min(torch.finfo(torch.float64).tiny)
    own = None if lengths is None else lengths[:clean]
    alone = passes(pixels[:clean], own, 1).double()
    apart = (alone - together).abs() / scale
    if not (apart > REPEATED).any():
        return
    for _ in range(REPEATS):
        again = passes(pixels, lengths).double()[:clean]
        differing = ((again >= 0) != (together >= 0)).sum()
        if not ((again - together).abs() / scale <= REPEATED).all():
            raise HashprobeError(
                f"the network is not deterministic: {int(differing)} of {together.numel()} bits of "
                f"{clean} queries differ between two passes in evaluation mode: switch off what is "
                "random in its forward (F.dropout takes training=self.training)"
            )
    turned = ((alone >= 0) != (together >= 0)) & ~(apart <= TURNED)
    if turned.any() or not (apart <= MOVED).all():
        raise HashprobeError(
            f"a query's code depends on what else is in the batch: {int(turned.sum())} of "
            f"{together.numel()} bits of {clean} queries differ alone and together: let the "
            "network use no statistics of the batch (BatchNorm with track_running_stats=True)"
        )


def check_signs(outputs: Logits, raw: Logits, leaf: Tensor) -> list[str]:
    """A line on outputs that are signs without a gradient beside others; refuses many of them.

    Raises:
        HashprobeError: more than a quarter of the outputs are.
    """
    columns = sign_columns(outputs)
    if len(outputs) < FEWEST or not columns.any():
        return []
    with torch.enable_grad():
        some = raw[:, columns.to(raw.device)]
    slope = slope_of(some, leaf)
    if slope is not None and slope.any():
        return []
    count, bits = int(columns.sum()), outputs.shape[1]
    text = (
        f"{count} of {bits} outputs of the network are signs, or saturated, without a gradient: "
        "hand over what is before the sign or the tanh"
    )
    if count > FEW_SIGNS * bits:
        raise HashprobeError(text)
    return [f"warning: {text}"]


def slope_of(raw: Logits, leaf: Tensor, kept: bool = False) -> Tensor | None:
    """The gradient of a random sum of each picture's logits; None where there is no graph."""
    if not raw.requires_grad:
        return None
    chance = torch.Generator().manual_seed(0)
    # Random weights: the outputs of a softmax add up to 1, whatever the pixels are.
    weights = torch.randn(raw.shape[1], generator=chance).to(raw)
    with torch.enable_grad():
        return gradient_to(leaf, (raw * weights).sum(), kept)


def gradient_to(leaf: Tensor, total: Tensor, kept: bool = False) -> Tensor | None:
    """The gradient of a sum; None where its graph does not lead to the pixels.

    Raises:
        HashprobeError: a backward pass that fails.
    """
    try:
        (gradient,) = torch.autograd.grad(total, leaf, allow_unused=True, retain_graph=kept)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        first = str(error).strip().splitlines()[0]
        if "derivative" in first and "not implemented" in first:
            return None
        raise HashprobeError(
            f"the backward pass of the network failed ({first}): attacks by gradients need one; "
            "those that need none (noise) do without"
        ) from error
    return gradient


def pushed(passes: Passes, pixels: Tensor, lengths: Lengths | None) -> Logits | None:
    """Logits after each picture has moved against its weakest bit; None without a gradient."""
    with torch.enable_grad():
        leaf = pixels.clone().requires_grad_()
        logits = passes(leaf, lengths)
        if not logits.requires_grad:
            return None
        # The bit that is nearest to turning; one of exactly 0 may be that of a dead unit.
        size = logits.abs().nan_to_num(torch.inf)
        weakest = size.masked_fill(size == 0, torch.inf).amin(1)
        gradient = gradient_to(leaf, weakest[weakest.isfinite()].sum())
    if gradient is None or not gradient.any():
        return None
    return passes((pixels - PUSH * gradient.nan_to_num().sign()).clamp(0, 1), lengths).double()
