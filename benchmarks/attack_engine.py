"""The default attack against the recipe of the DHTA paper's released code, both in one run.

The recipe, written from its description: one query at a time, the gradient of the weights computed
and kept beside that of the pixels, a step of unit l2 length along the gradient, alpha by schedule,
2,000 iterations, no judgement.

    python benchmarks/attack_engine.py                     # minutes; needs no data
    python benchmarks/attack_engine.py --full --runs runs/small runs/vgg11   # hours
"""

import copy
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from baseline import Baseline, baselines, tuned
from common import (
    Results,
    arguments,
    cpu_seconds,
    interval,
    median,
    paired,
    precisions,
    seconds,
)
from pgd import against_peer, choices
from sklearn.datasets import load_sample_images
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hashprobe.attacks._dhta import DhtaOptions, alpha_at
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import anchor_code
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.runner import craft
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.evaluation.measures import targeted_mean_average_precision
from hashprobe.training.options import TrainOptions
from hashprobe.types import Budget, Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.encoding import encode
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.precision import in_precision
from hashprobe.workflow.drawing import draw_goal, draw_queries
from hashprobe.workflow.encode_step import encode_run
from hashprobe.workflow.network import Network
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import open_run
from hashprobe.workflow.train_step import train_run


HasherT = TypeVar("HasherT", bound=Hasher)
OFFICIAL_STEPS = 2000
OTHERS = 25
"""Queries on which the step of the official side is chosen."""
TOP = 1000


class OfficialRecipe:
    """The released attack on one query, a step at a time, so that steps can be timed.

    `alpha` is one number all the way for videos, as the paper has it; images have a schedule.
    """

    def __init__(
        self,
        hasher: Hasher,
        image: Tensor,
        target: Tensor,
        eps: float,
        alpha: float | None = None,
    ) -> None:
        self.hasher, self.image, self.target, self.eps = hasher, image, target, eps
        self.alpha = alpha
        self.delta = torch.zeros_like(image, requires_grad=True)
        self.step = 0
        hasher.eval().requires_grad_(True)

    def advance(self) -> None:
        """One iteration."""
        alpha = self.alpha or alpha_at(min(self.step, OFFICIAL_STEPS - 1), OFFICIAL_STEPS)
        soft = torch.tanh(alpha * self.hasher(self.image + self.delta))
        loss = -(soft * self.target).mean()
        loss.backward()
        with torch.no_grad():
            gradient = self.delta.grad
            assert gradient is not None
            self.delta -= gradient / gradient.norm().clamp_min(1e-30)
            self.delta.copy_((self.image + self.delta).clamp(0, 1) - self.image)
            self.delta.clamp_(-self.eps, self.eps)
            gradient.zero_()
        self.step += 1

    def end(self) -> None:
        """Frees the gradients of the weights."""
        self.hasher.zero_grad(set_to_none=True)
        self.hasher.requires_grad_(False)


def photo_crops(count: int, size: int, seed: int) -> Tensor:
    """8-bit crops of the two photographs that come with scikit-learn."""
    photos, rng = load_sample_images().images, np.random.default_rng(seed)
    crops = []
    for i in range(count):
        photo = photos[i % len(photos)]
        y, x = (int(rng.integers(side - size)) for side in photo.shape[:2])
        crops.append(photo[y : y + size, x : x + size].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(crops))


def balanced(hasher: HasherT, images8: Tensor) -> HasherT:
    """A network with random weights whose bits are +1 for about half of some images."""
    norm = next(m for m in hasher.modules() if isinstance(m, nn.BatchNorm1d))
    hasher.eval()
    norm.train()
    norm.momentum = None  # the running mean of all that it sees
    with torch.no_grad():
        hasher(images8.float() / 255)
    norm.eval()
    return hasher


def speed_at_224(results: Results, full: bool, tiny: bool = False) -> None:
    """(a) Processor seconds per query of VGG-11 at 224 pixels, 32 bits."""
    torch.manual_seed(0)
    size, count = (32, 2) if tiny else (224, 64 if full else 16)
    others, queries = photo_crops(64, size, 0), photo_crops(count, size, 1)
    hasher = balanced(ImageHasher("small" if tiny else "vgg11", 32, size=size), others)
    codes = encode(hasher, Queries(others.float() / 255))
    rng = np.random.default_rng(0)
    anchors = np.stack([anchor_code(codes[rng.permutation(64)[:9]]) for _ in range(len(queries))])
    goal = Goal.targeted(anchors)
    rows = []
    for eps in (2, 8):
        # As released, and then as `hashprobe attack` has it.
        hasher.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        recipe = OfficialRecipe(
            hasher, queries[:1].float() / 255, torch.from_numpy(anchors[:1]).float(), eps / 255
        )
        step = median(cpu_seconds(recipe.advance, 20 if full else 10))
        recipe.end()
        official = step * OFFICIAL_STEPS
        hasher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for precision in precisions():
            start = time.process_time()
            spec, runtime = AttackSpec(budget=Budget(eps / 255)), Runtime(precision=precision)
            done = craft(hasher, Queries(queries), goal, spec, runtime=runtime)
            ours = (time.process_time() - start) / len(queries)
            wrong = (done.codes.signs() != anchors).sum(1)
            rows.append(
                {
                    "eps": f"{eps}/255",
                    "official, s/step": step,
                    "official, s/query": official,
                    "precision": precision,
                    "default, s/query": ours,
                    "times less": official / ours,
                    "steps a query": float(done.backwards.mean()),
                    "bits wrong": float(wrong.mean()),
                    "queries": len(queries),
                }
            )
    results.table("VGG-11 with random weights at 224 px, 32 bits, judgement included", rows)


