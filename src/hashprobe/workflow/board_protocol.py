"""The fixed protocol of the leaderboard: data, budgets, attacks and their settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashprobe.attacks.registry import attack_named
from hashprobe.errors import HashprobeError
from hashprobe.types import Budget
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.run_io import EncodedRun


STEPS = 100
"""Passes per query that every iterative attack gets, whatever its release takes."""
OWN: tuple[str, ...] = ("noise", "bit-margin", "reach", "worst-code")
"""hashprobe's own attacks, with their default step size: nothing of them is tuned."""
BASELINES: tuple[str, ...] = (
    "p2p", "dhta", "tha", "mainstay-targeted", "sdha-targeted", "pta", "feature",
    "hag", "sdha", "cgat", "mainstay", "pta-untargeted",
)  # fmt: skip
"""Published attacks: as released, and with the step size that is the best on other queries."""
IMAGENETTE = (
    "cassette_player", "chain_saw", "church", "english_springer", "french_horn", "garbage_truck",
    "gas_pump", "golf_ball", "parachute", "tench",
)  # fmt: skip
"""Its classes in words."""
SYNSETS = (
    "n01440764", "n02102040", "n02979186", "n03000684", "n03028079", "n03394916", "n03417042",
    "n03425413", "n03445777", "n03888257",
)  # fmt: skip
"""Its classes as the published archive names them."""


@dataclass(frozen=True)
class BoardProtocol:
    """How victims of one data set are measured."""

    title: str
    """Of the table that an entry stands in."""
    top: int | None
    """List length of MAP; None for the whole database."""
    eps: tuple[int, ...]
    """Budgets in 255ths."""


def protocol_of(run: EncodedRun) -> BoardProtocol:
    """The protocol of a run's data.

    Raises:
        HashprobeError: a run of clips, or one on CIFAR-10 with other codes or pictures.
    """
    contract, path = run.hasher.contract, run.run.path
    if contract.frames:
        raise HashprobeError(f"the leaderboard is of pictures, and {path} is a run of clips")
    if run.run.config["data"]["name"] == "cifar10-2":
        if (run.hasher.bits, contract.size) != (32, 32):
            raise HashprobeError(
                f"{path} has {run.hasher.bits} bits at {contract.size} pixels: the leaderboard "
                "takes cifar10-2 with 32 bits at 32 pixels"
            )
        return BoardProtocol("cifar10-2", 1000, (2, 8))
    return BoardProtocol(title_of(run), None, (4,))


def title_of(run: EncodedRun) -> str:
    """What the data of a run are called: Imagenette by its classes, folders by their names."""
    size, source = run.hasher.contract.size, run.run.config["data"]
    name, root = source["name"], source.get("root")
    if name == "folder" and run.data.label_names in (IMAGENETTE, SYNSETS):
        return f"imagenette, {size} px"
    if root is not None:
        name += f" {last_two(root)}"
    return f"{name}, {size} px"


def last_two(path: Any) -> str:
    """The end of a path, which says enough and names nobody's machine."""
    return "/".join(Path(str(path)).parts[-2:]).lstrip("/")


@dataclass(frozen=True)
class Setting:
    """An attack with some of its options."""

    attack: str
    name: str
    """released, tuned or default; for `tuned` the options hold the first size that is tried."""
    options: Any


def own(attack: str) -> Setting:
    """One of hashprobe's attacks as it is, in so many passes."""
    kind = attack_named(attack).options
    return Setting(attack, "default", kind(steps=STEPS) if hasattr(kind(), "steps") else kind())


def released(attack: str) -> Setting:
    """A baseline as released, in at most so many passes; one of fewer passes keeps them."""
    kind = attack_named(attack).options
    return Setting(attack, "released", kind(steps=min(STEPS, kind().steps)))


def first_tried(attack: str, budget: Budget) -> Setting:
    """A baseline in so many passes with the released step size, which is the first that is tried.

    A size that a release takes from the budget and its number of steps stays what it is there.
    """
    kind = attack_named(attack).options
    return Setting(attack, "tuned", kind(steps=STEPS, step_size=step_size(kind(), budget)))


def step_size(options: Any, budget: Budget) -> float | None:
    """The step size of an attack at a budget; None where it takes no steps."""
    if not hasattr(options, "step_size"):
        return None
    size: float | None = options.step_size
    return budget.eps / options.steps if size is None else size


def row_folder(setting: Setting, eps: int, protocol: Protocol) -> str:
    """The folder of a row under attacks/ of a run."""
    asked = f"{eps}of255-{protocol.queries}-seed{protocol.seed}"
    return f"board-{setting.attack}-{setting.name}-{asked}"
