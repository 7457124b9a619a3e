"""Runs the cells of recipes: victims are trained once and shared, attacks are kept by content."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.deterministic import THREADS
from hashprobe.data.datasets.registry import DataOptions
from hashprobe.data.loader import decode
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement, sign
from hashprobe.evaluation.measures import score_average_precision
from hashprobe.evaluation.perceptibility import compare_pixels
from hashprobe.evaluation.ranking import Ranking
from hashprobe.paper.recipe import Cell, Recipe
from hashprobe.paper.result import Entry, Result, VictimFacts
from hashprobe.paper.retrieval_curves import retrieval_curves
from hashprobe.paper.settings import Setting
from hashprobe.storage.files import fingerprint, jsonable
from hashprobe.storage.records import read_record
from hashprobe.storage.runs import Run
from hashprobe.training.options import PAPER_IMAGES
from hashprobe.types import Budget, Runtime
from hashprobe.workflow.attack_step import attack_run
from hashprobe.workflow.encode_step import encode_run
from hashprobe.workflow.exclusions import exclusion_of, measured_without, voters_of
from hashprobe.workflow.network import Network
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.results import Finished, finished_attack
from hashprobe.workflow.run_io import EncodedRun, open_run
from hashprobe.workflow.train_step import train_run


PLACES = ("root", "lists")
"""Data options that say where, not what."""


class Runner:
    """One setting and its folder of victims; finished victims and attacks are not computed again.

    Args:
        setting: data, network, preset.
        folder: where victims are kept, one run folder each.
        runtime: device, workers, cache of clips, whether bad items are left out, and who is told.
    """

    def __init__(
        self,
        setting: Setting,
        folder: Path,
        runtime: Runtime = Runtime(),
    ) -> None:
        self.setting, self.folder, self.runtime = setting, folder, runtime
        self.checksums: dict[DataOptions, str] = {}
        self.opened: tuple[Path, EncodedRun] | None = None

    def path_of(self, cell: Cell) -> Path:
        """The run folder of a cell's victim: its name holds a digest of data and training."""
        setting = self.setting
        data, network = setting.data_of(cell), setting.network_of(cell)
        if data not in self.checksums:
            loaded = data.load()
            if setting.queries > len(loaded.query):
                raise HashprobeError(
                    f"queries must be from 1 to {len(loaded.query)}, those of {loaded.name}; got "
                    f"{setting.queries}"
                )
            self.checksums[data] = loaded.checksum
        content = {
            "data": without_places(non_defaults(data, DataOptions(""))),
            "checksum": self.checksums[data],
            "network": non_defaults(network, Network()),
            "train": non_defaults(setting.train_of(cell), PAPER_IMAGES),
        }
        words = [setting.dataset, setting.train_of(cell).loss, f"{cell.bits}bits"]
        words += [f"without{data.unseen}"] if data.unseen else []
        return self.folder / "-".join([*words, fingerprint(jsonable(content))[:8]])

    def victim(self, cell: Cell) -> EncodedRun:
        """The victim of a cell, trained and encoded; the last one stays open."""
        path, setting = self.path_of(cell), self.setting
        if self.opened is not None and self.opened[0] == path:
            return self.opened[1]
        self.opened = None
        data = setting.data_of(cell)
        if (path / "run.json").exists():
            move(Run.open(path), data)
        train = replace(setting.train_of(cell), accelerator=accelerator(self.runtime.device))
        train_run(path, data, setting.network_of(cell), train, self.runtime)
        encode_run(path, top=setting.top, runtime=self.runtime)
        self.opened = path, open_run(path)
        return self.opened[1]

    def attack(self, cell: Cell) -> Finished:
        """What a cell's attack achieved; a result in its folder is not computed again."""
        setting, path = self.setting, self.path_of(cell)
        protocol = setting.protocol_of(cell)
        name, options = setting.attack_of(cell)
        spec = AttackSpec(name, options, setting.budget_of(cell), protocol.seed)
        asked: dict[str, Any] = {
            **spec.to_json(),
            "protocol": protocol.to_json(),
            "precision": setting.precision,
        }
        if self.runtime.deterministic:
            asked["deterministic"] = THREADS
        if setting.repeats > 1:
            asked["repeats"] = setting.repeats

        def folder_of(run: Run) -> Path:
            # The checksums of model and codes are part of it: a new victim has other ones.
            digest = fingerprint(jsonable({**asked, "seals": run.seals()}))[:12]
            return path / "attacks" / f"{name}-{digest}"

        if (path / "run.json").exists():
            done = finished_attack(folder_of(Run.open(path)))
            if done is not None:
                return self.as_measured(cell, done)
        victim = self.victim(cell)
        folder = folder_of(victim.run)
        precision: Any = setting.precision
        attack_run(
            victim,
            spec,
            protocol=protocol,
            name=folder.name,
            runtime=replace(self.runtime, precision=precision),
            repeats=setting.repeats,
        )
        done = finished_attack(folder)
        assert done is not None
        return self.as_measured(cell, done)

    def as_measured(self, cell: Cell, done: Finished) -> Finished:
        """An attack by the setting's measures; what they leave out changes no attack."""
        voters, training = self.setting.exclude_voters, self.setting.exclude_training
        if not voters and not training:
            return done
        return measured_without(done, self.victim(cell), voters=voters, training=training)

    def entry(self, cell: Cell, done: Finished) -> Entry:
        """The number of a cell."""
        evaluation = done.evaluation
        untouched = cell.attack == "original"
        if cell.measure == "t-MAP" and not untouched:
            raw = evaluation.achieved_float
            before = None if raw is None else 100 * raw.value
            return Entry.of(evaluation.achieved, before, evaluation.achieved_runs)
        if cell.measure == "t-MAP":
            return Entry.of(evaluation.floor)
        if cell.measure == "MAP":
            if untouched:
                return Entry.of(evaluation.map_clean)
            return Entry.of(evaluation.map_attacked, runs=evaluation.map_runs)
        if cell.measure == "ceiling":
            return Entry.of(evaluation.ceiling)
        if cell.measure == "perceptibility":
            return self.perceptibility(cell, done)
        return Entry.of(self.map_of_codes(cell, done))

    def perceptibility(self, cell: Cell, done: Finished) -> Entry:
        """The root mean squared change of each query, in thousandths."""
        victim, attacked = self.victim(cell), AttackResult.load(done.folder)
        roots = np.empty(len(attacked))
        for row in range(len(attacked)):
            # One by one: many clips at once do not fit in memory.
            query = victim.data.query.take(attacked.query_ids[row : row + 1])
            clean = decode(query, victim.hasher.contract, Runtime(workers=0))
            twin = attacked.images8[row : row + 1]
            roots[row] = compare_pixels(clean.images, twin, clean.lengths).rmse
        signature = sign("RMSE", q=len(roots), round="uint8")
        bounds = 0.0, 1000 * largest_change(done.budget, victim.hasher.contract.std)
        return Entry.over(1000 * roots, signature, bounds)

    def map_of_codes(self, cell: Cell, done: Finished) -> Measurement:
        """MAP by own labels of the codes that an attack aims at.

        An untargeted attack has no target code: the farthest it can get is the opposite of a
        query's own code.
        """
        victim, attacked = self.victim(cell), AttackResult.load(done.folder)
        name, _ = self.setting.attack_of(cell)
        codes = attacked.target_codes
        if codes is None or ATTACKS[name].goal == "untargeted":
            codes = -attacked.clean_codes.signs()
        position = {int(p): row for row, p in enumerate(victim.query.positions)}
        rows = np.array([position[int(i)] for i in attacked.query_ids])
        protocol = Protocol(**(done.record.protocol or {}))
        members = None
        if protocol.exclude_voters:
            members = voters_of(done, attacked, victim, rows, protocol)
        ranking = Ranking(
            PackedCodes.from_signs(np.where(codes >= 0, 1, -1)),
            victim.database.codes,
            victim.query.labels[rows],
            victim.database.labels,
            exclusion=exclusion_of(victim, members, protocol),
        )
        return score_average_precision("MAP", ranking, protocol.measures())

    def run(self, recipe: Recipe) -> Result:
        """Every number of a recipe; cells of one victim are done together.

        Args:
            recipe: the table or figure.

        Raises:
            HashprobeError: a problem with data, folders or settings.
        """
        cells = {
            (i, j): recipe.cell(row, column)
            for i, row in enumerate(recipe.rows)
            for j, column in enumerate(recipe.columns)
        }
        grid, attacks = {}, {}
        victims: dict[Path, Cell] = {}
        order = sorted(cells, key=lambda place: (str(self.path_of(cells[place])), place))
        for done, place in enumerate(order):
            cell = cells[place]
            row, column = recipe.rows[place[0]].name, recipe.columns[place[1]].name
            self.runtime.progress.log(f"{recipe.name}, {done + 1}/{len(order)}: {row}, {column}")
            attacks[place] = self.attack(cell)
            grid[place] = self.entry(cell, attacks[place])
            victims.setdefault(self.path_of(cell), cell)
        facts = tuple(facts_of(path, cell) for path, cell in victims.items())
        curves = {}
        if recipe.show == "curves":
            curves = retrieval_curves(recipe, attacks, self.victim(cells[0, 0]))
        return Result(recipe, self.setting, grid, attacks, facts, curves)