class Bench:
    """A trained and encoded run with the queries of the protocol, as `hashprobe attack` has it.

    With `others`, so many queries that are not among those of the protocol, with targets of their
    own: what is chosen on them is not chosen on the table.
    """

    def __init__(
        self, path: Path, queries: int = 100, top: int | None = TOP, others: int = 0
    ) -> None:
        run = open_run(path)
        self.path, self.hasher, self.database = path, run.hasher, run.database
        lay_channels_last(self.hasher)
        self.top, protocol = top, Protocol(queries=queries, top=top)
        rows = draw_queries(len(run.query), protocol)
        if others:
            left = np.setdiff1d(np.arange(len(run.query)), rows)
            if not len(left):
                raise SystemExit(f"{path} has no other queries to choose a step on: attack fewer")
            rows = np.sort(np.random.default_rng([1, 0]).permutation(left)[:others])
            protocol = Protocol(queries=len(rows), top=top, seed=1)
        self.goal = draw_goal(run, rows, AttackSpec("dhta"), protocol)
        ids = run.query.positions[rows]
        pixels = decode(run.data.query.take(ids), self.hasher.contract)
        lengths = None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
        self.queries = Queries(pixels.images, tuple(int(i) for i in ids), lengths)

    def first(self, count: int) -> "Bench":
        """The same with its first queries alone."""
        some = copy.copy(self)
        rows = list(range(min(count, len(self.queries))))
        some.queries, some.goal = self.queries.take(rows), self.goal.take(rows)
        return some

    def tmap(self, codes: PackedCodes) -> Measurement:
        """t-MAP, with that of every query."""
        labels = self.goal.labels, self.database.labels
        return targeted_mean_average_precision(codes, self.database.codes, *labels, top=self.top)

    def craft(self, spec: AttackSpec, out: Path | None = None, **runtime: Any) -> AttackResult:
        """The queries, attacked."""
        return craft(
            self.hasher, self.queries, self.goal, spec, runtime=Runtime(**runtime), out=out
        )


def strength(
    results: Results,
    victims: list[Bench],
    eps: list[float],
    options: DhtaOptions,
    repeats: int,
) -> None:
    """t-MAP after 8 bits and seconds per query, both sides with all their steps.

    The official side is shown as released and with the step that is best on other queries of the
    same victim. The victims are those that the default attack's settings were chosen on, or like
    them: `strength.py` has others.

    The official side's queries are computed in batches, which gives what one by one gives up to
    rounding; its time is that of the recipe as released, from timed iterations. They are kept in
    the run's folder, so that a second call finds them.
    """
    rows = []
    for victim in victims:
        lengths, pixels = victim.queries.lengths, victim.queries.pixels
        first = pixels[:1] if lengths is None else pixels[:1, : int(lengths[0])]
        target = torch.from_numpy(victim.goal.codes[:1]).float()
        others = Bench(victim.path, len(victim.queries), victim.top, others=OTHERS)
        for size in eps:
            budget = Budget(size / 255)
            recipe = OfficialRecipe(
                victim.hasher, first.float() / 255, target, budget.eps, options.alpha
            )
            step = median(seconds(recipe.advance, repeats))
            recipe.end()

            choices = baselines(options, victim.hasher.contract.size)
            best = tuned(choices, partial(baseline_of, others, "others", budget))
            theirs, strongest = (
                baseline_of(victim, "official", budget, choice) for choice in (choices[0], best)
            )
            ceiling = victim.tmap(PackedCodes.from_signs(victim.goal.codes))
            for precision in precisions():
                start = time.perf_counter()
                done = victim.craft(AttackSpec(budget=budget), precision=precision)
                ours = (time.perf_counter() - start) / len(done)
                found = victim.tmap(done.codes)
                rows.append(
                    {
                        "victim": victim.path.name,
                        "queries": len(done),
                        "eps": f"{size:g}/255",
                        "released t-MAP": 100 * theirs.value,
                        "best step": best.name,
                        "tuned t-MAP": 100 * strongest.value,
                        "precision": precision,
                        "default t-MAP": 100 * found.value,
                        "default - released": interval(paired_difference(found, theirs)),
                        "default - tuned": interval(paired_difference(found, strongest)),
                        "ceiling": 100 * ceiling.value,
                        "steps a query": float(done.backwards.mean()),
                        "official, s/query": step * options.steps,
                        "default, s/query": ours,
                        "times less": step * options.steps / ours,
                    }
                )
    results.table(
        f"{theirs.signature.split('|')[0]} in per cent after 8 bits; official side with "
        f"{options.steps:,} steps",
        rows,
    )


