"""The peer: batched PGD as a good engineer writes it, tuned on other queries of the same victim.

It shares no code with the engine: whole batches take all their steps, in float32, with the hinge
on the margins of the bits, momentum and sign steps that fall to 0, and are rounded to 8 bits in the
end. Loss, momentum and first step are those that are best on queries that are not in the table.
"""

import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Results, cpu_once, interval
from torch import Tensor

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.data.queries import Queries
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.storage.files import fingerprint
from hashprobe.types import Budget, Precision
from hashprobe.victims.encoding import encode


STEPS = (50, 100)
"""Steps of the rows of the table; the choice is made with the first."""
BATCH = 100
"""Queries in the network at once."""
FIRST, LAST = 10, 4
"""Other queries on which all choices are tried, and how many are then tried on all of them."""
INNER = float("inf")
"""The hinge that never ends: the inner product with the code."""


@dataclass(frozen=True)
class Pgd:
    """One way of it."""

    hinge: float
    """Margin up to which a bit is pushed, in units of the query's mean |logit|."""
    momentum: float
    size: float
    """Length of the first step in units of eps; steps fall evenly to 0."""
    steps: int = STEPS[0]

    @property
    def name(self) -> str:
        """What tables call it."""
        loss = "inner product" if self.hinge == INNER else f"hinge {self.hinge:g}"
        return f"{loss}, momentum {self.momentum:g}, first step eps x {self.size:g}"


def choices() -> Iterator[Pgd]:
    """What is tried on the other queries."""
    for hinge, momentum, size in product((0.25, 0.5, 1.0, INNER), (0.6, 0.9), (1.0, 0.5, 0.25)):
        yield Pgd(hinge, momentum, size)


def pgd(victim: Any, images8: Tensor, codes: np.ndarray, eps: float, how: Pgd) -> Tensor:
    """8-bit queries within eps of others, whose codes are those that are wanted or near them."""
    moved = []
    targets = torch.from_numpy(codes).float()
    for clean8, target in zip(images8.split(BATCH), targets.split(BATCH), strict=True):
        clean = (clean8.float() / 255).contiguous(memory_format=torch.channels_last)
        low, high = (clean - eps).clamp_min(0), (clean + eps).clamp_max(1)
        x, momentum = clean, torch.zeros_like(clean)
        for step in range(how.steps):
            x = x.detach().requires_grad_()
            logits = victim(x)
            margins = target * logits / logits.detach().abs().mean(1, keepdim=True)
            loss = -margins if how.hinge == INNER else (how.hinge - margins).relu()
            (gradient,) = torch.autograd.grad(loss.sum(), x)
            mean = gradient.abs().mean((1, 2, 3), keepdim=True).clamp_min(1e-30)
            momentum = how.momentum * momentum + gradient / mean
            length = how.size * eps * (1 - step / how.steps)
            x = torch.clamp(x.detach() - length * momentum.sign(), low, high)
        most = int(255 * eps + 1e-6)
        change = (255 * (x.detach() - clean)).round().clamp(-most, most)
        moved.append((255 * clean + change).round().clamp(0, 255).to(torch.uint8))
    return torch.cat(moved)


def found(bench: Any, eps: float, how: Pgd) -> Measurement:
    """Its t-MAP."""
    moved = pgd(bench.hasher, bench.queries.pixels, bench.goal.codes, eps, how)
    return judged(bench, moved)


def judged(bench: Any, moved: Tensor) -> Measurement:
    """t-MAP of 8-bit pictures."""
    measured: Measurement = bench.tmap(
        PackedCodes.concatenate(
            [encode(bench.hasher, Queries(part.float() / 255)) for part in moved.split(BATCH)]
        )
    )
    return measured


def best_of(others: Any, eps: float, tried: list[Pgd]) -> Pgd:
    """The one with the highest t-MAP on other queries; of equal ones the first.

    All are tried on the first of these queries, and the best of them on all.
    """
    ranked = sorted(tried, key=lambda how: -found(others.first(FIRST), eps, how).value)
    last = ranked[:LAST]
    return max(last, key=lambda how: found(others, eps, how).value)


def against_peer(
    results: Results,
    pairs: list[tuple[Any, Any]],
    eps: list[float],
    precisions: tuple[Precision, ...],
    repeats: int,
    tried: list[Pgd],
    keep: Path | None = None,
) -> None:
    """t-MAP and processor time a query of the default attack and of the peer, in turns.

    What is finished of a victim and a budget is kept, and not measured again by a later call.

    Args:
        results: where rows go.
        pairs: a victim with the queries of the table, and the same with other queries.
        eps: budgets in 1/255.
        precisions: of the default attack; the peer computes in float32.
        repeats: how often both are timed; the median counts.
        tried: what the peer is chosen among.
        keep: folder for finished rows; None keeps none.
    """
    rows: list[dict[str, Any]] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for victim, others in pairs:
        victim.hasher.eval().requires_grad_(False)
        others.hasher.eval().requires_grad_(False)
        for size in eps:
            asked = [
                str(victim.path.resolve()),
                size,
                precisions,
                repeats,
                ATTACKS["bit-margin"].version,
            ]
            asked += [len(victim.queries), len(others.queries), victim.top, [h.name for h in tried]]
            path = None if keep is None else keep / f"{fingerprint({'asked': asked})[:16]}.json"
            if path is not None and path.exists():
                rows += json.loads(path.read_text())
                continue
            best = best_of(others, size / 255, tried)
            ways = [replace(best, steps=steps) for steps in STEPS]
            found_here = rows_of(victim, size, ways, precisions, repeats)
            rows += found_here
            print(f"{victim.path.name} at {size:g}/255: {found_here}\n", flush=True)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found_here))
    torch.set_num_threads(threads)
    results.table(
        "Against batched PGD in float32, tuned on other queries: t-MAP in per cent after 8 bits, "
        "milliseconds of processor time a query, one thread; the default's with its judgement, the "
        "peer's without",
        rows,
    )


def rows_of(
    victim: Any, size: float, ways: list[Pgd], precisions: tuple[Precision, ...], repeats: int
) -> list[dict[str, Any]]:
    """The rows of one victim and one budget."""
    pixels, codes, count = victim.queries.pixels, victim.goal.codes, len(victim.queries)
    spec = AttackSpec(budget=Budget(size / 255))
    works: list[Callable[[], Any]] = [
        *(partial(pgd, victim.hasher, pixels, codes, size / 255, way) for way in ways),
        *(partial(victim.craft, spec, precision=precision) for precision in precisions),
    ]
    first = [work() for work in works]  # which also compiles what is compiled
    rounds = [[1000 * cpu_once(work) / count for work in works] for _ in range(repeats)]
    spent = [statistics.median(column) for column in zip(*rounds, strict=True)]
    peers = [judged(victim, moved) for moved in first[: len(ways)]]
    rows = []
    for place, precision in enumerate(precisions, len(ways)):
        ours = victim.tmap(first[place].codes)
        row = {
            "victim": victim.path.name,
            "queries": count,
            "eps": f"{size:g}/255",
            "precision": precision,
            "default t-MAP": 100 * ours.value,
            "steps a query": float(first[place].backwards.mean()),
            "default, ms": spent[place],
            "peer": ways[0].name,
        }
        for way, peer, time in zip(ways, peers, spent, strict=False):
            row |= {
                f"peer's {way.steps} steps, t-MAP": 100 * peer.value,
                f"default - {way.steps} steps": interval(paired_difference(ours, peer)),
                f"{way.steps} steps, ms": time,
                f"times less than {way.steps} steps": time / spent[place],
            }
        rows.append(row)
    return rows
