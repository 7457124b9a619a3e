"""What the attack engine adds to bare forward and backward passes, per step.

python benchmarks/overhead.py [--json FILE]

Two victims: a linear hash of the discrete cosine transform at 256 px with 32 queries, whose whole
work is two matrix products, and the backbone `small` at 32 px with 100 queries. Bare passes and
steps of the engine take turns; figures are medians of several runs, in processor time, one thread.
"""

import statistics
import time

import torch
from common import Results, arguments

from hashprobe.attacks import BitMarginOptions, DhtaOptions, Goal, bit_margin, dhta
from hashprobe.data import Queries
from hashprobe.types import Budget, InputContract, Runtime
from hashprobe.victims import Hasher, ImageHasher


STEPS, RUNS = 16, 7


class DctHash(Hasher):
    """The signs of the lowest frequencies of a whole cosine transform of luma."""

    def __init__(self, size: int, side: int = 8) -> None:
        super().__init__(side * side, InputContract(size=size))
        self.side = side
        place = torch.arange(size) + 0.5
        basis = torch.cos(torch.outer(torch.arange(1, size + 1), place) * torch.pi / size)
        self.register_buffer("basis", basis * (2 / size) ** 0.5)
        self.register_buffer("luma", torch.tensor([0.299, 0.587, 0.114]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, 64)."""
        grey = (images * self.luma.view(1, 3, 1, 1)).sum(1)
        frequencies = self.basis @ grey @ self.basis.T
        return frequencies[:, : self.side, : self.side].flatten(1)


class Unreachable(Hasher):
    """A victim with eight bits more that are always -1: no query leaves before its last step."""

    def __init__(self, victim: Hasher) -> None:
        super().__init__(victim.bits + 8, victim.contract)
        self.victim = victim

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [0, 1] -> (N, K + 8)."""
        logits = self.victim(images)
        return torch.cat([logits, logits.new_full((len(logits), 8), -1.0)], 1)


def bare(victim: Hasher, images: torch.Tensor, targets: torch.Tensor, steps: int) -> float:
    """Processor seconds of one forward and backward pass of all images."""
    start = time.process_time()
    for _ in range(steps):
        given = images.detach().requires_grad_()
        loss = -(targets * victim(given).tanh()).mean(1).sum()
        torch.autograd.grad(loss, given)
    return (time.process_time() - start) / steps


def engine(run, options, victim: Hasher, queries: Queries, goal: Goal) -> float:
    """Processor seconds of one step of an attack on all queries, without what happens once."""
    runtime = Runtime(batch_size=len(queries))
    times = []
    for steps in (1, 1 + options.steps):
        start = time.process_time()
        run(
            victim,
            queries,
            goal,
            budget=Budget(8 / 255),
            options=type(options)(steps=steps),
            runtime=runtime,
        )
        times.append(time.process_time() - start)
    return (times[1] - times[0]) / options.steps


def measure(name: str, victim: Hasher, count: int, size: int, steps: int) -> list[dict]:
    """The rows of one victim."""
    chance = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, size, size), generator=chance).float() / 255
    victim = Unreachable(victim)
    targets = torch.randint(0, 2, (count, victim.bits), generator=chance).float() * 2 - 1
    targets[:, -8:] = 1
    victim.eval().requires_grad_(False)
    queries, goal = Queries(images), Goal.targeted(targets)
    rows = []
    attacks = ((bit_margin, BitMarginOptions(steps=steps)), (dhta, DhtaOptions(steps=steps)))
    for run, options in attacks:
        engine(run, options, victim, queries, goal)
        pairs = [
            (bare(victim, images, targets, steps), engine(run, options, victim, queries, goal))
            for _ in range(RUNS)
        ]
        shares = [100 * (whole / alone - 1) for alone, whole in pairs]
        rows.append(
            {
                "victim": name,
                "attack": run.__name__,
                "bare ms/step": 1000 * statistics.median(alone for alone, _ in pairs),
                "engine ms/step": 1000 * statistics.median(whole for _, whole in pairs),
                "added %": statistics.median(shares),
                "from": min(shares),
                "to": max(shares),
            }
        )
    return rows


def main() -> None:
    """Measures both victims."""
    given = arguments((__doc__ or "").splitlines()[0])
    torch.set_num_threads(1)
    torch.manual_seed(0)
    steps = STEPS if not given.tiny else 2
    size, count = (256, 32) if not given.tiny else (32, 4)
    results = Results("overhead")
    rows = measure(f"DCT, {count} x {size} px", DctHash(size), count, size, steps)
    few = 100 if not given.tiny else 4
    rows += measure(f"small, {few} x 32 px", ImageHasher("small", 32), few, 32, steps)
    results.table("What the engine adds to bare passes", rows)
    results.write(given.json)


if __name__ == "__main__":
    main()
