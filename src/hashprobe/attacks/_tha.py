"""THA: targeted attack on deep hashing by prototype codes (Wang et al., SIGIR 2021)."""

from dataclasses import dataclass, field

from jaxtyping import Float

from hashprobe.attacks._dhta import inner_product_loss
from hashprobe.attacks.contract import Attack, Hasher, Start, check_descent, check_start
from hashprobe.attacks.descents import sign_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.targets import TargetCode, Tie
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime


@checked
@dataclass(frozen=True)
class ThaOptions:
    """What THA can be told; the defaults are those of the release.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> ThaOptions().steps, ThaOptions().code
        (100, 'prototype')
    """

    steps: int = 100
    """Forward and backward passes per query."""
    step_size: float = 1 / 255
    """l-infinity length of a step, in units of the budget's space."""
    alpha: float = 1.0
    """Slope of tanh."""
    start: Start = "random"
    """Where queries begin: at a random point of the budget, or where they are."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit is +1."""
    n_t: int = field(default=1, kw_only=True)
    """Fewest database items with the target label."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, self.alpha)
        check_start(self.start)

    @property
    def code(self) -> TargetCode:
        """The target code is what PrototypeNet gives the label."""
        return "prototype"


@checked
def tha(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: ThaOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the prototype code of a target label by sign steps (THA, section 3.3).

    Minimises -(1/K) b^T tanh(alpha f(x')); the last iterate is returned. The code b comes from
    `prototype_codes`, on the command line and from recipes by itself; from Python by
    `hp.targets(database, avoid=labels, code="prototype")`.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: prototype codes.
        budget: l-infinity radius and the space it counts in.
        options: see `ThaOptions`.
        seed: 0 or above; with the queries' ids it decides where a random start is.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries, goal = Queries(torch.rand(2, 3, 32, 32)), Goal.targeted(torch.ones(2, 16))
        >>> tha(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...     options=ThaOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve
    from hashprobe.optim.rule import Steps

    def objective(z: Logits, prototypes: Targets, step: Steps) -> Float[Tensor, " n"]:
        return inner_product_loss(z, prototypes, options.alpha)

    codes = goal.codes_for(queries.pixels, victim.bits)
    rule = sign_descent(objective, options)
    return solve(victim, queries, codes, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack("tha", tha, ThaOptions, title="THA", baseline=True)
