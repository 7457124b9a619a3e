"""The one optimisation loop of the gradient attacks, and the care it takes of the hasher."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from hashprobe.attacks.box import Box
from hashprobe.attacks.checks import check_images, check_targets
from hashprobe.attacks.contract import START_STREAM, QueryIds, checked_ids, seed_of
from hashprobe.attacks.frames import FrameRule, rule_of
from hashprobe.attacks.session import Session
from hashprobe.errors import HashprobeError
from hashprobe.models.features import hash_layer_input
from hashprobe.models.hasher import Hasher
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget


Steps = Int64[Tensor, " n"]
"""How many steps each query has behind it."""
Objective = Callable[[Logits, Targets, Steps], Float[Tensor, " n"]]
"""(logits, target codes, steps so far) -> one loss per query, to be made small."""
StepRule = Callable[[Images, Steps], Images]
"""(gradient or momentum, steps so far) -> how to move, both in units of the budget's space."""

Compared = Literal["codes", "logits", "features"]

MARGIN = 0.05
"""A code counts as reached when its weakest bit has this share of the mean |logit| behind it."""


@dataclass(frozen=True)
class Descent:
    """How an attack goes downhill: all that differs from one gradient attack to another.

    Example:
        >>> from hashprobe.attacks.objectives import inner_product_loss
        >>> Descent(
        ...     objective=lambda z, b, step: inner_product_loss(z, b, 0.1),
        ...     step_rule=lambda gradient, step: -gradient.sign() / 255, steps=3).restarts
        0
    """

    objective: Objective
    """What is made small."""
    step_rule: StepRule
    """How a gradient, or the momentum of several, becomes a move."""
    steps: int
    """Forward and backward passes per query and start."""
    momentum: float = 0.0
    """What is kept of earlier gradients."""
    raw: bool = False
    """Whether gradients go into the momentum as they are, as in torch's SGD; by default each is
    first divided by its mean absolute value, as in MI-FGSM (Dong et al., CVPR 2018)."""
    compared: Compared = "codes"
    """What the objective compares: logits with codes of -1, 0 and +1; logits with any real numbers,
    one a bit; or what the hash layer is given with features of the same number."""
    eight_bit: bool = False
    """Whether the network sees every iterate rounded to 8 bits, and the best one is returned.

    A query then leaves as soon as its target code is reached. Without, all steps are taken, in
    floats, and the last iterate is returned, as papers do.
    """
    restarts: int = 0
    """More starts, at random points of the budget, for queries whose code was not reached.

    Takes `eight_bit`: without it nothing says what was reached.
    """

    def __post_init__(self) -> None:
        if self.restarts and not self.eight_bit:
            raise HashprobeError(
                "restarts need eight_bit: without, no start is better than another"
            )
        if self.eight_bit and self.compared != "codes":
            raise HashprobeError(
                f"eight_bit counts wrong bits of a code: it cannot go with {self.compared}"
            )


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
    each = tuple(range(1, gradient.ndim))
    # Dividing by the peak first keeps squares of tiny gradients (tanh saturates) above 0.
    peak = gradient.abs().amax(each, keepdim=True)
    scaled = gradient / torch.where(peak > 0, peak, torch.ones_like(peak))
    norm = torch.linalg.vector_norm(scaled, dim=each, keepdim=True)
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
    descent: Descent,
    *,
    budget: Budget,
    seed: int = 0,
    query_ids: QueryIds | None = None,
    session: Session | None = None,
) -> Images:
    """Projected descent on a loss per query within the budget (DHTA, section 3.2, equation 9).

    x <- clamp(x + step_rule(gradient)) from the clean images on. In normalised space gradient and
    step count in normalised units, per channel. A pool of queries goes through the network
    together; one that is finished leaves and the next takes its place. Rows never mix: each gets
    what it would get alone, up to the rounding of the network's own kernels.

    Args:
        hasher: left as it was: weights, gradients, flags, mode.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) with entries -1 and +1, or 0 for a bit that is left alone; or (N, F) of what
            else the objective compares with.
        descent: objective, step rule, number of steps, what is returned.
        budget: l-infinity radius and the space it counts in.
        seed: 0 or above; plays a part in restarts only.
        query_ids: one whole number per query, likewise; by default 0 to N - 1.
        session: precision, size of the pool, whom to tell of progress.

    Returns:
        (N, 3, H, W) adversarial queries, in the budget and in [0, 1]; with `eight_bit` each value
        is a multiple of 1/255 (or the clean one, where no multiple lies within the budget).

    Raises:
        HashprobeError: images or targets that do not fit, a hasher whose logits have another
            shape, are not finite or carry no gradient, or a budget too small for `eight_bit`.

    Example:
        >>> from hashprobe.attacks.objectives import inner_product_loss
        >>> from hashprobe.models import ImageHasher
        >>> hasher, images = ImageHasher("small", 16), torch.rand(2, 3, 32, 32)
        >>> descent = Descent(
        ...     objective=lambda z, b, step: inner_product_loss(z, b, 0.1),
        ...     step_rule=lambda gradient, step: unit_l2_step(gradient, size=1.0), steps=3)
        >>> moved = minimise(
        ...     hasher, images, torch.ones(2, 16), descent, budget=Budget(8 / 255))
        >>> bool((moved - images).abs().max() <= 8 / 255 + 1e-6)
        True
    """
    check_images(images)
    if descent.compared == "codes":
        check_targets(targets, len(images), hasher.bits)
    ids = checked_ids(query_ids, len(images))
    session = session or Session()
    # A caller in inference mode may hand over tensors that autograd refuses: work on copies.
    with untouched(hasher), torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone()
        targets = targets.detach().to(images, copy=True)
        box = Box.around(images, budget, hasher.contract)
        if descent.eight_bit:
            box.check_eight_bit(budget, hasher.contract)
        rule = rule_of(budget, images, session.lengths)
        loop = Loop(hasher, session, descent, images, targets, box, rule, ids, seed)
        loop.go()
    return loop.best


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
        >>> from hashprobe.models import ImageHasher
        >>> hasher, images = ImageHasher("small", 16), torch.rand(2, 3, 32, 32)
        >>> outputs_of(hasher, images, Session(), "features").shape
        torch.Size([2, 256])
    """
    with untouched(hasher), torch.inference_mode(False), torch.no_grad():
        size = session.rows(hasher, images)
        parts = []
        for start in range(0, len(images), size):
            part = images[start : start + size].detach().clone()
            part = part.contiguous(memory_format=layout(hasher, part))
            rows = range(start, start + len(part))
            here = slice(start, start + len(part))
            more = session.more(here) if lengths is None else (lengths[here],)
            with session.attend(rows), hash_layer_input(hasher) as seen:
                logits = hasher(part, *more)
            parts.append(seen[0].to(part) if compared == "features" else logits)
    return torch.cat(parts)


class Pool:
    """The queries in the network: what the loop knows of each while it is attacked."""

    def __init__(self, images: Images) -> None:
        self.rows = images.new_zeros(0, dtype=torch.int64)
        self.step = images.new_zeros(0, dtype=torch.int64)
        self.start = images.new_zeros(0, dtype=torch.int64)
        self.pixels = images[:0]
        self.momentum = images[:0]

    def add(self, row: int, start: int, pixels: Images) -> None:
        """Takes a query in at its first step."""
        new = self.rows.new_tensor
        self.rows = torch.cat([self.rows, new([row])])
        self.step = torch.cat([self.step, new([0])])
        self.start = torch.cat([self.start, new([start])])
        self.pixels = torch.cat([self.pixels, pixels])
        self.momentum = torch.cat([self.momentum, torch.zeros_like(pixels)])

    def keep(self, staying: Bool[Tensor, " n"]) -> None:
        """Lets the others go."""
        for name, values in vars(self).items():
            setattr(self, name, values[staying])


class Loop:
    """One call of `minimise`: its queue, its pool, and the best image of each query so far."""

    def __init__(
        self,
        hasher: Hasher,
        session: Session,
        descent: Descent,
        images: Images,
        targets: Targets,
        box: Box,
        rule: FrameRule | None,
        ids: tuple[int, ...],
        seed: int,
    ) -> None:
        self.hasher, self.session, self.descent = hasher, session, descent
        self.fast = session.fast(hasher)
        self.images, self.targets, self.box, self.rule = images, targets, box, rule
        self.ids, self.seed = ids, seed
        self.best = images.clone()
        # Wrong bits of the best image, then the margin of its weakest bit; both by 8-bit pixels.
        self.wrong = images.new_full((len(images),), torch.inf)
        self.margin = images.new_full((len(images),), -torch.inf)
        self.queue = deque((row, 0) for row in range(len(images)))
        self.spent = 0
        self.most = len(images) * descent.steps * (1 + descent.restarts)

    def go(self) -> None:
        """Works until queue and pool are empty."""
        size = self.session.rows(self.hasher, self.images)
        pool = Pool(self.images)
        while self.queue or len(pool.rows):
            while self.queue and len(pool.rows) < size:
                row, start = self.queue.popleft()
                pool.add(row, start, self.start_of(row, start))
            self.advance(pool)

    def start_of(self, row: int, start: int) -> Images:
        """Where a query begins: at the clean image, and again at random points of the budget."""
        if start == 0:
            return self.images[row : row + 1]
        low, high = self.box.low[row : row + 1], self.box.high[row : row + 1]
        state = seed_of(self.seed, self.ids[row], START_STREAM + start).generate_state(1, np.uint64)
        chance = torch.Generator().manual_seed(int(state[0]))
        # Drawn on the CPU in float64: the same on every device and in every batch.
        shape = list(low.shape)
        if self.rule is not None and self.rule.shared:
            shape[1] = 1
        drawn = torch.rand(shape, generator=chance, dtype=torch.float64).to(low)
        return low + drawn * (high - low)

    def advance(self, pool: Pool) -> None:
        """One pass of the pool; what is finished leaves it."""
        descent, box = self.descent, self.box.of(pool.rows)
        shown = box.eight_bit(pool.pixels) if descent.eight_bit else box.shown(pool.pixels)
        with self.session.attend(pool.rows.tolist()):
            logits, gradient = pixel_gradient(
                self.fast, shown, self.targets[pool.rows], descent, pool.step,
                self.session.more(pool.rows),
            )  # fmt: skip
        reached = torch.zeros_like(pool.rows, dtype=torch.bool)
        if descent.eight_bit:
            reached = self.remember(pool.rows, shown, self.confirmed(pool, shown, logits))
        moving = box.unit * gradient
        if self.rule is not None:
            moving = torch.where(box.cut(pool.pixels, moving), 0, moving)
            moving, box = self.confine(self.rule, pool, moving)
        if descent.momentum:
            if not descent.raw:
                mean = moving.abs().mean(tuple(range(1, moving.ndim)), keepdim=True)
                moving = moving / torch.where(mean > 0, mean, torch.ones_like(mean))
            moving = pool.momentum = descent.momentum * pool.momentum + moving
        pool.pixels = box.clamp(pool.pixels + box.unit * descent.step_rule(moving, pool.step))
        pool.step = pool.step + 1
        self.leave(pool, reached)

    def confine(self, rule: FrameRule, pool: Pool, moving: Images) -> tuple[Images, Box]:
        """What may change of some clips; at the first step it is said which frames."""
        first = (pool.step == 0) & (pool.start == 0)
        if first.any():
            rows = pool.rows[first]
            rule.choose(rows, moving[first])
            self.box.close(rows, self.images[rows], ~rule.open[rows])
        return rule.confine(pool.rows, moving), self.box.of(pool.rows)

    def remember(
        self, rows: Int64[Tensor, " n"], shown: Images, logits: Logits
    ) -> Bool[Tensor, " n"]:
        """Keeps what is better than before; says whose code is reached with a margin."""
        wrong, margin = judge(logits.to(self.targets), self.targets[rows])
        nearer = (wrong < self.wrong[rows]) | (
            (wrong == self.wrong[rows]) & (margin > self.margin[rows])
        )
        better = rows[nearer]
        self.best[better] = shown[nearer]
        self.wrong[better], self.margin[better] = wrong[nearer], margin[nearer]
        return (wrong == 0) & (margin > MARGIN)

    def confirmed(self, pool: Pool, shown: Images, logits: Logits) -> Logits:
        """The same logits, but in float32 where a lower precision takes a code for reached."""
        if self.fast is self.hasher:
            return logits
        wrong, margin = judge(logits.to(self.targets), self.targets[pool.rows])
        reached = (wrong == 0) & (margin > MARGIN)
        if not reached.any():
            return logits
        exact = logits.clone()
        off = torch.autocast(shown.device.type, enabled=False)
        with torch.no_grad(), off, self.session.attend(pool.rows[reached].tolist()):
            more = self.session.more(pool.rows[reached])
            exact[reached] = self.hasher(shown[reached], *more).to(logits)
        return exact

    def leave(self, pool: Pool, reached: Bool[Tensor, " n"]) -> None:
        """Takes the finished out of the pool, and puts those in the queue that start again."""
        descent = self.descent
        over = reached | (pool.step == descent.steps)
        self.spent += len(pool.rows)
        if over.any():
            rows = pool.rows[over]
            if not descent.eight_bit:
                self.best[rows] = self.box.shown(pool.pixels[over])
            elif not reached[over].all():
                self.look_once_more(pool, over & ~reached)
            again = over & (self.wrong[pool.rows] > 0) & (pool.start < descent.restarts)
            self.queue.extendleft(
                (row, start + 1)
                for row, start in zip(
                    pool.rows[again].tolist(), pool.start[again].tolist(), strict=True
                )
            )
            done = over & ~again
            starts_left = descent.restarts - pool.start
            saved = descent.steps - pool.step + starts_left * descent.steps
            self.spent += int(saved[done].sum())
            finished = pool.rows[done].tolist()
            if self.session.on_done is not None and finished:
                self.session.on_done(finished, self.best[finished])
            pool.keep(~over)
        if self.session.on_step is not None:
            self.session.on_step(self.spent, self.most)

    def look_once_more(self, pool: Pool, last: Bool[Tensor, " n"]) -> None:
        """The last move of a query has not been judged yet."""
        rows = pool.rows[last]
        shown = self.box.of(rows).eight_bit(pool.pixels[last])
        with torch.no_grad(), self.session.attend(rows.tolist()):
            self.remember(rows, shown, self.fast(shown, *self.session.more(rows)))


def judge(logits: Logits, targets: Targets) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Wrong bits of each query, and the margin of its weakest bit in units of its mean |logit|.

    A bit that the target leaves alone (0) is never wrong. Logits of exactly 0 give +1.

    Args:
        logits: (N, K).
        targets: (N, K) with entries -1, 0 and +1.

    Example:
        >>> judge(torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, -1.0]]))
        (tensor([0.]), tensor([0.5000]))
    """
    signs = torch.where(logits >= 0, 1.0, -1.0).to(targets)
    wrong = ((signs != targets) & (targets != 0)).sum(1).to(targets)
    mean = logits.abs().mean(1, keepdim=True)
    margins = targets * logits / torch.where(mean > 0, mean, torch.ones_like(mean))
    return wrong, torch.where(targets != 0, margins, torch.inf).amin(1)


