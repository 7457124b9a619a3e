"""PTA: precise targeted attack on a ranking (MM 2023): Smooth-AP over database codes, no code."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from hashprobe.attacks.contract import Attack, Hasher, check_descent
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.label_codes import known_of, relevance
from hashprobe.attacks.targets import Tie
from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.data.queries import MEMBER_STREAM, Queries, seed_of
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits, Tensor
from hashprobe.types import Budget, Labels, Runtime, check_whole


if TYPE_CHECKING:
    from hashprobe.optim.rule import UpdateRule

SAMPLE_STREAM = MEMBER_STREAM + 2**20
"""Which random numbers draw the items that are ranked."""


@checked
@dataclass(frozen=True)
class PtaOptions:
    """What PTA can be told; the defaults are those of the paper.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> PtaOptions(momentum=1.0).steps
        20
    """

    steps: int = 20
    """Forward and backward passes per query."""
    step_size: float | None = None
    """l-infinity length of a step, in units of the budget's space; none: eps / steps."""
    momentum: float = 0.0
    """What is kept of earlier gradients; 1 is what the release does, which does not clear them."""
    temperature: float = 0.1
    """Of the sigmoid that stands for a comparison of two items."""
    items: int = 75
    """Database items with the label that are ranked, drawn at random."""
    others: int = 4
    """Items without the label for each of them; the paper takes 6 on multi-label data."""
    tie: Tie = field(default="plus", kw_only=True)
    """A tied bit of the code that t-MAP's ceiling is taken of is +1."""
    n_t: int = field(default=9, kw_only=True)
    """Fewest database items with the target label."""

    def __post_init__(self) -> None:
        check_descent(self.steps, 1.0 if self.step_size is None else self.step_size, None)
        for name in ("items", "others"):
            check_whole(name, getattr(self, name))
        if not 0 <= self.momentum <= 1:
            raise HashprobeError(f"momentum must be from 0 to 1; got {self.momentum}")
        check_temperature(self.temperature)


def check_temperature(temperature: float) -> None:
    """Refuses a temperature of 0 or below, or one without an end."""
    if not 0 < temperature < float("inf"):
        raise HashprobeError(f"temperature must be above 0; got {temperature}")


@checked
def smooth_ap(
    soft: Float[Tensor, "n k"], codes: Float[Tensor, "n m k"], hits: int, temperature: float
) -> Float[Tensor, " n"]:
    """Smooth average precision of lists whose first items are the hits (Brown et al., ECCV 2020).

    The mean over hits i of (1 + sum_j s_ij) / (1 + sum_j s_ij + sum_l s_il), with j the other hits,
    l the other items, and s_ij = sigmoid((u r_j - u r_i) / (K t)): how far j stands before i.

    Args:
        soft: u = tanh(z), (N, K).
        codes: r, (N, M, K) with entries -1 and +1.
        hits: how many of the M come first and are relevant, 1 to M.
        temperature: t, above 0.

    Returns:
        (N,) between 0 and 1.

    Raises:
        HashprobeError: another number of lists than of codes, codes of other lengths, or hits or a
            temperature out of range.

    Example:
        >>> import torch
        >>> u, codes = torch.ones(1, 2), torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]])
        >>> [round(float(smooth_ap(each, codes, 1, 0.1)), 4) for each in (u, -u)]
        [1.0, 0.5]
    """
    import torch

    if soft.shape != codes.shape[::2] or not soft.shape[1]:
        raise HashprobeError(
            "each code needs a list of database codes with as many bits, 1 or more; got "
            f"{len(soft)} codes of {soft.shape[1]} bits and {len(codes)} lists of codes of "
            f"{codes.shape[2]}"
        )
    if not 1 <= hits <= codes.shape[1]:
        raise HashprobeError(
            f"hits must be 1 or more of the {codes.shape[1]} items of a list; got {hits}"
        )
    check_temperature(temperature)
    codes = codes.to(soft)
    alike = torch.einsum("nk,nmk->nm", soft, codes) / soft.shape[1]
    before = ((alike.unsqueeze(1) - alike[:, :hits].unsqueeze(2)) / temperature).sigmoid()
    # A hit does not stand before itself.
    own = torch.eye(hits, alike.shape[1], dtype=torch.bool, device=alike.device)
    before = before.masked_fill(own, 0)
    place = 1 + before[:, :, :hits].sum(2)
    return (place / (place + before[:, :, hits:].sum(2))).mean(1)