def largest_change(budget: Budget, std: tuple[float, float, float]) -> float:
    """What a pixel value may change by at most, in [0, 1] units.

    Example:
        >>> largest_change(Budget(0.1), (0.5, 0.5, 0.5)), largest_change(Budget(0.1, "normalised"),
        ...     (0.25, 0.5, 0.4))
        (0.1, 0.05)
    """
    return budget.eps if budget.space == "pixel" else budget.eps * max(std)


def accelerator(device: str) -> Any:
    """Where training runs, by the name of a device."""
    return "cpu" if device == "cpu" else "gpu" if device.startswith("cuda") else "auto"


def move(run: Run, data: DataOptions) -> None:
    """Tells a run where its data are now: what they hold is in its name."""
    now = jsonable(asdict(data))
    there = run.config.get("data", {})
    moved = {name: now[name] for name in PLACES if there.get(name) != now[name]}
    if moved:
        run.saved({**run.config, "data": {**there, **moved}})


def without_places(options: dict[str, Any]) -> dict[str, Any]:
    """Data options without the folders: the same data elsewhere are the same data."""
    return {name: value for name, value in options.items() if name not in PLACES}


def non_defaults(options: Any, defaults: Any) -> dict[str, Any]:
    """The options that differ from their defaults, so that a new option changes no digest."""
    known = asdict(defaults)
    return {name: value for name, value in asdict(options).items() if value != known[name]}


