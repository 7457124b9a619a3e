"""The engine of the gradient attacks: descents within a budget, one after the other."""

from functools import partial

import numpy as np
import torch

from hashprobe.attacks.contract import START_STREAM, QueryIds, checked_ids, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.optim.box import Box
from hashprobe.optim.descend import Loop, Search
from hashprobe.optim.frames import check_frame_rule
from hashprobe.optim.problem import Moving, some_frames
from hashprobe.optim.rule import Descent
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher, untouched
from hashprobe.victims.checks import check_images, check_targets
from hashprobe.victims.clip import FramewiseHasher, own_frames


FEW = 10
"""One frame of a clip in so many moves in the first of the quick attempts."""


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
    quick: Descent | None = None,
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
        quick: a shorter descent that is tried before, where most queries need no more; for clips of
            a `FramewiseHasher` whose frames may all change, on a tenth of their frames before that.
            Every attempt begins at the clean query, and one whose code is not reached with a
            margin is followed by the next. Takes `eight_bit`.

    Returns:
        (N, 3, H, W) adversarial queries, in the budget and in [0, 1]; with `eight_bit` each value
        is a multiple of 1/255 (or the clean one, where no multiple lies within the budget).

    Raises:
        HashprobeError: images or targets that do not fit, a hasher whose logits have another
            shape, are not finite or carry no gradient, or a budget too small for `eight_bit`.

    Example:
        >>> from hashprobe.optim.rule import unit_l2_step
        >>> from hashprobe.attacks.objectives import inner_product_loss
        >>> from hashprobe.victims.base import ImageHasher
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
    check_frame_rule(budget, images)
    if quick is not None and not (quick.eight_bit and descent.eight_bit):
        raise HashprobeError("quick needs eight_bit: without, nothing says whose code is reached")
    ids = checked_ids(query_ids, len(images))
    session = session or Session()
    # A caller in inference mode may hand over tensors that autograd refuses: work on copies.
    with untouched(hasher), torch.inference_mode(False), torch.enable_grad():
        images = images.detach().clone()
        targets = targets.detach().to(images, copy=True)
        if descent.eight_bit:
            Box.check_eight_bit(budget, hasher.contract)
        open_frames = partial(some_frames, hasher, images, targets, session=session)
        moving = Moving(images, session.lengths)
        if budget.frames is not None:
            wanted = torch.full((len(images),), budget.frames, device=images.device)
            moving = open_frames(descent, wanted)
        attempts = [(descent, moving, start) for start in range(1 + descent.restarts)]
        rows, waiting = list(range(len(images))), list[int]()
        if quick is not None:
            attempts.insert(0, (quick, moving, 0))
            free = budget.frames is None and not budget.shared
            if free and isinstance(hasher, FramewiseHasher):
                own = own_frames(images, session.lengths).sum(1)
                few = (own + FEW - 1) // FEW
                if (few < own).any():
                    attempts.insert(0, (quick, open_frames(quick, few), 0))
                    # A tenth that is all frames is the attempt after it.
                    waiting = [row for row in rows if few[row] == own[row]]
                    rows = [row for row in rows if few[row] < own[row]]
        later = sum(each.steps for each, _, _ in attempts)
        search = Search(images, targets, session, later)
        search.spent = len(waiting) * attempts[0][0].steps
        for each, moving, start in attempts:
            if not rows:
                break
            later -= each.steps
            # A code that is reached narrowly is worth a longer descent, but not another start.
            loop = Loop(hasher, search, each, moving, budget, later, thin=each is quick)
            if start:
                rows = loop.go(rows, partial(random_start, loop.box, budget, ids, seed, start))
            else:
                rows = waiting + loop.go(rows, partial(clean_start, moving))
                waiting = []
    return search.best


def clean_start(moving: Moving, row: int) -> Images:
    """A query as it is."""
    return moving.pixels[row : row + 1]


def random_start(
    box: Box, budget: Budget, ids: tuple[int, ...], seed: int, start: int, row: int
) -> Images:
    """A random point of the box of a query."""
    low, high = box.low[row : row + 1], box.high[row : row + 1]
    state = seed_of(seed, ids[row], START_STREAM + start).generate_state(1, np.uint64)
    chance = torch.Generator().manual_seed(int(state[0]))
    # Drawn on the CPU in float64: the same on every device and in every batch.
    shape = list(low.shape)
    if budget.shared:
        shape[1] = 1
    drawn = torch.rand(shape, generator=chance, dtype=torch.float64).to(low)
    return low + drawn * (high - low)
