"""The data sets, scales and presets that take the place of the paper's data and attacks."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from hashprobe.attacks._dhta import PRESETS as PUBLISHED
from hashprobe.attacks.contract import most_steps
from hashprobe.attacks.registry import DEFAULT, attack_named
from hashprobe.data.datasets.registry import DataOptions, data_set
from hashprobe.errors import HashprobeError
from hashprobe.paper.recipe import Cell, Recipe, Role, load_recipe
from hashprobe.storage.plain_yaml import parse_yaml
from hashprobe.training.options import PAPER_IMAGES, TrainOptions
from hashprobe.types import Budget, check_seed
from hashprobe.workflow.network import TRAIN_PRESETS, Network
from hashprobe.workflow.protocol import Protocol


SCALES = ("paper", "bench")
ALIASES = {"imagenet": "imagenet100", "nuswide": "nuswide-20"}
MINIMUM = 13
"""Database items that a target label must have: the largest n_t of any recipe, so that all tables
of a setting steer the same queries to the same labels."""
DEFAULT_EPS = 8 / 255
PAPER_SIZE = 224
"""Height and width of the paper's pictures and frames."""
PAPER_DATA = {
    "images": {"imagenet100": "ImageNet-100", "nuswide-20": "NUS-WIDE"},
    "videos": {"jhmdb": "JHMDB", "ucf101": "UCF-101"},
}
"""The paper's own data sets by kind."""
CLIPS = PUBLISHED["paper-videos"].options
"""Steps and alpha of everything that is optimised on clips; source: DHTA, section 4.3."""
ROLES: dict[Role, tuple[str, dict[str, Any]]] = {
    "original": ("noise", {}),
    "noise": ("noise", {}),
    "p2p": ("p2p", {}),
    "dhta": ("dhta", {}),
    "hag": ("hag", {}),
    "feature-sign": ("feature", {"rule": "sign"}),
    "feature-pgd": ("feature", {"rule": "pgd"}),
}
"""The attack behind each role of the paper, by its name in the registry, and options that make it
so; untouched queries are measured beside noise."""


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
    pool: Literal["differs", "disjoint"] | None = None
    """Where target labels come from; None: as the preset has it."""
    top: int | None = None
    """T of MAP and t-MAP."""
    unseen: int = 0
    """Classes held back in open-set experiments; 0 where that makes no sense."""
    multi_label: bool = False
    eps_scale: float = 1.0
    """What eps is multiplied by: pictures of few pixels need larger changes."""
    precision: str = "float32"
    """What gradients of attacks are computed in."""
    repeats: int = 1
    """Runs of each attack; from two on tables show how far they spread."""
    exclude_voters: bool = False
    """Whether measures leave out the database items that voted for a query's target code."""
    exclude_training: bool = False
    """Whether measures leave out the training items that stand in the database."""
    long_steps: int | None = None
    """Steps of HAG and of the feature-space attack by projected gradient; None: the paper's."""

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def kind(self) -> Literal["images", "videos"]:
        """What the data are."""
        return kind_of(self.data.name)

    @property
    def paper_steps(self) -> int:
        """Steps that the paper's attacks take on such data."""
        published = PUBLISHED["paper" if self.kind == "images" else "paper-videos"]
        return published.options.steps

    def data_of(self, cell: Cell) -> DataOptions:
        """The data of a cell's victim."""
        return replace(self.data, unseen=self.unseen) if cell.open_set else self.data

    def network_of(self, cell: Cell) -> Network:
        """The network of a cell's victim."""
        return replace(self.network, bits=cell.bits)

    def train_of(self, cell: Cell) -> TrainOptions:
        """The training of a cell's victim."""
        loss: Any = cell.loss or self.train.loss
        return replace(self.train, loss=loss)

    def protocol_of(self, cell: Cell) -> Protocol:
        """Queries, targets and measures of a cell."""
        published = PUBLISHED.get(self.preset)
        pool: Any = "unseen" if cell.open_set else cell.pool or self.pool
        return Protocol(
            queries=self.queries,
            seed=self.seed,
            pool=pool or (published.pool if published else "differs"),
            minimum=MINIMUM,
            top=self.top,
            empty=published.empty if published else "zero",
        )

    def budget_of(self, cell: Cell) -> Budget:
        """The budget of a cell; recipes that vary eps have it multiplied already."""
        published = PUBLISHED.get(self.preset)
        usual = published.budget if published else Budget(DEFAULT_EPS)
        eps = usual.eps * self.eps_scale if cell.eps is None else cell.eps
        return replace(usual, eps=eps, frames=cell.frames, shared=cell.shared)

    def recipe(self, name: str) -> Recipe:
        """A recipe as this setting runs it: its steps, its eps, and what is said of such data."""
        whole = load_recipe(name, self.preset, self.eps_scale)
        published = {
            data: rows
            for data, rows in (whole.published or {}).items()
            if data in PAPER_DATA[self.kind]
        }
        claims = tuple(claim for claim in whole.claims if claim.data in (self.kind, "both"))
        text = whole.text.replace("{units}", self.eps_units)
        return replace(whole, text=text, published=published, claims=claims)

    @property
    def eps_units(self) -> str:
        """What the eps of a recipe counts in, in words."""
        preset = PUBLISHED.get(self.preset)
        if preset is None or preset.budget.space == "pixel":
            return "in [0, 1] pixels"
        return (
            "in normalised units, after (x - mean) / std, as in the released code: with ImageNet's "
            "std 0.01 is at most 0.58/255, which allows no grey level after rounding to 8 bits, "
            "and 0.05 is 2.9/255"
        )

    def attack_of(self, cell: Cell) -> tuple[str, Any]:
        """Name and options of a cell's attack under the preset.

        `default` exchanges the optimisation of P2P and DHTA for hashprobe's own; the target codes
        stay theirs. HAG and the feature-space attack are always as published, in the preset's
        budget. On clips all but hashprobe's own takes 500 steps with alpha 0.1 (DHTA, section 4.3).
        """
        steps: dict[str, Any] = {} if cell.steps is None else {"steps": cell.steps}
        votes: dict[str, Any] = {} if cell.n_t is None else {"n_t": cell.n_t}
        long = steps or {"steps": self.long_steps or self.paper_steps}
        clips: dict[str, Any] = {} if self.kind == "images" else {"alpha": CLIPS.alpha}
        name, given = ROLES[cell.attack]
        if cell.attack in ("original", "noise"):
            return name, options_of(name)
        if cell.attack == "hag":
            return name, options_of(name, **clips, **long)
        if cell.attack == "feature-sign":
            return name, options_of(name, **given, **steps)
        published = PUBLISHED.get(self.preset)
        unit: dict[str, Any] = {"step": published.options.step} if published else {}
        if cell.attack == "feature-pgd":
            return name, options_of(name, **given, **unit, **long)
        if self.preset == "default":
            votes = {"n_t": 1} if cell.attack == "p2p" else votes
            return DEFAULT, options_of(DEFAULT, **steps, **votes)
        if self.kind == "videos":
            steps = {"steps": CLIPS.steps, **clips, **steps}
        if cell.attack == "p2p":
            return name, options_of(name, **unit, **steps)
        return name, replace(PUBLISHED[self.preset].options, **steps, **votes)

    def suits(self, recipe: Recipe) -> bool:
        """Whether a recipe makes sense on these data."""
        return not self.objection(recipe)

    def objection(self, recipe: Recipe) -> str:
        """Why a recipe makes no sense on these data; nothing where it does.

        Example:
            >>> load_setting("digits", "bench").objection(load_recipe("table2"))
            'table2 is for videos: digits has images'
        """
        if recipe.data not in (self.kind, "both"):
            return f"{recipe.name} is for {recipe.data}: {self.dataset} has {self.kind}"
        if recipe.multi_label and not self.multi_label:
            return f"{recipe.name} needs data with several labels an item: {self.dataset} has none"
        if recipe.open_set and not self.unseen:
            return f"{recipe.name} needs data with classes to hold back: {self.dataset} has none"
        return ""

    def changes(self) -> list[str]:
        """How this differs from the paper's setting, in sentences.

        Example:
            >>> len(load_setting("imagenet100", "paper").changes())
            1
            >>> print(load_setting("moving-digits", "bench").changes()[0])
            Data: moving digits (paper: JHMDB, UCF-101).
        """
        found, theirs = [], PAPER_DATA[self.kind]
        paper = load_setting(next(iter(theirs)), "paper")
        if self.dataset not in theirs:
            found.append(f"Data: {self.title} (paper: {', '.join(theirs.values())}).")
        if self.top is None and paper.top is not None:
            found.append(f"Lists are the whole database (paper: the first {paper.top:,}).")
        if self.unseen and self.dataset != "imagenet100":
            found.append(
                f"Open set: {self.unseen} classes of the data are held back from training (paper: "
                "10 further classes)."
            )
        if self.network != paper.network:
            ours, other = (describe(one.network, self.kind) for one in (self, paper))
            found.append(f"Network: {ours} (paper: {other}).")
        if differ := training_changes(asdict(self.train), asdict(paper.train)):
            found.append(f"Training: {differ}.")
        else:
            how = ", with random crops and mirror images" if self.kind == "images" else ""
            found.append(
                f"The paper does not say how long it trains: {self.train.epochs} epochs here{how}."
            )
        return found + self.changed_attacks()

    def changed_attacks(self) -> list[str]:
        """The changes that concern attacks and queries."""
        found = []
        eps = f"{255 * DEFAULT_EPS * self.eps_scale:.0f}/255"
        if self.preset == "default":
            found.append(
                f"All attacks: eps {eps} (paper: 0.032). P2P and DHTA are optimised by bit "
                f"margin in at most {most_steps(options_of(DEFAULT))} steps (paper: "
                f"{self.paper_steps:,}); the target codes are theirs."
            )
        elif self.preset == "official-code":
            found.append("Attacks as in the released code: eps counts in normalised units.")
        elif self.preset == "scaled":
            found.append(
                "P2P, DHTA and the feature-space attack by projected gradient take steps that move "
                "a value as far as the paper's do at 224 pixels (paper: unit l2 length)."
            )
        size = self.network.size or PAPER_SIZE
        if self.preset != "scaled" and size != PAPER_SIZE:
            who = "The feature-space attack by projected gradient takes steps"
            if self.preset != "default":
                who = "P2P, DHTA and the feature-space attack by projected gradient take steps"
            found.append(
                f"{who} of the published l2 length: a value moves {PAPER_SIZE / size:.3g} times as "
                "far as at the paper's 224 px (not so with --attack-preset scaled)."
            )
        if self.eps_scale != 1:
            found.append(f"Every eps is {self.eps_scale:g} times the paper's.")
        if self.long_steps not in (None, self.paper_steps):
            found.append(
                "HAG, and the feature-space attack by projected gradient, take "
                f"{self.long_steps:,} steps (paper: {self.paper_steps:,})."
            )
        if self.multi_label:
            found.append(
                f"Target labels have {MINIMUM} database items or more (paper: n_t), so that all "
                "tables have the same."
            )
        if self.pool is not None:
            found.append(f"Target labels: {self.pool}.")
        left_out = ["voters"] * self.exclude_voters + ["training items"] * self.exclude_training
        if left_out:
            found.append(f"Measures leave out {' and '.join(left_out)} of the database.")
        if self.precision != "float32":
            found.append(f"Gradients of attacks are computed in {self.precision}.")
        if (self.queries, self.seed) != (100, 0):
            found.append(f"{self.queries} queries of seed {self.seed} (paper: 100).")
        return found

    @property
    def name(self) -> str:
        """Of the folder of its results: the data set and what is not usual.

        Example:
            >>> load_setting("digits", "bench", queries=20).name
            'digits-bench-default-20queries'
        """
        words = [self.dataset, self.scale, self.preset]
        words += [self.pool] if self.pool else []
        usual = content()["datasets"][self.dataset].get("queries", 100)
        words += [f"{self.queries}queries"] if self.queries != usual else []
        words += [f"seed{self.seed}"] if self.seed else []
        words += [self.precision] if self.precision != "float32" else []
        words += [f"{self.repeats}runs"] if self.repeats > 1 else []
        words += ["without-voters"] * self.exclude_voters
        words += ["without-training"] * self.exclude_training
        return "-".join(words)


