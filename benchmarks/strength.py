"""The default attack against DHTA on victims that its settings were not chosen on.

Each victim is trained here, on data and with seeds that no table of the default's development has.
DHTA is shown as released, with the step scaled to the size of the picture, and with the best of
several steps, chosen on other queries of the same victim. Everything is kept in --work: a second
call goes on where a first one was stopped.

    python benchmarks/strength.py                                      # a minute; needs no data
    python benchmarks/strength.py --full --imagenette data/imagenette  # an hour of one core

The second needs Imagenette (github.com/fastai/imagenette, 10 classes of ImageNet) as
FOLDER/{train,val}/CLASS/*.jpg, and the extra `lite` for its victim at 224 pixels.
"""

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from baseline import Baseline, baselines, tuned
from common import Results, arguments, interval
from torch import Tensor, nn

from hashprobe.attacks._dhta import DhtaOptions
from hashprobe.attacks.registry import AttackSpec
from hashprobe.attacks.targets import draw_target_codes, draw_target_labels
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.runner import craft
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.data.queries import Queries
from hashprobe.data.retrieval import RetrievalData
from hashprobe.evaluation.measurement import Measurement, paired_difference
from hashprobe.evaluation.measures import (
    mean_average_precision,
    targeted_mean_average_precision,
)
from hashprobe.storage.files import fingerprint, jsonable
from hashprobe.training.loop import train
from hashprobe.training.options import TrainOptions
from hashprobe.types import Budget
from hashprobe.victims.backbones import last_linear
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.features import hash_layer_input
from hashprobe.workflow.network import Network
from hashprobe.workflow.train_step import build, held_out_map


@dataclass(frozen=True)
class Setup:
    """A victim, and how much is computed on it."""

    name: str
    data: DataOptions
    network: Network
    train: TrainOptions
    steps: int
    """Steps of DHTA; the paper takes 2,000."""
    queries: int
    """Queries of the table."""
    tuning: int
    """Other queries, on which the step is chosen."""
    seed: int
    eps: tuple[int, ...] = (2, 8)
    frozen: bool = False
    """Whether the backbone keeps its weights, so that its features are computed once."""


TRAINED = TrainOptions(
    optimiser="adamw", lr=3e-3, weight_decay=0.01, schedule="cosine", warmup=1.0, batch_size=64
)


def setups(imagenette: Path) -> list[Setup]:
    """The long form, the cheapest first."""

    def folder(part: str, queries: float, training: float, seed: int) -> DataOptions:
        root = imagenette / part
        return DataOptions("folder", root=root, queries=queries, training=training, split_seed=seed)

    return [
        Setup(
            "imagenette 32 px, small, hashnet",
            folder("train", 0.1, 0.89, 11),
            Network("small", 48, size=32),
            replace(TRAINED, loss="hashnet", epochs=15, seed=11),
            steps=200,
            queries=24,
            tuning=10,
            seed=11,
        ),
        Setup(
            "imagenette 64 px, small, csq",
            folder("train", 0.1, 0.89, 12),
            Network("small", 64, size=64),
            replace(TRAINED, loss="csq", epochs=6, seed=12, precision="bfloat16"),
            steps=200,
            queries=24,
            tuning=10,
            seed=12,
        ),
        Setup(
            "imagenette 224 px, efficientnet_lite0, csq",
            folder("val", 20, 79, 13),
            Network("efficientnet_lite0", 32, weights="imagenet", size=224),
            replace(TRAINED, loss="csq", epochs=30, seed=13, augment="none"),
            steps=50,
            queries=8,
            tuning=3,
            seed=13,
            frozen=True,
        ),
    ]


SHORT = Setup(
    "digits 8 px, small, csq",
    DataOptions("digits"),
    Network("small", 16, size=8),
    replace(TRAINED, loss="csq", epochs=8, batch_size=25, seed=5, augment="none"),
    steps=20,
    queries=16,
    tuning=8,
    seed=5,
    eps=(64,),
)
"""The short form, which needs no data."""


