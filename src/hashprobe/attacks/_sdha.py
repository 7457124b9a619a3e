"""SDHA: the smart attack on deep hashing (Lu et al., ICMR 2021), away from items or to them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from hashprobe.attacks._dhta import slopes
from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, relevance
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Tensor
from hashprobe.types import Budget, Labels, Runtime


if TYPE_CHECKING:
    from hashprobe.optim.rule import UpdateRule

BETAS = (0.9, 0.999)
"""Adam's decays, torch's defaults."""


@checked
@dataclass(frozen=True)
class SdhaOptions:
    """What SDHA can be told; the defaults are those of its re-implementation in SAAT's release.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> SdhaOptions(steps=100).step_size
        0.01
    """

    steps: int = 1500
    """Forward and backward passes per query."""
    step_size: float = 0.01
    """Learning rate of Adam, in units of the budget's space."""
    weight: float = 25.0
    """Of the code term, over K, against the mean squared change of the pixels."""
    alpha: float | None = None
    """Slope of tanh; none: from 0.1 to 1 by DHTA's schedule."""

    def __post_init__(self) -> None:
        check_descent(self.steps, self.step_size, self.alpha)
        if not 0 < self.weight < float("inf"):
            raise HashprobeError(f"weight must be above 0; got {self.weight}")


@checked
@dataclass(frozen=True)
class SdhaTargetedOptions(SdhaOptions):
    """What the targeted form can be told.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> SdhaTargetedOptions().n_t
        9
    """

    n_t: int = field(default=9, kw_only=True)
    """Fewest database items with the target label."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit of the code that t-MAP's ceiling is taken of is +1."""


@checked
def sdha_distance(
    soft: Float[Tensor, "n k"],
    codes: Float[Tensor, "m k"],
    weights: Float[Tensor, "n m"],
    slope: float,
) -> Float[Tensor, " n"]:
    """Sum over codes r of w(r) d(u, r), d = 1/2 sum |u - r| s(a u r) + sum (1 - s(a u r)).

    SDHA's dimension-wise surrogate of the Hamming distance, s being the logistic function: bits
    that are far enough have no gradient. Targeted, with a negative a, d is the first sum alone.
    Since r is -1 or +1, each bit takes two values only, so that the sum over codes is a matrix
    product of the weights with the codes' bits.

    Args:
        soft: u = tanh(alpha z), (N, K).
        codes: r, (M, K) with entries -1 and +1.
        weights: w, (N, M); 0 for a code that does not count for a query.
        slope: a: 5 untargeted, -10 targeted, as released.

    Returns:
        (N,) one distance per query.

    Example:
        >>> import torch
        >>> u = torch.ones(1, 1)
        >>> sdha_distance(u, u, torch.ones(1, 1), 5.0), sdha_distance(-u, u, torch.ones(1, 1), 5.0)
        (tensor([0.0067]), tensor([1.]))
    """
    plus = weights @ ((codes + 1) / 2)
    minus = weights @ ((1 - codes) / 2)

    def each(sign: float) -> Tensor:
        gate = (slope * sign * soft).sigmoid()
        return (soft - sign).abs() / 2 * gate + (1 - gate if slope > 0 else 0)

    return (plus * each(1.0) + minus * each(-1.0)).sum(1)