class TrainingFacts(TypedDict):
    """What is read of a victim's training.

    Example:
        >>> TrainingFacts(loss="dph", seconds=12.5)["loss"]
        'dph'
    """

    loss: str
    seconds: float


class CardFacts(TypedDict):
    """What is read of a victim's model.json.

    Example:
        >>> sorted(CardFacts.__required_keys__)
        ['training']
    """

    training: TrainingFacts


class MapFacts(TypedDict):
    """What the log says of a victim's MAP.

    Example:
        >>> sorted(MapFacts.__required_keys__)
        ['high', 'low', 'signature', 'value']
    """

    value: float
    low: float | None
    high: float | None
    signature: str


class EncodedEvent(TypedDict):
    """What the log says of an encoding.

    Example:
        >>> sorted(EncodedEvent.__required_keys__)
        ['map']
    """

    map: MapFacts


def facts_of(path: Path, cell: Cell) -> VictimFacts:
    """What is said of a victim."""
    run = Run.open(path)
    card: CardFacts = read_record(path / "model" / "model.json", CardFacts)
    training, encoded = card["training"], run.events("encoded", EncodedEvent)
    if not encoded:
        raise HashprobeError(f"{path / 'metrics.jsonl'} does not say that the run was encoded")
    score = encoded[-1]["map"]
    low, high = (None if end is None else 100 * end for end in (score["low"], score["high"]))
    everything = Entry(100 * score["value"], low, high, score["signature"])
    return VictimFacts(path.name, cell.bits, training["loss"], training["seconds"], everything)