class Head(Hasher):
    """The hash layer of a network by itself, to be trained on features."""

    def __init__(self, hasher: Any) -> None:
        super().__init__(hasher.bits, hasher.contract)
        name, _ = last_linear(hasher)
        self.layer: nn.Module = hasher.get_submodule(name.rpartition(".")[0])

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, K)."""
        logits: Tensor = self.layer(features)
        return logits


@torch.no_grad()
def features_of(hasher: Hasher, images8: Tensor) -> Tensor:
    """What the hash layer is given for each of many images."""
    with hash_layer_input(hasher.eval()) as seen:
        for part in images8.split(32):
            hasher(part.float() / 255)
    return torch.cat(seen)


class Victim:
    """A trained network, its database, and queries with their targets."""

    def __init__(self, setup: Setup, work: Path) -> None:
        self.setup, data = setup, setup.data.load()
        # A folder for everything that decides on the network; what was begun there goes on.
        content = {"network": asdict(setup.network), "train": asdict(setup.train)}
        mark = fingerprint(jsonable({**content, "data": data.checksum, "frozen": setup.frozen}))
        self.folder = work / f"{'-'.join(setup.name.replace(',', '').split())}-{mark[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(setup.train.seed)
        self.hasher: Any = build(setup.network, data.video)
        self.train(data)
        lay_channels_last(self.hasher.eval())
        self.labels = data.database.labels
        self.codes = self.encoded(data)
        order = np.random.default_rng([setup.seed, 7]).permutation(len(data.query))
        self.others = self.drawn(data, np.sort(order[: setup.tuning]))
        self.table = self.drawn(data, np.sort(order[setup.tuning :][: setup.queries]))

    def train(self, data: RetrievalData) -> None:
        """Trains the network, or its hash layer alone, unless its weights are there."""
        setup, path = self.setup, self.folder / "weights.pt"
        if not path.exists():
            pixels = decode(data.train, self.hasher.contract).images
            part = Head(self.hasher) if setup.frozen else self.hasher
            given = features_of(self.hasher, pixels) if setup.frozen else pixels
            state = self.folder / "training.pt"
            train(
                part, given, data.train.labels, setup.train, state=state, measure=held_out_map,
                on_epoch=lambda e: print(f"  epoch {e.number}: loss {e.loss:.3f}", flush=True),
            )  # fmt: skip
            torch.save(self.hasher.state_dict(), path)
            state.unlink(missing_ok=True)
        self.hasher.load_state_dict(torch.load(path, weights_only=True))
        self.hasher.requires_grad_(False)

    def encoded(self, data: RetrievalData) -> PackedCodes:
        """Codes of the database."""
        path = self.folder / "codes.npy"
        if not path.exists():
            images8 = decode(data.database, self.hasher.contract).images
            with torch.no_grad():
                logits = [self.hasher(part.float() / 255) for part in images8.split(64)]
            np.save(path, torch.cat(logits).numpy())
        return PackedCodes.from_logits(torch.from_numpy(np.load(path)))

    def drawn(self, data: RetrievalData, rows: np.ndarray) -> tuple[Queries, Any, np.ndarray]:
        """Some queries, what they are steered to, and their own labels."""
        own, seed = data.query.labels[rows], self.setup.seed
        targets = draw_target_labels(own, self.labels, minimum=9, seed=seed, query_ids=rows)
        goal = draw_target_codes(self.codes, self.labels, targets, n_t=9, seed=seed, query_ids=rows)
        images8 = decode(data.query.take(rows), self.hasher.contract).images
        return Queries(images8, tuple(int(row) for row in rows)), goal, own

    def tmap(self, codes: PackedCodes, goal: Any) -> Measurement:
        """t-MAP over the whole database."""
        return targeted_mean_average_precision(codes, self.codes, goal.labels, self.labels)

    def attacked(self, spec: AttackSpec, part: str, name: str) -> tuple[Measurement, float]:
        """t-MAP and backward passes a query of an attack, kept in the folder of the victim."""
        queries, goal, _ = self.others if part == "others" else self.table
        start = time.perf_counter()
        eps = f"{255 * spec.budget.eps:g}of255"
        words = "-".join([part, name, eps, f"{self.setup.steps}steps", f"{len(queries)}queries"])
        words = words.replace(" ", "")
        done = craft(self.hasher, queries, goal, spec, out=self.folder / "attacks" / words)
        found = self.tmap(done.codes, goal)
        print(f"  {part} {name} {eps}: {found}, {time.perf_counter() - start:.0f} s", flush=True)
        return found, float(done.backwards.mean())

    def map(self) -> Measurement:
        """MAP of the queries of the table by their own labels, untouched."""
        queries, _, own = self.table
        with torch.no_grad():
            codes = PackedCodes.from_logits(self.hasher(queries.pixels.float() / 255))
        return mean_average_precision(codes, self.codes, own, self.labels)


def compare(victim: Victim, eps: int) -> dict[str, Any]:
    """One row of the table."""
    setup, budget = victim.setup, Budget(eps / 255)
    size = victim.hasher.contract.size
    choices = baselines(DhtaOptions(steps=setup.steps), size)

    def of(choice: Baseline, part: str) -> Measurement:
        spec = AttackSpec("dhta", choice.options, budget)
        return victim.attacked(spec, part, choice.name)[0]

    found = {choice.name: of(choice, "others") for choice in choices}
    best = tuned(choices, lambda choice: found[choice.name])
    released, strongest = of(choices[0], "table"), of(best, "table")
    # At 224 pixels the scaled step is the released one.
    scaled = next((c for c in choices if c.name == "scaled x 1"), choices[0])
    ours, steps = victim.attacked(AttackSpec(budget=budget), "table", "default")
    goal = victim.table[1]
    ceiling = victim.tmap(PackedCodes.from_signs(goal.codes), goal)
    return {
        "victim": setup.name,
        "MAP": 100 * victim.map().value,
        "eps": f"{eps}/255",
        "queries": setup.queries,
        "DHTA steps": setup.steps,
        "DHTA released": 100 * released.value,
        "DHTA scaled": 100 * of(scaled, "table").value,
        "tuned step": best.name,
        "DHTA tuned": 100 * strongest.value,
        "default": 100 * ours.value,
        "default steps": steps,
        "ceiling": 100 * ceiling.value,
        "default - released": interval(paired_difference(ours, released)),
        "default - tuned": interval(paired_difference(ours, strongest)),
        "tuned - released": interval(paired_difference(strongest, released)),
        "t-MAP on the other queries": {name: round(100 * m.value, 1) for name, m in found.items()},
    }


def main() -> None:
    """The table, row by row."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        imagenette={"type": Path, "help": "folder of Imagenette, for --full"},
        work={"type": Path, "help": "folder that keeps victims and attacks"},
        only={"default": "", "help": "only victims whose name holds this"},
        eps={"type": int, "nargs": "*", "help": "in 1/255; by default 2 and 8"},
        steps={"type": int, "help": "steps of DHTA, in the place of each victim's own"},
    )
    if given.full and given.imagenette is None:
        raise SystemExit("--full needs --imagenette FOLDER")
    chosen = setups(given.imagenette.resolve()) if given.full else [SHORT]
    results, rows = Results("strength"), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        for setup in chosen:
            if given.only not in setup.name:
                continue
            setup = replace(setup, steps=given.steps or setup.steps)
            print(setup.name, flush=True)
            victim = Victim(setup, work)
            for eps in given.eps or setup.eps:
                rows.append(compare(victim, eps))
                results.content["sections"]["so far"] = rows
                results.write(given.json)
    del results.content["sections"]["so far"]
    results.table("Out of sample: t-MAP in per cent after 8 bits, differences are paired", rows)
    results.write(given.json)


if __name__ == "__main__":
    main()