@checked
def pta(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: PtaOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Lifts items with a target label to the front of the list, without a target code (PTA).

    Sign steps on 1 - Smooth-AP over items of the database, 75 with the target label and four times
    as many others, drawn for each query; starts at the clean query, the last iterate is returned.
    It has no target code: the ceiling that t-MAP is shown with is that of the vote of n_t codes.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: target labels, and the `known` database.
        budget: l-infinity radius and the space it counts in.
        options: see `PtaOptions`.
        seed: 0 or above; with the queries' ids it decides which items are ranked.
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
        >>> pta(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...     options=PtaOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.labels, "pta", len(queries))
    check_bits(database, victim)
    codes = ranked_codes(database, labels, queries, options, seed)
    rule = rule_of(options, budget, targeted=True)
    return solve(victim, queries, codes, rule, budget=budget, seed=seed, runtime=runtime)


@checked
def pta_untargeted(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    *,
    budget: Budget,
    options: PtaOptions,
    seed: int = 0,
    runtime: Runtime = Runtime(),
) -> Images:
    """Drives items with a query's own label to the end of the list: `pta` on Smooth-AP itself.

    The paper has the targeted form only.

    Args:
        victim: left as it was.
        queries: N clean images or clips with floating pixels in [0, 1].
        goal: `own_labels` of the queries, and the `known` database.
        budget: l-infinity radius and the space it counts in.
        options: see `PtaOptions`.
        seed: 0 or above; with the queries' ids it decides which items are ranked.
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
        >>> pta_untargeted(ImageHasher("small", 16), queries, goal, budget=Budget(8 / 255),
        ...                options=PtaOptions(steps=3)).shape
        torch.Size([2, 3, 32, 32])
    """
    from hashprobe.optim.attempts import solve

    database, labels = known_of(goal, goal.own_labels, "pta-untargeted", len(queries))
    check_bits(database, victim)
    codes = ranked_codes(database, labels, queries, options, seed)
    rule = rule_of(options, budget, targeted=False)
    return solve(victim, queries, codes, rule, budget=budget, seed=seed, runtime=runtime)


def rule_of(options: PtaOptions, budget: Budget, *, targeted: bool) -> "UpdateRule":
    """Sign steps that make Smooth-AP large, or small."""
    from hashprobe.optim.rule import Steps, UpdateRule
    from hashprobe.optim.steps import SignStep

    def objective(z: Logits, codes: Tensor, step: Steps) -> Float[Tensor, " n"]:
        value = smooth_ap(z.tanh(), codes, options.items, options.temperature)
        return 1 - value if targeted else value

    size = budget.eps / options.steps if options.step_size is None else options.step_size
    return UpdateRule(
        objective,
        SignStep.steady(size),
        steps=options.steps,
        momentum=options.momentum,
        raw=True,
        compared="anything",
    )


def check_bits(database: Codes, victim: Hasher) -> None:
    """Refuses a database whose codes have another length than the victim's."""
    if database.bits != victim.bits:
        raise HashprobeError(
            f"codes of the database have {database.bits} bits but the victim gives {victim.bits}"
        )


def ranked_codes(
    database: Codes, labels: Labels, queries: Queries, options: PtaOptions, seed: int
) -> Float[Tensor, "n m k"]:
    """Codes of the items that are ranked for each query, those with its label first."""
    import torch

    items = drawn_items(relevance(database, labels), queries.ids, options, seed)
    signs = database.packed[items.reshape(-1)].signs().reshape(*items.shape, database.bits)
    return torch.from_numpy(signs).to(queries.pixels)


def drawn_items(
    relevant: Bool[np.ndarray, "q n"], ids: tuple[int, ...], options: PtaOptions, seed: int
) -> np.ndarray:
    """Database positions for each query: hits first, then others; again where there are too few."""
    positions = np.empty((len(relevant), options.items * (1 + options.others)), np.int64)
    for row, (hits, query_id) in enumerate(zip(relevant, ids, strict=True)):
        if hits.all() or not hits.any():
            raise HashprobeError(
                f"query {query_id}: {int(hits.sum())} of {len(hits)} database items share a label "
                "with it, so that there is nothing to rank"
            )
        rng = np.random.default_rng(seed_of(seed, query_id, SAMPLE_STREAM))
        for kind, part in ((hits, slice(options.items)), (~hits, slice(options.items, None))):
            among = np.flatnonzero(kind)
            count = len(range(*part.indices(positions.shape[1])))
            positions[row, part] = rng.choice(among, count, replace=len(among) < count)
    return positions


ATTACKS = (
    Attack(
        "pta",
        pta,
        PtaOptions,
        title="PTA",
        needs=frozenset({"gradients", "database"}),
        baseline=True,
    ),
    Attack(
        "pta-untargeted",
        pta_untargeted,
        PtaOptions,
        title="PTA, untargeted",
        goal="untargeted",
        needs=frozenset({"gradients", "database"}),
        baseline=True,
    ),
)