def options_of(attack: str, **given: Any) -> Any:
    """Options of an attack by its name; what is not given has its published default."""
    return attack_named(attack).options(**given)


def training_changes(here: Mapping[str, Any], there: Mapping[str, Any]) -> str:
    """What differs between two trainings, in words."""
    seen = [f"{k} {here[k]} ({there[k]})" for k in here if here[k] != there[k]]
    return ", ".join(seen).replace("_", " ") + " (paper's in brackets)" if seen else ""


def describe(network: Network, kind: str) -> str:
    """A network of images or of videos in words."""
    size = f" at {network.size} px" if network.size else ""
    weights = "random weights" if network.weights == "none" else f"{network.weights} weights"
    norm = "normalised hash layer" if network.batch_norm else "bare hash layer"
    words = [f"{network.backbone}{size}", weights]
    if kind == "videos":
        words += ["tuned"] if network.tune else []
        words += [f"LSTM of width {network.hidden} over {network.frames} frames"]
    return ", ".join([*words, norm])


def kind_of(data: str) -> Literal["images", "videos"]:
    """What the data of a name are.

    Example:
        >>> kind_of("cifar10"), kind_of("jhmdb")
        ('images', 'videos')
    """
    return data_set(data).kind


@lru_cache
def content() -> dict[str, Any]:
    """The file of data sets."""
    file = resources.files("hashprobe.paper") / "datasets.yaml"
    known: dict[str, Any] = parse_yaml(file.read_bytes(), "datasets.yaml")
    return known


