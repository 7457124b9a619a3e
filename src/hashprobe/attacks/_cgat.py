"""CgAT's inner attack: away from the centre code of a label (Wang et al., WWW 2023)."""

from dataclasses import dataclass

from jaxtyping import Float

from hashprobe.attacks._dhta import inner_product_loss
from hashprobe.attacks.contract import Attack, Hasher, Start, check_descent, check_start
from hashprobe.attacks.descents import sign_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, mean_difference
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.tensors import Images, Logits, Targets, Tensor
from hashprobe.types import Budget, Runtime


@checked
@dataclass(frozen=True)
class CgatOptions:
    """What CgAT's attack can be told; the defaults are those of the release.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> CgatOptions().steps
        7
    """

    steps: int = 7
    """Forward and backward passes per query."""
    step_size: float = 2 / 255
    """l-infinity length of a step, in units of the budget's space."""
    alpha: float = 1.0
    """Slope of tanh."""
    start: Start = "random"
    """Where queries begin: at a random point of the budget, or where they are."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, self.alpha)
        check_start(self.start)


@checked
def cgat(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: CgatOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Drives queries away from the centre code of their own label (CgAT, section 3.2).

    Sign steps that make the mean of u c small, with u = tanh(alpha z) and c = `mean_difference` of
    the items that share a label; from a random start, and the last iterate is returned. Deviation:
    the codes are those of the database, where the release takes the training set.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: `own_labels` of the queries, and the `known` database.
        budget: l-infinity radius and the space it counts in.
        options: see `CgatOptions`.
        seed: 0 or above; with the queries' ids it decides where they begin.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from hashprobe.codes import Codes
        >>> from hashprobe.victims import ImageHasher
        >>> known = Codes.of(np.eye(16, dtype=np.int8), np.arange(16) % 2)
        >>> goal = Goal.untargeted(np.eye(2, dtype=bool), known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> cgat(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...      options=CgatOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    import torch

    from hashprobe.optim.attempts import solve
    from hashprobe.optim.rule import Steps

    def objective(z: Logits, away: Targets, step: Steps) -> Float[Tensor, " n"]:
        return inner_product_loss(z, away, options.alpha)

    database, labels = known_of(goal, goal.own_labels, "cgat", len(queries))
    away = torch.from_numpy(-mean_difference(database, labels)).to(queries.pixels)
    rule = sign_descent(objective, options)
    return solve(victim, queries, away, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack(
    "cgat",
    cgat,
    CgatOptions,
    title="CgAT",
    goal="untargeted",
    needs=frozenset({"gradients", "database"}),
    baseline=True,
)
