"""What stands for the paper's data, networks and attacks: data sets, scales and presets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from hashprobe.attacks import PRESETS as PUBLISHED
from hashprobe.attacks import (
    BitMarginOptions,
    DhtaOptions,
    FeatureOptions,
    HagOptions,
    NoiseOptions,
    P2pOptions,
)
from hashprobe.data import DataOptions
from hashprobe.errors import HashprobeError
from hashprobe.experiments.recipe import Cell, Recipe
from hashprobe.models import TrainOptions
from hashprobe.types import Budget
from hashprobe.workflow import Network, Protocol


SCALES = ("paper", "bench")
DEFAULT_EPS = 8 / 255


@dataclass(frozen=True)
class Setting:
    """One data set at one scale, attacked by one preset.

    Example:
        >>> setting = load_setting("digits", "bench")
        >>> setting.network.backbone, setting.preset
        ('small', 'default')
    """

    dataset: str
    title: str
    scale: str
    preset: str
    data: DataOptions
    network: Network
    train: TrainOptions
    minutes: float
    """What a training takes on two CPU cores."""
    step_ms: float
    """What one step of one query takes there, in milliseconds."""
    queries: int = 100
    seed: int = 0
    top: int | None = None
    """T of MAP and t-MAP."""
    unseen: int = 0
    """Classes held back in open-set experiments; 0 where that makes no sense."""
    multi_label: bool = False
    eps_scale: float = 1.0
    """What eps is multiplied by: pictures of few pixels need larger changes."""
    precision: str = "float32"
    """What gradients of attacks are computed in."""
    long_steps: int | None = None
    """Steps of HAG and of the feature-space attack by projected gradient; None: 2,000."""

    def data_of(self, cell: Cell) -> DataOptions:
        """The data of a cell's victim."""
        return replace(self.data, unseen=self.unseen) if cell.open_set else self.data

    def network_of(self, cell: Cell) -> Network:
        """The network of a cell's victim."""
        return replace(self.network, bits=cell.bits)

    def train_of(self, cell: Cell) -> TrainOptions:
        """The training of a cell's victim."""
        return replace(self.train, loss=cell.loss)  # type: ignore[arg-type]

    def protocol_of(self, cell: Cell, minimum: int) -> Protocol:
        """Queries, targets and measures of a cell.

        Args:
            cell: the cell.
            minimum: items that a target label must have: the largest n_t of what is compared.
        """
        published = PUBLISHED.get(self.preset)
        pool: Any = "unseen" if cell.open_set else cell.pool
        return Protocol(
            queries=self.queries,
            seed=self.seed,
            pool=pool or (published.pool if published else "differs"),
            minimum=max(minimum, published.minimum if published else 9),
            top=self.top,
            empty=published.empty if published else "zero",
        )

    def budget_of(self, cell: Cell) -> Budget:
        """The budget of a cell."""
        if cell.eps is not None:
            return Budget(cell.eps * self.eps_scale)
        if self.preset in PUBLISHED:
            budget = PUBLISHED[self.preset].budget
            return replace(budget, eps=budget.eps * self.eps_scale)
        return Budget(DEFAULT_EPS * self.eps_scale)

    def attack_of(self, cell: Cell) -> tuple[str, Any]:
        """Name and options of a cell's attack under the preset.

        `default` exchanges the optimisation of P2P and DHTA for hashprobe's own; the target codes
        stay theirs. HAG and the feature-space attack are always as published.
        """
        steps: dict[str, Any] = {} if cell.steps is None else {"steps": cell.steps}
        votes: dict[str, Any] = {} if cell.n_t is None else {"n_t": cell.n_t}
        if cell.attack in ("original", "noise"):
            return "noise", NoiseOptions()
        long = steps or ({} if self.long_steps is None else {"steps": self.long_steps})
        if cell.attack == "hag":
            return "hag", HagOptions(**long)
        if cell.attack == "feature-sign":
            return "feature", FeatureOptions(**steps)
        if cell.attack == "feature-pgd":
            return "feature", FeatureOptions(rule="pgd", **{"steps": 2000, **long})
        if self.preset == "default":
            votes = {"n_t": 1} if cell.attack == "p2p" else votes
            return "bit-margin", BitMarginOptions(**steps, **votes)
        if cell.attack == "p2p":
            return "p2p", P2pOptions(**steps)
        return "dhta", replace(PUBLISHED[self.preset].options, **steps, **votes)

    def suits(self, recipe: Recipe) -> bool:
        """Whether a recipe makes sense on these data."""
        return (self.unseen > 0 or not recipe.open_set) and (
            self.multi_label or not recipe.multi_label
        )

    def changes(self) -> list[str]:
        """How this differs from the paper's setting, in sentences.

        Example:
            >>> load_setting("imagenet100", "paper").changes()
            []
        """
        found = []
        if self.dataset not in ("imagenet100", "nuswide-20"):
            found.append(f"Data: {self.title} (paper: ImageNet-100, NUS-WIDE).")
        paper = load_setting("imagenet100", "paper")
        if self.network != paper.network:
            found.append(f"Network: {describe(self.network)} (paper: {describe(paper.network)}).")
        if differ := differences(asdict(self.train), asdict(paper.train)):
            found.append(f"Training: {differ}.")
        if self.preset == "default":
            steps, eps = BitMarginOptions().steps, DEFAULT_EPS * self.eps_scale * 255
            found.append(
                f"P2P and DHTA are optimised by bit margin in at most {steps} steps at "
                f"{eps:.0f}/255 (paper: {DhtaOptions().steps:,} steps at 0.032); the target codes "
                "are theirs."
            )
        elif self.preset == "official-code":
            found.append("Attacks as in the released code: eps in normalised units (paper's text: "
                         "0.032, read as pixels).")  # fmt: skip
        elif self.eps_scale != 1:
            found.append(f"eps is {self.eps_scale:g} times the paper's.")
        if self.long_steps is not None:
            found.append(
                "HAG, and the feature-space attack by projected gradient, take "
                f"{self.long_steps:,} steps (paper: {HagOptions().steps:,})."
            )
        if self.queries != paper.queries:
            found.append(f"{self.queries} queries (paper: {paper.queries}).")
        return found


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What differs between two trainings, in words."""
    seen = [f"{k} {here[k]} ({there[k]})" for k in here if here[k] != there[k] and k != "loss"]
    return ", ".join(seen).replace("_", " ") + " (paper's in brackets)" if seen else ""


def describe(network: Network) -> str:
    """A network in words."""
    size = f" at {network.size} px" if network.size else ""
    weights = "random weights" if network.weights == "none" else f"{network.weights} weights"
    norm = "normalised hash layer" if network.batch_norm else "bare hash layer"
    return f"{network.backbone}{size}, {weights}, {norm}"


@lru_cache
def content() -> dict[str, Any]:
    """The file of data sets."""
    import yaml  # type: ignore[import-untyped]

    file = resources.files("hashprobe.experiments") / "datasets.yaml"
    known: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return known


def dataset_names() -> list[str]:
    """Names of the data sets that recipes can run on.

    Example:
        >>> "cifar10" in dataset_names()
        True
    """
    return list(content()["datasets"])


def dataset_title(dataset: str) -> str:
    """What a data set is called.

    Example:
        >>> dataset_title("cifar10")
        'CIFAR-10'
    """
    return str(content()["datasets"][dataset]["title"])


def load_setting(
    dataset: str,
    scale: str,
    preset: str | None = None,
    *,
    root: Path | None = None,
    lists: Path | None = None,
    **more: Any,
) -> Setting:
    """The setting of a data set.

    Args:
        dataset: one of `dataset_names()`.
        scale: `paper` or `bench`.
        preset: `paper`, `official-code` or `default`; None: the paper's at its scale, else default.
        root: the folder of the pictures.
        lists: the folder of the list files, or the CSV of a table.
        more: fields of the setting, such as `queries`.

    Raises:
        HashprobeError: an unknown data set, a scale that it does not have.

    Example:
        >>> load_setting("cifar10", "bench").network.size
        32
    """
    if dataset not in content()["datasets"]:
        raise HashprobeError(
            f"unknown data set {dataset!r}: choose from {', '.join(dataset_names())}"
        )
    if scale not in SCALES:
        raise HashprobeError(f"unknown scale {scale!r}: choose from {', '.join(SCALES)}")
    entry, paper = content()["datasets"][dataset], content()["paper"]
    if scale == "bench" and "bench" not in entry:
        raise HashprobeError(
            f"{dataset} has no bench scale: take --scale paper, or another data set"
        )
    own = entry["bench"] if scale == "bench" else paper
    settings = {
        name: entry[name] for name in ("top", "unseen", "multi_label", "eps_scale") if name in entry
    }
    return Setting(
        dataset=dataset,
        title=entry["title"],
        scale=scale,
        preset=preset or ("paper" if scale == "paper" else "default"),
        data=DataOptions(**{**entry["data"], "root": root, "lists": lists}),
        network=Network(**own["network"]),
        train=TrainOptions(**own["train"]),
        minutes=own["minutes"],
        step_ms=own["step_ms"],
        long_steps=own.get("long_steps"),
        **{**settings, **more},
    )


def check_places(setting: Setting) -> None:
    """Refuses data without the folders that they need, before anything is computed.

    Raises:
        HashprobeError: a folder is not said; what it is, is.
    """
    entry = content()["datasets"][setting.dataset]
    for option, given in (("root", setting.data.root), ("lists", setting.data.lists)):
        if option in entry and given is None:
            raise HashprobeError(f"{setting.dataset} needs --{option}: {entry[option]}")
