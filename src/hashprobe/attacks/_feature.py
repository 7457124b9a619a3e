"""Feature-space attack: the baseline that steers to the features of one image."""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float, Int64
from torch import Tensor

from hashprobe.attacks.contract import QueryIds, check_descent
from hashprobe.attacks.targets import Tie
from hashprobe.errors import HashprobeError
from hashprobe.optim.attempts import minimise
from hashprobe.optim.gradients import outputs_of
from hashprobe.optim.rule import Descent, Steps, unit_l2_step
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images, check_targets


Rule = Literal["sign", "pgd"]


@dataclass(frozen=True)
class FeatureOptions:
    """What the feature-space attack can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> FeatureOptions().steps, FeatureOptions(rule="pgd", steps=2000).n_t
        (20, 1)
    """

    rule: Rule = "sign"
    """sign: momentum sign steps (Inkawhich et al., CVPR 2019); pgd: DHTA's unit-l2 steps."""
    steps: int = 20
    """Forward and backward passes per query; Inkawhich et al. take 10 to 20, DHTA's pgd 2,000."""
    step_size: float | None = None
    """none: eps / steps (sign, in l-infinity) or 1 (pgd, in l2, in units of the budget's space)."""
    momentum: float = 1.0
    """What is kept of earlier gradients by the sign rule."""

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            raise HashprobeError(f"rule must be sign or pgd; got {self.rule!r}")
        if not 0 <= self.momentum <= 1:
            raise HashprobeError(f"momentum must be from 0 to 1; got {self.momentum}")
        check_descent(self.steps, 1.0 if self.step_size is None else self.step_size, None)

    @property
    def n_t(self) -> int:
        """One image is the target."""
        return 1

    @property
    def tie(self) -> Tie:
        """One code has no ties."""
        return "plus"


def feature_loss(
    features: Float[Tensor, "n f"], targets: Float[Tensor, "n f"], step: Steps | None = None
) -> Float[Tensor, " n"]:
    """||phi(x') - phi(x_t)||_2^2 (Inkawhich et al., section 3).

    Args:
        features: (N, F) of the attacked queries.
        targets: (N, F) of the target images.
        step: plays no part.

    Returns:
        (N,) one loss per query.

    Example:
        >>> import torch
        >>> feature_loss(torch.tensor([[3.0, 4.0]]), torch.zeros(1, 2))
        tensor([25.])
    """
    return (features - targets).square().sum(1)


def feature(
    hasher: Hasher,
    images: Images,
    targets: Targets,
    *,
    target_images: Tensor,
    target_lengths: Int64[Tensor, " n"] | None = None,
    budget: Budget,
    options: FeatureOptions,
    seed: int = 0,
    query_ids: QueryIds | None = None,
    session: Session | None = None,
) -> Images:
    """Steers queries to the features of one image with the target label (DHTA, table 9).

    Features are what the hash layer is given. The attack is the activation attack of Inkawhich et
    al. (CVPR 2019), which DHTA compares itself with; it starts at the clean query and returns the
    last iterate. Nothing is drawn at random here.

    Args:
        hasher: the victim; left as it was. Its last layer with learnt outputs is the hash layer.
        images: (N, 3, H, W) clean queries in [0, 1], float32 or float64.
        targets: (N, K) target codes; checked, but they play no part.
        target_images: (N, 3, H, W) one image with the target label for each query, in [0, 1].
        target_lengths: (N,) frames of each of them, where they are clips.
        budget: l-infinity radius and the space it counts in.
        options: see `FeatureOptions`.
        seed: not used.
        query_ids: not used.
        session: precision, batches, and whom to tell of progress; see `Session`.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: images or targets that do not fit, or a hasher without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.victims.base import ImageHasher
        >>> images, wanted = torch.rand(2, 2, 3, 32, 32)
        >>> feature(ImageHasher("small", 16), images, torch.ones(2, 16), target_images=wanted,
        ...         budget=Budget(8 / 255), options=FeatureOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    check_images(images)
    check_targets(targets, len(images), hasher.bits)
    check_images(target_images)
    if len(target_images) != len(images):
        raise HashprobeError(
            f"{len(target_images)} target images for {len(images)} queries: give one per query"
        )
    session = session or Session()
    size = options.step_size
    if options.rule == "sign":
        length = budget.eps / options.steps if size is None else size
        descent = Descent(
            objective=feature_loss,
            step_rule=lambda momentum, _: -length * momentum.sign(),
            steps=options.steps,
            momentum=options.momentum,
            compared="features",
        )
    else:
        length = 1.0 if size is None else size
        descent = Descent(
            objective=feature_loss,
            step_rule=lambda gradient, _: unit_l2_step(gradient, size=length),
            steps=options.steps,
            compared="features",
        )
    wanted = outputs_of(hasher, target_images, session, "features", target_lengths)
    return minimise(hasher, images, wanted, descent, budget=budget, session=session)