def layout(hasher: Hasher, images: Images) -> torch.memory_format:
    """How pixels lie in memory: as the hasher's own filters do; clips always frame after frame.

    Example:
        >>> from hashprobe.models import ImageHasher
        >>> hasher = ImageHasher("small", 16).to(memory_format=torch.channels_last)
        >>> layout(hasher, torch.rand(1, 3, 32, 32))
        torch.channels_last
    """
    if images.ndim != 4:
        return torch.contiguous_format
    filters = [weight for weight in hasher.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    last = filters and all(w.is_contiguous(memory_format=torch.channels_last) for w in filters)
    return torch.channels_last if last else torch.contiguous_format


def pixel_gradient(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    descent: Descent,
    step: Steps,
    more: tuple[Tensor, ...] = (),
) -> tuple[Logits, Images]:
    """What is compared, and the gradient of each query's loss with respect to its own pixels."""
    pixels = images.detach().contiguous(memory_format=layout(hasher, images)).requires_grad_()
    if descent.compared == "features":
        given = "features"
        with hash_layer_input(hasher) as seen:
            logits = hasher(pixels, *more)
        outputs = seen[0].to(pixels.dtype)
    else:
        given = "logits"
        logits = outputs = hasher(pixels, *more)
    if outputs.shape != targets.shape:
        raise HashprobeError(
            f"the hasher gave {given} of shape {tuple(outputs.shape)} for {len(images)} images; "
            f"wanted are {targets.shape[1]} each"
        )
    if not outputs.requires_grad:
        raise HashprobeError(
            f"the hasher's {given} carry no gradient to the pixels: gradient attacks need one"
        )
    loss = descent.objective(outputs, targets.to(outputs.dtype), step)
    # Passes are counted where logits are given: a gradient of nought must reach them, too.
    unused = 0.0 if logits is outputs else 0.0 * logits.sum()
    (gradient,) = torch.autograd.grad(loss.sum() + unused, pixels)
    if not (outputs.isfinite().all() & gradient.isfinite().all()):
        what = "gradient" if outputs.isfinite().all() else given
        raise HashprobeError(
            f"the hasher's {what} became infinite or NaN at step {int(step.min()) + 1}: "
            "check its weights and its precision"
        )
    return outputs.detach(), gradient.contiguous()
