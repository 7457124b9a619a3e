"""What every attack looks like from outside, and how chance is tied to a query."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Integer

from hashprobe.errors import HashprobeError
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Targets
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


QueryIds: TypeAlias = Sequence[int] | Integer[np.ndarray, " q"]
"""Whole numbers from 0; with the seed they decide what is drawn for a query."""

LABEL_STREAM, MEMBER_STREAM, NOISE_STREAM, START_STREAM = range(4)
# Every restart has a stream of its own, from START_STREAM + 1 on: it comes last.


class Options(Protocol):
    """The options of an attack: a frozen dataclass that also says which target codes it wants.

    An attack that takes no n_t or tie from its user answers with properties.
    """

    @property
    def n_t(self) -> int:
        """How many database codes vote on the target code."""

    @property
    def tie(self) -> Any:
        """What a bit becomes for which as many codes vote +1 as -1: `plus` or `zero`."""


@runtime_checkable
class AttackFunction(Protocol):
    """Pixels to pixels: same device and dtype, hasher left as it was, rows independent.

    images: (N, 3, H, W) in [0, 1]; targets: (N, K) of -1 and +1, or 0 for a bit that is left
    alone; returns (N, 3, H, W). What is random depends on (seed, query id) and nothing else.

    Example:
        >>> from hashprobe.attacks._dhta import dhta
        >>> isinstance(dhta, AttackFunction)
        True
    """

    def __call__(
        self,
        hasher: Hasher,
        images: Images,
        targets: Targets,
        *,
        budget: Budget,
        options: Any,
        seed: int = 0,
        query_ids: QueryIds | None = None,
        session: Session | None = None,
    ) -> Images: ...


class Attack(NamedTuple):
    """One entry of `ATTACKS`.

    Example:
        >>> from hashprobe.attacks.registry import ATTACKS
        >>> ATTACKS["dhta"].options().n_t, ATTACKS["p2p"].options().n_t
        (9, 1)
    """

    run: Callable[..., Images]
    """The attack: an `AttackFunction`, with `target_images` besides where it wants images."""
    options: type[Options]
    """The class of its options; without arguments it gives the published defaults."""
    wants_images: bool = False
    """Whether it takes `target_images` beside the codes: (N, 3, H, W) in [0, 1], for each query one
    database image with its target label, the first of those whose codes voted. Of clips it is given
    their `target_lengths`, too."""


def checked_ids(query_ids: QueryIds | None, n: int) -> tuple[int, ...]:
    """The ids of n queries, by default 0 to n - 1.

    Raises:
        HashprobeError: another number of ids than queries, or a negative one.
    """
    if query_ids is None:
        return tuple(range(n))
    ids = tuple(int(i) for i in query_ids)
    if len(ids) != n:
        raise HashprobeError(f"{len(ids)} query ids for {n} queries: give one id per query")
    if any(i < 0 for i in ids):
        raise HashprobeError(f"query ids must be 0 or above; got {min(ids)}")
    return ids


def seed_of(seed: int, query_id: int, stream: int) -> np.random.SeedSequence:
    """The source of chance for one purpose and one query, whatever is computed beside it.

    Raises:
        HashprobeError: a negative seed.
    """
    if seed < 0:
        raise HashprobeError(f"seed must be 0 or above; got {seed}")
    return np.random.SeedSequence([seed, query_id, stream])


def check_descent(steps: int, step_size: float, alpha: float | None) -> None:
    """Refuses options of a gradient attack that make no sense.

    Raises:
        HashprobeError: steps below 1, a step size or an alpha that is not above 0.
    """
    if steps < 1:
        raise HashprobeError(f"steps must be at least 1; got {steps}")
    if not 0 < step_size < float("inf"):
        raise HashprobeError(f"step_size must be above 0; got {step_size}")
    if alpha is not None and not 0 < alpha < float("inf"):
        raise HashprobeError(f"alpha must be above 0, or left out for the schedule; got {alpha}")
