"""NAG: an attack that is to work on other networks (Xiao and Wang, CVPR 2021), by noisy inputs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float

from hashprobe.attacks.contract import LATER, Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.data.queries import NOISE_STREAM, Queries, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime, check_whole


Transform = Literal["noise", "resize", "rotate"]
TOGETHER = 64
"""Queries in the network at once where nothing says how many."""
DRAW_STREAM = NOISE_STREAM + 2**21
"""Which random numbers draw the transforms; every iteration has a stream of its own."""
NEAR_STREAM = NOISE_STREAM + 2**22
"""Which random numbers draw the neighbours whose gradients tune a step."""


@checked
@dataclass(frozen=True)
class NagOptions:
    """What NAG can be told; the defaults are those of the paper.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> NagOptions().steps, NagOptions(transform="rotate").weight
        (64, 1.0)
    """

    steps: int = 64
    """Forward and backward passes per query: two an iteration, as x and as it is transformed."""
    step_size: float | None = None
    """l-infinity length of a step, in units of the budget's space; none: eps / iterations."""
    weight: float = 1.0
    """lambda: of the loss of the transformed picture."""
    transform: Transform = "noise"
    """noise: U(-eps, eps) at every value (NAG); resize: to 87 to 100 % on black at a random place
    (input diversity, Xie et al., CVPR 2019, as TTA-GAN has it); rotate: by up to 10 degrees."""
    momentum: float = 0.0
    """What is kept of earlier gradients, each divided by its mean size; 1 is MI-FGSM."""
    variance: int = field(default=0, metadata=LATER)
    """Neighbours whose gradients tune each step (VMI-FGSM, Wang and He, CVPR 2021, who take 20);
    each costs two passes an iteration."""
    nearness: float = field(default=1.5, metadata=LATER)
    """How far a neighbour is at most, in units of eps; beta of that paper."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit is +1."""
    n_t: int = field(default=1, kw_only=True)
    """How many database codes vote on the target code; NAG steers to a single one."""

    def __post_init__(self) -> None:
        check_whole("variance", self.variance, 0)
        check_whole("steps", self.steps, self.passes)
        check_whole("n_t", self.n_t)
        if not 0 < self.nearness < float("inf"):
            raise HashprobeError(f"nearness must be above 0; got {self.nearness}")
        check_descent(self.steps, 1.0 if self.step_size is None else self.step_size, None)
        if self.transform not in get_args(Transform):
            raise HashprobeError(
                f"transform must be noise, resize or rotate; got {self.transform!r}"
            )
        for name in ("weight", "momentum"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise HashprobeError(f"{name} must be 0 or above; got {getattr(self, name)}")

    @property
    def passes(self) -> int:
        """Forward and backward passes of an iteration."""
        return 2 * (1 + self.variance)


@checked
def l1_loss(logits: Logits, targets: Targets) -> Float[Tensor, " n"]:
    """Mean over bits of |tanh(z_k) - b_k|, 0 where the code is reached in full.

    Args:
        logits: z, (N, K).
        targets: b, (N, K) with entries -1 and +1; a 0 takes a bit out.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> l1_loss(torch.tensor([[0.0, 99.0]]), torch.ones(1, 2))
        tensor([0.5000])
    """
    return (targets.abs() * (logits.tanh() - targets).abs()).mean(1)


@checked
def nag(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: NagOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to a code in a way that other networks see, too (NAG, section 3.3).

    Sign steps on l1(f(x'), b) + lambda l1(f(t(x')), b), t being a random transform that is drawn
    anew at every iteration: noise of the size of the budget smooths the loss, so that what is left
    is less the network's own. Starts at the clean query; the last iterate is returned. The paper's
    budget is 32/255. Deviation: pixels stay within the budget, which is also what 32 steps of 1/255
    make of it.

    With `variance` N a step follows g + v, where v is the mean gradient at N neighbours of the last
    iterate, U(-beta eps, beta eps) away, less the gradient at that iterate itself; v is 0 at first
    (Wang and He, CVPR 2021, equations 7 and 8, with `momentum` 1 there).

    Args:
        victim: the surrogate; left as it was. What is crafted on it is shown to other victims.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: target codes of the surrogate.
        budget: l-infinity radius and the space it counts in.
        options: see `NagOptions`.
        seed: 0 or above; with the queries' ids it decides on the transforms.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, goal = Queries(torch.rand(2, 3, 32, 32)), Goal.targeted(torch.ones(2, 16))
        >>> nag(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...     options=NagOptions(steps=4)).shape
        torch.Size([2, 3, 32, 32])
    """
    import torch

    from hashprobe.optim.frames import check_frame_rule
    from hashprobe.victims.base import frozen_eval
    from hashprobe.victims.checks import check_images
    from hashprobe.victims.precision import in_precision

    check_images(queries.pixels)
    check_frame_rule(budget, queries.pixels)
    codes = goal.codes_for(queries.pixels, victim.bits)
    size = runtime.batch_size or TOGETHER
    total = len(queries) * options.steps
    with frozen_eval(victim), torch.inference_mode(False), torch.enable_grad():
        moved = queries.pixels.clone()
        fast = in_precision(victim, runtime.precision)
        for start in range(0, len(queries), size):
            rows = list(range(start, min(start + size, len(queries))))
            # A caller in inference mode may hand over tensors that autograd refuses.
            part = queries.take(rows)
            part = Queries(part.pixels.clone(), part.ids, part.lengths)
            climb = Climber(fast, part, codes[rows].clone(), budget, options, seed)
            moved[rows] = climb.run(rows)
            if runtime.watch is not None:
                runtime.watch.finished(rows, moved[rows])
                runtime.watch.step((rows[-1] + 1) * options.steps, total)
    return moved


class Climber:
    """Some queries that are moved together; each is what it would be alone."""

    def __init__(
        self,
        victim: Hasher,
        queries: Queries,
        codes: Targets,
        budget: Budget,
        options: NagOptions,
        seed: int,
    ) -> None:
        self.victim, self.queries, self.codes = victim, queries, codes
        self.budget, self.options, self.seed = budget, options, seed

    def run(self, rows: list[int]) -> Images:
        """All iterations."""
        import torch

        from hashprobe.optim.box import project, unit_of
        from hashprobe.optim.descend import mean_size
        from hashprobe.optim.gradients import check_finite
        from hashprobe.victims.passes import attend

        clean, contract = self.queries.pixels, self.victim.contract
        unit = unit_of(self.budget, contract, clean)
        iterations = self.options.steps // self.options.passes
        step = self.options.step_size
        length = self.budget.eps / iterations if step is None else step
        x, kept, tuned = clean.clone(), torch.zeros_like(clean), torch.zeros_like(clean)
        for done in range(iterations):
            with attend(rows):
                here = self.gradient(x, done)
                gradient = here + tuned
                if self.options.variance and done + 1 < iterations:
                    near = [self.gradient(each, done) for each in self.neighbours(x, done)]
                    tuned = torch.stack(near).mean(0) - here
            check_finite(gradient, "gradient", torch.full((1,), done))
            if self.budget.shared:
                gradient = gradient.sum(1, keepdim=True).expand_as(gradient)
            kept = self.options.momentum * kept + gradient / mean_size(gradient)[0]
            x = project(
                x - length * unit * kept.sign(), clean, self.budget, contract, self.queries.lengths
            )
        return x

    def gradient(self, pixels: Images, done: int) -> Images:
        """The gradient of both losses at some pixels, with the transform of an iteration."""
        import torch

        given = pixels.detach().requires_grad_()
        loss = l1_loss(self.logits(given), self.codes)
        other = l1_loss(self.logits(self.transformed(given, done)), self.codes)
        (found,) = torch.autograd.grad((loss + self.options.weight * other).sum(), given)
        return found

    def neighbours(self, pixels: Images, done: int) -> Iterator[Images]:
        """Pixels near some others, in [0, 1]; of a clip every frame moves alike."""
        import torch

        from hashprobe.optim.box import unit_of

        reach = self.options.nearness * self.budget.eps
        unit = unit_of(self.budget, self.victim.contract, pixels)
        draws = [
            np.random.default_rng(seed_of(self.seed, query_id, NEAR_STREAM + done))
            for query_id in self.queries.ids
        ]
        for _ in range(self.options.variance):
            drawn = [each.uniform(-1, 1, pixels.shape[-3:]) for each in draws]
            moved = reach * unit * torch.from_numpy(np.stack(drawn)).to(pixels)
            yield (pixels + (moved if pixels.ndim == 4 else moved.unsqueeze(1))).clamp(0, 1)

    def logits(self, pixels: Images) -> Logits:
        """Outputs of pictures that are moved."""
        from hashprobe.victims.base import in_own_dtype

        more = () if self.queries.lengths is None else (self.queries.lengths,)
        found: Tensor = self.victim(in_own_dtype(self.victim, pixels), *more)
        return found.to(pixels)

    def transformed(self, pixels: Images, done: int) -> Images:
        """Pictures after a transform that depends on (seed, query id, iteration)."""
        import torch

        parts = []
        for image, query_id in zip(pixels, self.queries.ids, strict=True):
            draw = np.random.default_rng(seed_of(self.seed, query_id, DRAW_STREAM + done))
            parts.append(TRANSFORMS[self.options.transform](image, draw, self))
        return torch.stack(parts).clamp(0, 1)


def noisy(image: Tensor, draw: np.random.Generator, climb: Climber) -> Tensor:
    """A picture with U(-eps, eps) at every value; of a clip every frame gets the same."""
    import torch

    from hashprobe.optim.box import unit_of

    drawn = torch.from_numpy(draw.uniform(-1, 1, image.shape[-3:])).to(image)
    unit = unit_of(climb.budget, climb.victim.contract, image)[0]
    return image + climb.budget.eps * unit * drawn


def warped(image: Tensor, matrix: list[list[float]]) -> Tensor:
    """A picture, or every frame of a clip, after an affine map; outside everything is black."""
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    frames = image.reshape(-1, *image.shape[-3:])
    theta = torch.tensor(matrix).to(image).expand(len(frames), 2, 3)
    grid = affine_grid(theta, list(frames.shape), align_corners=False)
    return grid_sample(frames, grid, align_corners=False).reshape(image.shape)


def resized(image: Tensor, draw: np.random.Generator, _: Climber) -> Tensor:
    """A picture at 87 to 100 % of its size, at a random place on black."""
    factor = draw.uniform(1.0, 1.15)
    across, down = draw.uniform(1 - factor, factor - 1, 2)
    return warped(image, [[factor, 0.0, across], [0.0, factor, down]])


def rotated(image: Tensor, draw: np.random.Generator, _: Climber) -> Tensor:
    """A picture rotated by up to 10 degrees."""
    angle = np.deg2rad(draw.uniform(-10, 10))
    height, width = image.shape[-2:]
    sine, cosine = float(np.sin(angle)), float(np.cos(angle))
    matrix = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
    return warped(image, matrix)


TRANSFORMS: dict[str, Any] = {"noise": noisy, "resize": resized, "rotate": rotated}

ATTACK = Attack("nag", nag, NagOptions, title="NAG", access="transfer", baseline=True)
