"""HAG: the non-targeted attack of Yang et al. (IEEE Transactions on Cybernetics 2018)."""

from dataclasses import dataclass

from jaxtyping import Float

from hashprobe.attacks._dhta import slopes
from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.checked import checked
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Tensor
from hashprobe.types import Budget, Runtime


SLACK = 1e-8
"""Added to the number of bits that still count, which may be 0."""


@checked
@dataclass(frozen=True)
class HagOptions:
    """What HAG can be told; the defaults are those of its later re-implementations.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> HagOptions(steps=100).momentum
        0.9
    """

    steps: int = 2000
    """Forward and backward passes per query."""
    step_size: float = 100.0
    """Learning rate of gradient descent, in units of the budget's space."""
    momentum: float = 0.9
    """Share of the last move that is kept, from 0 to below 1."""
    alpha: float | None = None
    """Slope of tanh; none: from 0.1 to 1 by DHTA's schedule."""
    margin: float = 0.5
    """t: how far beyond 0 a bit must be flipped to count no more."""
    balance: float = 1.0
    """beta: weight of the term that wants as many bits at +1 as at -1."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, self.alpha)
        if not 0 <= self.momentum < 1:
            raise HashprobeError(f"momentum must be from 0 to below 1; got {self.momentum}")
        for name in ("margin", "balance"):
            if not getattr(self, name) >= 0:
                raise HashprobeError(f"{name} must not be negative; got {getattr(self, name)}")


@checked
def hag_loss(
    logits: Logits,
    clean: Float[Tensor, "n k"],
    alpha: float | Float[Tensor, "n 1"],
    margin: float = 0.5,
    balance: float = 1.0,
) -> Float[Tensor, " n"]:
    """((sum_k w_k u_k c_k) / m + 1)^2 + beta (mean_k w_k u_k)^2, with w_k = 1 while a bit resists.

    Source: Yang et al., section III. u = tanh(alpha z) is the soft code of the attacked query, c
    that of the clean one, and w_k = 1 where |u_k - sign c_k| <= 1 + t; m counts the bits with
    w_k = 1. The first term is 0 where these bits are all opposite to the clean ones.

    Args:
        logits: z, (N, K) of the attacked queries.
        clean: c, (N, K) soft codes of the clean ones in [-1, 1].
        alpha: slope of tanh at 0, above 0; one for all, or one a query.
        margin: t.
        balance: beta.

    Returns:
        (N,) one loss per query, 0 or above.

    Example:
        >>> import torch
        >>> clean = torch.tensor([[1.0, -1.0]])
        >>> hag_loss(9 * clean, clean, 1.0), hag_loss(-9 * clean, clean, 0.01)
        (tensor([4.]), tensor([0.8285]))
    """
    import torch

    soft = (alpha * logits).tanh()
    sign = torch.where(clean >= 0, 1.0, -1.0).to(clean)
    resists = ((soft - sign).abs() <= 1 + margin).to(soft)
    alike = (resists * soft * clean).sum(1) / (resists.sum(1) + SLACK)
    return (alike + 1) ** 2 + balance * (resists * soft).mean(1) ** 2


@checked
def hag(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: HagOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Drives queries away from their own code, wherever that leads (Yang et al., section III).

    Gradient descent with momentum on `hag_loss`, projected onto the budget and the valid pixels;
    starts at the clean query and returns the last iterate. Each query has its own loss: where
    released code takes the mean over a batch, its learning rate is divided by the batch size.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: plays no part; `Goal.untargeted()`.
        budget: l-infinity radius and the space it counts in.
        options: see `HagOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> hag(ImageHasher("small", 16), queries, Goal.untargeted(), budget=Budget(8 / 255),
        ...     options=HagOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve
    from hashprobe.optim.gradients import outputs_of
    from hashprobe.optim.rule import Steps, UpdateRule
    from hashprobe.victims.checks import check_images

    check_images(queries.pixels)

    def objective(z: Logits, clean: Tensor, step: Steps) -> Float[Tensor, " n"]:
        alpha = slopes(z, step, options.steps, options.alpha)
        return hag_loss(z, clean, alpha, options.margin, options.balance)

    rule = UpdateRule(
        objective=objective,
        step=lambda momentum, _: -options.step_size * momentum,
        steps=options.steps,
        momentum=options.momentum,
        raw=True,
        compared="logits",
    )
    clean = outputs_of(victim, queries, runtime).tanh()
    return solve(victim, queries, clean, rule, budget=budget, seed=seed, runtime=runtime)


ATTACK = Attack("hag", hag, HagOptions, title="HAG", goal="untargeted", baseline=True)
