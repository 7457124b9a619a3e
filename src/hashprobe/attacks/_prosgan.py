"""ProS-GAN: a generator that steers pictures to a label in one pass (Wang et al., CVPR 2021)."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from hashprobe.attacks.contract import Attack, Hasher
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import TargetCode, Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images
from hashprobe.types import Budget, Runtime, check_whole


Size = Literal["small", "published"]
TOGETHER = 64
"""Pictures in the generator at once where nothing says how many."""


@checked
@dataclass(frozen=True)
class ProsganOptions:
    """What ProS-GAN can be told: how its generator is trained; weights as in the release.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> ProsganOptions().code, ProsganOptions(size="published").batch
        ('pairwise-prototype', 24)
    """

    updates: int = 1500
    """Steps of the generator's training; the paper takes 100 epochs of its training set."""
    batch: int = 24
    """Pictures of a step."""
    rate: float = 1e-3
    """Of Adam, constant for the first half and then falling to 0; the paper takes 1e-4."""
    size: Size = "small"
    """small: for pictures of 32 to 96 pixels on a processor; published: the paper's networks, for
    224 pixels."""
    project: bool = True
    """Whether the generator is trained within the budget. Its pictures are brought into the budget
    in any case; without this it is trained as published, without a bound."""
    hamming: float = 5.0
    """Weight of 1 - the mean of u b."""
    alpha: float = 0.2
    """Slope of u = tanh(alpha z) in training, as DHTA's schedule begins; the paper takes 1, where
    bits that are far from turning have next to no gradient."""
    rec: float | None = None
    """Weight of the mean squared change, of pixels in [-1, 1]; none: 0 within a budget, which
    bounds the change, else 100 as published (50 on larger data)."""
    adversarial: float = 1.0
    """Weight of what the discriminator says; 0 trains none."""
    pictures: int = 2000
    """Database items whose pictures it is trained on, drawn at random."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit is +1."""
    n_t: int = field(default=1, kw_only=True)
    """Fewest database items with the target label."""

    def __post_init__(self) -> None:
        for name in ("updates", "batch", "pictures", "n_t"):
            check_whole(name, getattr(self, name))
        if self.size not in get_args(Size):
            raise HashprobeError(f"size must be small or published; got {self.size!r}")
        for name in ("rate", "alpha"):
            if not 0 < getattr(self, name) < float("inf"):
                raise HashprobeError(f"{name} must be above 0; got {getattr(self, name)}")
        for name in ("hamming", "rec", "adversarial"):
            if not 0 <= (getattr(self, name) or 0.0) < float("inf"):
                raise HashprobeError(f"{name} must be 0 or above; got {getattr(self, name)}")

    @property
    def distortion(self) -> float:
        """The weight of the mean squared change."""
        if self.rec is not None:
            return self.rec
        return 0.0 if self.project else 100.0

    @property
    def code(self) -> TargetCode:
        """The target code is what ProS-GAN's own PrototypeNet gives the label."""
        return "pairwise-prototype"


@checked
def prosgan(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: ProsganOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to a label in one pass through a generator that was trained for the victim.

    The generator is trained before, by `train_generator`: on the command line and by `hp.attack`
    by itself, where the goal knows a database with pictures; a command that is stopped goes on
    from what it kept every 500 steps. Deviations: within a budget its last
    layer gives the change in units of eps and the size of the change has no weight, where the
    release paints the whole picture without a bound and holds the change down by a weight; tanh of
    a smaller slope in training; a training of thousands of steps in place of hundreds of thousands.

    Args:
        victim: left as it was; it is not asked.
        queries: N clean images or clips with floating pixels in [0, 1]; of clips each frame by
            itself.
        goal: target labels, and the `generator`.
        budget: l-infinity radius and the space it counts in; the generator's own, if it has one.
        options: say how the generator was trained.
        seed: plays no part here.
        runtime: batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: a goal without labels or a generator, one of another budget or of other
            classes.

    Example:
        >>> import numpy as np, torch
        >>> from hashprobe.attacks.generator import Generator
        >>> from hashprobe.victims import ImageHasher
        >>> goal = Goal.targeted(torch.ones(2, 16), labels=np.eye(2, dtype=bool),
        ...                      generator=Generator(2, 32))
        >>> prosgan(ImageHasher("small", 16), Queries(torch.rand(2, 3, 32, 32)), goal,
        ...         budget=Budget(8 / 255), options=ProsganOptions()).shape
        torch.Size([2, 3, 32, 32])
    """
    from copy import deepcopy

    import torch

    from hashprobe.attacks.generator import Generator
    from hashprobe.optim.box import project
    from hashprobe.optim.frames import check_frame_rule
    from hashprobe.victims.checks import check_images

    check_images(queries.pixels)
    check_frame_rule(budget, queries.pixels)
    made, labels = goal.generator, goal.labels
    if not isinstance(made, Generator) or labels is None:
        raise HashprobeError(
            "attack prosgan needs target labels and a generator: make a goal by targets(database "
            "with pictures, avoid=labels), or one with generator=train_generator(...)"
        )
    if made.budget not in (None, budget):
        raise HashprobeError(
            f"the generator was trained for {made.budget}, the attack has {budget}: train another"
        )
    if made.classes != labels.shape[1] or len(labels) != len(queries):
        raise HashprobeError(
            f"{len(labels)} target labels over {labels.shape[1]} classes for {len(queries)} "
            f"queries and a generator of {made.classes} classes"
        )
    # Pixels in float64 are computed in float64, so that batches of any size give the same.
    net = deepcopy(made).to(queries.pixels).eval()
    wanted = torch.from_numpy(labels).to(queries.pixels)
    moved = queries.pixels.clone()
    size = runtime.batch_size or TOGETHER
    with torch.no_grad():
        for start in range(0, len(queries), size):
            rows = list(range(start, min(start + size, len(queries))))
            clean = queries.pixels[rows]
            frames = clean.reshape(-1, *clean.shape[-3:])
            each = wanted[rows].repeat_interleave(len(frames) // len(rows), 0)
            lengths = None if queries.lengths is None else queries.lengths[rows]
            shown = net(frames, each).reshape(clean.shape)
            moved[rows] = project(shown, clean, budget, victim.contract, lengths)
            if runtime.watch is not None:
                runtime.watch.finished(rows, moved[rows])
                runtime.watch.step(rows[-1] + 1, len(queries))
    return moved


ATTACK = Attack(
    "prosgan",
    prosgan,
    ProsganOptions,
    title="ProS-GAN",
    needs=frozenset({"gradients", "generator"}),
    baseline=True,
    version=2,
)
