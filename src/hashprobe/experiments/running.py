"""Runs the cells of recipes: victims are trained once and shared, attacks are kept by content."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.attacks import Attacked
from hashprobe.codes import PackedCodes
from hashprobe.data import DataOptions
from hashprobe.evaluation import Evaluation, mean_average_precision
from hashprobe.experiments.recipe import Cell, Recipe
from hashprobe.experiments.result import Entry, Result, VictimFacts
from hashprobe.experiments.settings import Setting
from hashprobe.files import fingerprint, jsonable, read_json
from hashprobe.models import TrainOptions
from hashprobe.runs import Run
from hashprobe.workflow import (
    Network,
    Protocol,
    Screen,
    Silence,
    Victim,
    attack_run,
    encode_run,
    finished_attack,
    open_victim,
    train_run,
)


class Runner:
    """One setting and its folder of victims; whatever is finished there is not done again.

    Args:
        setting: data, network, preset.
        folder: where victims are kept, one run folder each.
        device: where; `auto` is the GPU if there is one.
        workers: decoding processes.
        skip_bad: go on without images that cannot be had.
        screen: where to say what happens.
    """

    def __init__(
        self,
        setting: Setting,
        folder: Path,
        *,
        device: str = "auto",
        workers: int | None = None,
        skip_bad: bool = False,
        screen: Screen | None = None,
    ) -> None:
        self.setting, self.folder = setting, folder
        self.device, self.workers, self.skip_bad = device, workers, skip_bad
        self.screen = screen or Silence()
        self.checksums: dict[DataOptions, str] = {}
        self.opened: tuple[Path, Victim] | None = None

    def path_of(self, cell: Cell) -> Path:
        """The run folder of a cell's victim: its name holds a digest of data and training."""
        setting = self.setting
        data, network = setting.data_of(cell), setting.network_of(cell)
        if data not in self.checksums:
            self.checksums[data] = data.load().checksum
        content = {
            "data": said(data, DataOptions("")),
            "checksum": self.checksums[data],
            "network": said(network, Network()),
            "train": said(setting.train_of(cell), TrainOptions()),
        }
        words = [setting.dataset, cell.loss, f"{cell.bits}bits"]
        words += [f"without{data.unseen}"] if data.unseen else []
        return self.folder / "-".join([*words, fingerprint(jsonable(content))[:8]])

    def victim(self, cell: Cell) -> Victim:
        """The victim of a cell, trained and encoded; the last one stays open."""
        path, setting = self.path_of(cell), self.setting
        if self.opened is not None and self.opened[0] == path:
            return self.opened[1]
        self.opened = None
        train_run(
            path,
            setting.data_of(cell),
            setting.network_of(cell),
            setting.train_of(cell),
            workers=self.workers,
            skip_bad=self.skip_bad,
            screen=self.screen,
        )
        encode_run(
            path,
            device=self.device,
            workers=self.workers,
            skip_bad=self.skip_bad,
            top=setting.top,
            screen=self.screen,
        )
        self.opened = path, open_victim(path)
        return self.opened[1]

    def attack(self, cell: Cell, minimum: int) -> tuple[Evaluation, Path]:
        """What a cell's attack achieved, and its folder."""
        setting = self.setting
        name, options = setting.attack_of(cell)
        budget = setting.budget_of(cell)
        protocol = setting.protocol_of(cell, minimum)
        path = self.path_of(cell)
        run = Run.open(path) if (path / "run.json").exists() else None
        asked: dict[str, Any] = {
            "attack": name,
            "budget": asdict(budget),
            "options": said(options, type(options)()),
            "protocol": said(protocol, Protocol()),
            "precision": setting.precision,
        }

        def folder_of(run: Run) -> str:
            # Of the codes, too: a victim made anew has other ones.
            return f"{name}-{fingerprint(jsonable({**asked, 'seals': run.seals()}))[:12]}"

        if run is not None:
            done = finished_attack(path / "attacks" / folder_of(run))
            if done is not None:
                return done.evaluation, done.folder
        victim = self.victim(cell)
        folder = folder_of(victim.run)
        result = attack_run(
            victim,
            name,
            budget=budget,
            options=options,
            protocol=protocol,
            name=folder,
            precision=setting.precision,  # type: ignore[arg-type]
            device=self.device,
            workers=self.workers,
            screen=self.screen,
        )
        return result, path / "attacks" / folder

    def entry(self, cell: Cell, minimum: int) -> tuple[Entry, Path]:
        """The number of a cell, and the folder of the attack behind it."""
        evaluation, folder = self.attack(cell, minimum)
        untouched = cell.attack == "original"
        if cell.measure == "t-MAP":
            return Entry.of(evaluation.floor if untouched else evaluation.achieved), folder
        if cell.measure == "MAP":
            return Entry.of(evaluation.map_clean if untouched else evaluation.map_attacked), folder
        if cell.measure == "ceiling":
            return Entry.of(evaluation.ceiling), folder
        if cell.measure == "perceptibility":
            visible = evaluation.perceptibility
            assert visible is not None
            signature = f"RMSE|{evaluation.achieved.signature.partition('|')[2]}"
            return Entry(1000 * visible.rmse, None, None, signature), folder
        return Entry.of(self.map_of_codes(cell, folder, minimum)), folder

    def map_of_codes(self, cell: Cell, folder: Path, minimum: int) -> Any:
        """MAP by own labels of the codes that an attack aims at."""
        victim, attacked = self.victim(cell), Attacked.load(folder)
        codes = attacked.target_codes
        if cell.attack == "hag":
            codes = -attacked.clean_codes.signs()
        position = {int(p): row for row, p in enumerate(victim.query.positions)}
        rows = np.array([position[int(i)] for i in attacked.query_ids])
        protocol = self.setting.protocol_of(cell, minimum)
        return mean_average_precision(
            PackedCodes.from_signs(np.where(codes >= 0, 1, -1)),
            victim.database.codes,
            victim.query.labels[rows],
            victim.database.labels,
            top=protocol.top,
            normaliser=protocol.normaliser,
            ties=protocol.ties,
            empty=protocol.empty,
        )

    def run(self, recipe: Recipe) -> Result:
        """Every number of a recipe; cells of one victim are done together.

        Args:
            recipe: the table or figure.

        Raises:
            HashprobeError: whatever is wrong with data, folders or settings.
        """
        start = time.monotonic()
        cells = {
            (i, j): recipe.cell(row, column)
            for i, row in enumerate(recipe.rows)
            for j, column in enumerate(recipe.columns)
        }
        minimum = max(self.setting.attack_of(cell)[1].n_t for cell in cells.values())
        grid, folders = {}, {}
        victims: dict[Path, Cell] = {}
        order = sorted(cells, key=lambda place: (str(self.path_of(cells[place])), place))
        for done, place in enumerate(order):
            cell = cells[place]
            row, column = recipe.rows[place[0]].name, recipe.columns[place[1]].name
            self.screen.say(f"{recipe.name}, {done + 1}/{len(order)}: {row}, {column}")
            grid[place], folders[place] = self.entry(cell, minimum)
            victims.setdefault(self.path_of(cell), cell)
        facts = tuple(facts_of(path, cell) for path, cell in victims.items())
        return Result(recipe, self.setting, grid, folders, facts, time.monotonic() - start)


def said(options: Any, usual: Any) -> dict[str, Any]:
    """The options that are not the usual ones: one that comes later changes no digest."""
    defaults = asdict(usual)
    return {name: value for name, value in asdict(options).items() if value != defaults[name]}


def facts_of(path: Path, cell: Cell) -> VictimFacts:
    """What is said of a victim."""
    run = Run.open(path)
    training = read_json(path / "model" / "model.json")["training"]
    score = run.events("encoded")[-1]["map"]
    value, low, high = (100 * score[name] for name in ("value", "low", "high"))
    everything = Entry(value, low, high, score["signature"])
    return VictimFacts(path.name, cell.bits, cell.loss, training["seconds"], everything)
