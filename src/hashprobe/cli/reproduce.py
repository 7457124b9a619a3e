"""hashprobe reproduce"""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from hashprobe.cli.cluster import ClusterRuntime
from hashprobe.cli.flags import FLAT, Flag
from hashprobe.cli.output import say
from hashprobe.errors import HashprobeError
from hashprobe.types import Precision


if TYPE_CHECKING:
    from hashprobe.paper.settings import Setting


@dataclass(frozen=True)
class SettingFlags:
    """On which data, at which scale and how the paper is reproduced.

    Example:
        >>> SettingFlags("digits", queries=5).load().name
        'digits-bench-default-5queries'
    """

    dataset: str = "digits"
    """Images: imagenet100 (or imagenet), nuswide-20 (or nuswide), nuswide-21, cifar10,
    exercise-photos or digits. Videos: jhmdb, ucf101, eth80 or moving-digits."""
    scale: Literal["paper", "bench"] | None = None
    """paper: the paper's networks, training and steps; bench: what two CPU cores do in minutes.
    By default bench if the data set has it."""
    attack_preset: Literal["paper", "official-code", "scaled", "default"] | None = None
    """paper, official-code, scaled (the paper's with steps as long a value as at 224 pixels), or
    default (hashprobe's own optimisation with the paper's target codes). By default the paper's at
    scale paper, else default."""
    root: Path | None = None
    """Folder of the pictures or videos."""
    lists: Path | None = None
    """Folder of list files, or the CSV of exercise-photos."""
    queries: int | None = None
    """Queries attacked; by default 100 as in the paper, 16 of eth80 and 24 of moving-digits."""
    pool: Literal["differs", "disjoint"] | None = None
    """Where target labels come from: differs (another label vector than the query's) or disjoint
    (no label in common). By default that of the preset."""
    seed: int = 0
    """Seed of queries, targets and noise."""
    precision: Precision = "float32"
    """What gradients of attacks are computed in."""
    repeats: int = 1
    """Runs of each attack, in other batches and with other random numbers of its own; from 2 on
    tables show where another run would lie as a second interval."""
    exclude_voters: Flag = False
    """Leave out of the search, for each query, the database items whose codes voted for its target
    code. Finished attacks are only measured again."""
    exclude_training: Flag = False
    """Leave the training items that stand in the database out of the search."""

    def load(self) -> "Setting":
        """The setting."""
        from hashprobe.paper.settings import has_bench, load_setting
        from hashprobe.storage.guards import resolved

        setting = load_setting(
            self.dataset,
            self.scale or ("bench" if has_bench(self.dataset) else "paper"),
            self.attack_preset,
            root=resolved(self.root) if self.root else None,
            lists=resolved(self.lists) if self.lists else None,
        )
        queries = setting.queries if self.queries is None else self.queries
        return replace(
            setting,
            queries=queries,
            seed=self.seed,
            precision=self.precision,
            pool=self.pool,
            repeats=self.repeats,
            exclude_voters=self.exclude_voters,
            exclude_training=self.exclude_training,
        )


@dataclass(frozen=True)
class ReproduceRuntime(ClusterRuntime):
    """How recipes are computed."""

    device: str = "auto"
    """auto (the GPU if there is one), cpu, cuda, cuda:1, ...; for cuda, training takes any GPU."""
    deterministic: bool = True
    """Compute in fixed batches with two threads: the same machine gives the same numbers again."""
    skip_bad: Flag = False
    """Leave out images or clips that cannot be decoded, and print how many."""


def reproduce(
    *names: str,
    setting: Annotated[SettingFlags, FLAT] = SettingFlags(),
    bits: Annotated[tuple[int, ...], Parameter(negative=())] = (),
    out: Path = Path("runs/reproduce"),
    runtime: Annotated[ReproduceRuntime, FLAT] = ReproduceRuntime(),
    show_list: Annotated[Flag, Parameter(name="--list")] = False,
) -> None:
    """Reproduce tables and figures of the DHTA paper, at its scale or on small data.

    Each recipe is for images, for videos or for both: all runs those that suit the data.

    Networks are trained once for each data, loss and code length, and all tables share them. The
    same command resumes a computation that was stopped. --list shows every recipe with the time
    that it takes.

    Parameters
    ----------
    names
        table1, table2, ..., figure3, ..., frames, overlap, perceptibility, or all.
    bits
        Only columns of these code lengths.
    out
        Folder of networks and results.
    show_list
        Only list the recipes, with the time that each takes on the data.
    """
    from hashprobe.cli.terminal import Terminal
    from hashprobe.paper.recipe import recipe_names
    from hashprobe.paper.reproduction import chosen, expected_minutes, page_path
    from hashprobe.paper.reproduction import reproduce as compute
    from hashprobe.paper.tables import markdown

    loaded = setting.load()
    if show_list:
        say(listing(loaded))
        return
    if not names:
        raise HashprobeError(
            f"no recipe is named: choose all, or from {', '.join(recipe_names())}; "
            "hashprobe reproduce --list shows what each takes"
        )
    recipes = chosen(names, loaded, bits)
    terminal = Terminal()
    minutes = expected_minutes(recipes, loaded)
    terminal.log(f"about {duration(minutes)} on two CPU cores; finished parts are not repeated")
    for change in loaded.changes():
        terminal.log(f"not as in the paper: {change}")
    command = shlex.join(["hashprobe", *sys.argv[1:]])
    results = compute(recipes, loaded, out, command=command, runtime=runtime.open(terminal))
    for result in results:
        say(markdown(result))
    say(f"page: {page_path(recipes, loaded, out).resolve()}")


def listing(setting: "Setting") -> str:
    """Every recipe with its source and time, as a table."""
    from hashprobe.paper.recipe import recipe_names
    from hashprobe.paper.reproduction import chosen, expected_minutes
    from hashprobe.paper.tables import grid

    rows = []
    for name in recipe_names():
        recipe = setting.recipe(name)
        minutes = expected_minutes([recipe], setting)
        time = duration(minutes) if setting.suits(recipe) else "not on these data"
        rows.append([name, recipe.title, recipe.source, time])
    whole = expected_minutes(chosen(["all"], setting), setting)
    rows.append(["all", "the above, networks shared", "", duration(whole)])
    head = ["recipe", "what", "source", f"{setting.dataset}, {setting.scale}"]
    return "\n".join(grid(head, rows, words=3))


def duration(minutes: float) -> str:
    """Minutes as a text, in hours or days if there are many.

    Example:
        >>> duration(0.2), duration(600)
        ('1 min', '10 h')
    """
    if minutes < 90:
        return f"{minutes:.0f} min" if minutes >= 1 else "1 min"
    return f"{minutes / 60:.0f} h" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"