def dataset_names() -> list[str]:
    """Names of the data sets that recipes can run on.

    Example:
        >>> "cifar10" in dataset_names()
        True
    """
    return list(content()["datasets"])


def has_bench(dataset: str) -> bool:
    """Whether a data set has the bench scale.

    Example:
        >>> has_bench("cifar10"), has_bench("imagenet")
        (True, False)
    """
    return "bench" in content()["datasets"].get(ALIASES.get(dataset, dataset), {})


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
        dataset: one of `dataset_names()`, or imagenet or nuswide for short.
        scale: `paper` or `bench`.
        preset: `paper`, `official-code`, `scaled` or `default`; None: the paper's at its scale,
            else default.
        root: the folder of the pictures or videos.
        lists: the folder of the list files, or the CSV of a table.
        more: fields of the setting, such as `queries`.

    Raises:
        HashprobeError: an unknown data set, a scale that it does not have.

    Example:
        >>> load_setting("cifar10", "bench").network.size
        32
    """
    dataset = ALIASES.get(dataset, dataset)
    if dataset not in content()["datasets"]:
        raise HashprobeError(
            f"unknown data set {dataset!r}: choose from {', '.join(dataset_names())}"
        )
    if scale not in SCALES:
        raise HashprobeError(f"unknown scale {scale!r}: choose from {', '.join(SCALES)}")
    entry = content()["datasets"][dataset]
    paper = content()[f"paper-{kind_of(entry['data']['name'])}"]
    if scale == "bench" and not has_bench(dataset):
        raise HashprobeError(
            f"{dataset} has no bench scale: take --scale paper, or another data set"
        )
    own = entry["bench"] if scale == "bench" else paper
    network, train = TRAIN_PRESETS.get(own.get("preset"), (Network(), PAPER_IMAGES))
    names = ("top", "unseen", "multi_label", "eps_scale", "queries")
    settings = {name: entry[name] for name in names if name in entry}
    return Setting(
        dataset=dataset,
        title=entry["title"],
        scale=scale,
        preset=preset or ("paper" if scale == "paper" else "default"),
        data=DataOptions(**{**entry["data"], "root": root, "lists": lists}),
        network=replace(network, **own.get("network", {})),
        train=replace(train, **own["train"]),
        minutes=own["minutes"],
        step_ms=own["step_ms"],
        long_steps=own.get("long_steps"),
        **{**settings, **more},
    )


def check_places(setting: Setting) -> None:
    """Refuses data without the folders that they need, before anything is computed.

    Raises:
        HashprobeError: a folder is not given; the message says which one it is.
    """
    entry = content()["datasets"][setting.dataset]
    for option, given in (("root", setting.data.root), ("lists", setting.data.lists)):
        if option in entry and given is None:
            raise HashprobeError(f"{setting.dataset} needs --{option}: {entry[option]}")
