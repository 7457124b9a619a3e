"""HAG: the non-targeted attack of Yang et al. (IEEE Transactions on Cybernetics 2018)."""

from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from hashprobe.attacks._dhta import alpha_at
from hashprobe.attacks.contract import QueryIds, check_descent
from hashprobe.attacks.targets import Tie
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.gradients import outputs_of
from hashprobe.optim.rule import Descent, Steps
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Logits, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images, check_targets


SLACK = 1e-8
"""Added to the number of bits that still count, which may be 0."""


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

    @property
    def n_t(self) -> int:
        """The target code plays no part; one item gives it."""
        return 1

    @property
    def tie(self) -> Tie:
        """One code has no ties."""
        return "plus"


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
        >>> clean = torch.tensor([[1.0, -1.0]])
        >>> hag_loss(9 * clean, clean, 1.0), hag_loss(-9 * clean, clean, 0.01)
        (tensor([4.]), tensor([0.8285]))
    """
    soft = (alpha * logits).tanh()
    sign = torch.where(clean >= 0, 1.0, -1.0).to(clean)
    resists = ((soft - sign).abs() <= 1 + margin).to(soft)
    alike = (resists * soft * clean).sum(1) / (resists.sum(1) + SLACK)
    return (alike + 1) ** 2 + balance * (resists * soft).mean(1) ** 2


def repel(
    logits: Logits, clean: Targets, step: Steps, *, options: HagOptions
) -> Float[Tensor, " n"]:
    """The loss with the alpha of each query's step."""
    alpha: float | Tensor
    if options.alpha is None:
        slopes = [alpha_at(done, options.steps) for done in step.tolist()]
        alpha = logits.new_tensor(slopes).unsqueeze(1)
    else:
        alpha = options.alpha
    return hag_loss(logits, clean, alpha, options.margin, options.balance)


def hag(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    *,
    budget: Budget,
    options: HagOptions,
    seed: int = 0,
    query_ids: QueryIds | None = None,
    session: Session | None = None,
) -> Images:
    """Drives queries away from their own code, wherever that leads (Yang et al., section III).

    Gradient descent with momentum on `hag_loss`, projected onto the budget and the valid pixels;
    starts at the clean query and returns the last iterate. Each query has its own loss: where
    released code takes the mean over a batch, its learning rate is divided by the batch size.
    Nothing is drawn at random here: seed and query ids only serve the common signature.

    Args:
        hasher: the victim; left as it was.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) target codes; checked, but they play no part.
        budget: l-infinity radius and the space it counts in.
        options: see `HagOptions`.
        seed: not used.
        query_ids: not used.
        session: precision, batches, and whom to tell of progress; see `Session`.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: images or targets that do not fit, or a hasher without finite gradients.

    Example:
        >>> from hashprobe.victims.base import ImageHasher
        >>> images = torch.rand(2, 3, 32, 32)
        >>> hag(ImageHasher("small", 16), images, torch.ones(2, 16), budget=Budget(8 / 255),
        ...     options=HagOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    check_images(images)
    check_targets(targets, len(images), hasher.bits)
    session = session or Session()
    return minimise(
        hasher,
        images,
        outputs_of(hasher, images, session).tanh(),
        Descent(
            objective=partial(repel, options=options),
            step_rule=lambda momentum, _: -options.step_size * momentum,
            steps=options.steps,
            momentum=options.momentum,
            raw=True,
            compared="logits",
        ),
        budget=budget,
        session=session,
    )