@checked
def sdha(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: SdhaOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Drives queries away from the items that share their label, the nearest first (SDHA).

    Adam on MSE(x', x) - (25 / K) mean over relevant r of w(r) d(u, r), with `sdha_distance` at a
    slope of 5 and w(r) = D_H(sign u, r)^-1/2; projected onto the budget after each step, the last
    iterate is returned. Deviations: the codes are those of the database, where the release takes
    the training set; a distance of 0 counts as 1/2, because its power is infinite.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: `own_labels` of the queries, and the `known` database. A query that shares a label
            with no item is driven away from its own code.
        budget: l-infinity radius and the space it counts in.
        options: see `SdhaOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.codes import Codes
        >>> from hashprobe.victims import ImageHasher
        >>> known = Codes.of(np.eye(16, dtype=np.int8), np.arange(16) % 2)
        >>> goal = Goal.untargeted(np.eye(2, dtype=bool), known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> sdha(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...      options=SdhaOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.own_labels, "sdha", len(queries))
    items = relevant_codes(victim, queries, database, labels, runtime)
    rule = rule_of(items, options, AWAY)
    return solve(victim, queries, items.rows, rule, budget=budget, seed=seed, runtime=runtime)


@checked
def sdha_targeted(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: SdhaTargetedOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Steers queries to the items with a target label (SDHA's targeted form).

    As `sdha`, with + in place of -, a slope of -10, with which the distance is its first sum alone,
    and w(r) = D_H(sign u, r)^0.3. It has no target
    code: the ceiling that t-MAP is shown with is that of the vote of n_t codes.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: target labels, and the `known` database.
        budget: l-infinity radius and the space it counts in.
        options: see `SdhaTargetedOptions`.
        seed: plays no part: nothing is drawn at random here.
        runtime: precision, batch size, who is told.

    Returns:
        (N, 3, H, W) adversarial queries in the budget and in [0, 1], same device and dtype.

    Raises:
        HashprobeError: queries or goal that do not fit, or a victim without finite gradients.

    Example:
        >>> import torch
        >>> from hashprobe.codes import Codes
        >>> from hashprobe.victims import ImageHasher
        >>> known = Codes.of(np.eye(16, dtype=np.int8), np.arange(16) % 2)
        >>> goal = Goal.targeted(torch.ones(2, 16), labels=np.eye(2, dtype=bool), known=known)
        >>> queries = Queries(torch.rand(2, 3, 32, 32))
        >>> sdha_targeted(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...               options=SdhaTargetedOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.labels, "sdha-targeted", len(queries))
    items = relevant_codes(victim, queries, database, labels, runtime)
    rule = rule_of(items, options, TOWARDS)
    return solve(victim, queries, items.rows, rule, budget=budget, seed=seed, runtime=runtime)


@dataclass(frozen=True)
class Form:
    """What differs between the two forms, as released."""

    slope: float
    """a, see `sdha_distance`."""
    power: float
    """Of the Hamming distance, in the weights."""
    least: float
    """What a smaller distance counts as in them."""
    sign: float
    """Of the distance in the objective."""


AWAY = Form(5.0, -0.5, least=0.5, sign=-1.0)
TOWARDS = Form(-10.0, 0.3, least=0.0, sign=1.0)


@dataclass(frozen=True, eq=False)
class Items:
    """The codes that some query is led to or away from."""

    codes: Float[Tensor, "m k"]
    share: Float[Tensor, "n m"]
    """Of each of them among what counts for a query."""

    @property
    def rows(self) -> Float[Tensor, "n 1"]:
        """The place of each query, which the objective is handed."""
        import torch

        return torch.arange(len(self.share)).to(self.share).unsqueeze(1)


def relevant_codes(
    victim: Hasher, queries: Queries, database: Codes, labels: Labels, runtime: Runtime
) -> Items:
    """Codes of the items that share a label with a query; its own code where none does."""
    import torch

    from hashprobe.optim.gradients import outputs_of
    from hashprobe.victims.checks import check_images

    check_images(queries.pixels)
    signs, counts, relevant = distinct_codes(database, labels)
    like = queries.pixels
    own = torch.zeros(0, victim.bits).to(like)
    alone = np.flatnonzero(~relevant.any(axis=1))
    if len(alone):
        # Their own codes stand behind the others, each for its query alone.
        clean = outputs_of(victim, queries, runtime)
        own = torch.where(clean[torch.from_numpy(alone).to(clean.device)] >= 0, 1.0, -1.0).to(like)
    codes = torch.cat([torch.from_numpy(signs).to(like), own])
    share = torch.zeros(len(queries), len(codes)).to(like)
    share[:, : len(signs)] = torch.from_numpy(relevant * counts).to(like)
    share[alone, range(len(signs), len(codes))] = 1
    share /= share.sum(1, keepdim=True)
    return Items(codes, share)


def rule_of(items: Items, options: SdhaOptions, form: Form) -> "UpdateRule":
    """Adam on the distances to the codes that count for each query, given its place."""
    import torch

    from hashprobe.optim.rule import Steps, UpdateRule

    codes, bits = items.codes, items.codes.shape[1]

    def objective(z: Logits, rows: Tensor, step: Steps) -> Float[Tensor, " n"]:
        hard = torch.where(z.detach() >= 0, 1.0, -1.0).to(codes)
        apart = ((bits - hard @ codes.T) / 2).clamp_min(form.least)
        weights = items.share[rows.squeeze(1).long()] * apart**form.power
        soft = (slopes(z, step, options.steps, options.alpha) * z).tanh()
        value = sdha_distance(soft, codes.to(z), weights.to(z), form.slope)
        return form.sign * options.weight / bits * value

    return UpdateRule(
        objective,
        lambda direction, _: -options.step_size * direction,
        steps=options.steps,
        compared="anything",
        adam=BETAS,
        distortion=1.0,
    )


def distinct_codes(database: Codes, labels: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct codes, how often each stands among what is relevant to a query, and whether."""
    data, where = np.unique(database.packed.data, axis=0, return_inverse=True)
    kinds, which = np.unique(labels, axis=0, return_inverse=True)
    items = relevance(database, kinds)
    counts = np.zeros((len(kinds), len(data)))
    for row, mask in enumerate(items):
        counts[row] = np.bincount(where.reshape(-1)[mask], minlength=len(data))
    counts = counts[which.reshape(-1)]
    used = (counts > 0).any(axis=0)
    signs = PackedCodes(data[used], database.bits).signs()
    return signs, counts[:, used], counts[:, used] > 0


ATTACKS = (
    Attack(
        "sdha-targeted",
        sdha_targeted,
        SdhaTargetedOptions,
        title="SDHA, targeted",
        needs=frozenset({"gradients", "database"}),
        baseline=True,
        version=2,
    ),
    Attack(
        "sdha",
        sdha,
        SdhaOptions,
        title="SDHA",
        goal="untargeted",
        needs=frozenset({"gradients", "database"}),
        baseline=True,
    ),
)