def baseline_of(bench: Bench, part: str, budget: Budget, choice: Baseline) -> Measurement:
    """t-MAP of the official side with one of its steps, kept in the run's folder."""
    words = [part, *choice.name.split()] if choice.name != "released" else [part]
    official = bench.craft(
        AttackSpec("dhta", choice.options, budget),
        out=bench.path / "attacks" / "-".join([*words, f"{255 * budget.eps:g}of255"]),
        batch_size=50 if bench.queries.lengths is None else None,
    )
    return bench.tmap(official.codes)


def rates(results: Results, full: bool, tiny: bool = False) -> None:
    """(c) Floating point operations a second of an attack step, beside those of a bare product."""
    torch.manual_seed(0)
    name, size, side = ("small", 32, 64) if tiny else ("vgg11", 224, 2048)
    hasher = ImageHasher(name, 32, size=size).eval().requires_grad_(False)
    hasher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = 16
    images = photo_crops(batch, size, 0).float() / 255
    images = images.contiguous(memory_format=torch.channels_last)
    rows = []
    for precision, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        fast = in_precision(hasher, precision)  # type: ignore[arg-type]
        with FlopCounterMode(display=False) as counter:
            fast(images.clone().requires_grad_()).sum().backward()  # the pixels' gradient alone
        product, step = paired([product_of(side, kind), step_of(fast, images)], 9 if full else 5)
        row = {
            "precision": precision,
            "product, GFLOP/s": 2 * side**3 / median(product) / 1e9,
            "step, GFLOP/s": counter.get_total_flops() / median(step) / 1e9,
            "step, ms/image": 1000 * median(step) / batch,
        }
        rows.append(row | {"share": row["step, GFLOP/s"] / row["product, GFLOP/s"]})
        if full:
            compiled = torch.compile(fast)
            plain, faster = paired([step_of(fast, images), step_of(compiled, images)], 5)
            rows[-1]["torch.compile, times as fast"] = median(plain) / median(faster)
    results.table(f"One attack step of VGG-11 at 224 px, batches of {batch}", rows)


def product_of(side: int, kind: torch.dtype) -> Callable[[], Tensor]:
    """The product of two square matrices."""
    left, right = (torch.randn(side, side).to(kind) for _ in range(2))
    return lambda: left @ right


def step_of(network: Any, images: Tensor) -> Callable[[], None]:
    """A forward and a backward pass to the pixels."""

    def step() -> None:
        pixels = images.detach().requires_grad_()
        torch.autograd.grad(network(pixels).sum(), pixels)

    return step


def digits(folder: Path, epochs: int = 6) -> Bench:
    """A small network on the bundled digits, trained in half a minute."""
    options = TrainOptions(epochs=epochs, batch_size=25, augment="none")
    train_run(folder, DataOptions("digits"), Network("small", 32, size=8), options)
    encode_run(folder)
    return Bench(folder)


def main() -> None:
    """All tables."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        runs={"nargs": "*", "type": Path, "default": [], "help": "run folders of victims"},
        queries={"type": int, "default": 100, "help": "queries of these runs in the tables"},
        others={"type": int, "default": OTHERS, "help": "queries that a peer is tuned on"},
        keep={"type": Path, "help": "folder of finished rows of the peer's table, to go on from"},
        only={"choices": ("rates", "224", "peer", "official"), "help": "one of the tables"},
    )
    results, eps = Results("attack engine"), [8.0] if given.tiny else [2.0, 8.0]
    if given.only in (None, "rates"):
        rates(results, given.full, given.tiny)
    if given.only in (None, "224"):
        speed_at_224(results, given.full, given.tiny)
    with tempfile.TemporaryDirectory() as temporary:
        if not given.runs:
            digits(Path(temporary) / "digits", 1 if given.tiny else 6)
        paths, queries = (
            given.runs or [Path(temporary) / "digits"],
            2 if given.tiny else given.queries,
        )
        victims = [Bench(path, queries) for path in paths]
        if given.only in (None, "peer"):
            others = [Bench(path, queries, others=given.others) for path in paths]
            most = 1 if given.tiny else None
            pairs, repeats = list(zip(victims, others, strict=True)), 1 if given.tiny else 3
            tried = list(islice(choices(), most))
            against_peer(results, pairs, eps, precisions(), repeats, tried, given.keep)
        if given.only in (None, "official"):
            options = DhtaOptions(steps=3) if given.tiny else DhtaOptions()
            repeats = 1 if given.tiny else 100 if given.full else 30
            strength(results, victims, eps, options, repeats)
    results.write(given.json)


if __name__ == "__main__":
    main()
