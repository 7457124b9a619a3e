"""hashprobe reproduce"""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hashprobe.cli.flags import Cache, CacheFlags, Flag
from hashprobe.cli.terminal import Terminal
from hashprobe.errors import HashprobeError
from hashprobe.paper.recipe import recipe_names
from hashprobe.paper.reproduction import chosen, expected_minutes, page_path
from hashprobe.paper.reproduction import reproduce as compute
from hashprobe.paper.settings import Setting, has_bench, load_setting
from hashprobe.paper.tables import grid, markdown


def reproduce(
    *names: str,
    dataset: str = "digits",
    scale: Literal["paper", "bench"] | None = None,
    attack_preset: Literal["paper", "official-code", "default"] | None = None,
    root: Path | None = None,
    lists: Path | None = None,
    bits: Annotated[tuple[int, ...], Parameter(negative=())] = (),
    queries: int | None = None,
    pool: Literal["differs", "disjoint"] | None = None,
    seed: int = 0,
    precision: Literal["float32", "bfloat16"] = "float32",
    out: Path = Path("runs/reproduce"),
    device: str = "auto",
    workers: int | None = None,
    skip_bad: Flag = False,
    cache: CacheFlags = Cache(),  # noqa: B008
    show_list: Annotated[bool, Parameter(name="--list", negative=())] = False,
) -> None:
    """Reproduce tables and figures of the DHTA paper, at its scale or on data at hand.

    Each recipe is for images, for videos or for both: all takes those that suit the data.

    Networks are trained once for each data, loss and code length and shared by all tables; the same
    command goes on where it was stopped. --list shows every recipe with the time that it takes.

    Parameters
    ----------
    names
        table1, table2, ..., figure3, ..., frames, overlap, perceptibility, or all.
    dataset
        Images: imagenet100 (or imagenet), nuswide-20 (or nuswide), nuswide-21, cifar10,
        exercise-photos or digits. Videos: jhmdb, ucf101, eth80 or moving-digits.
    scale
        paper: the paper's networks, training and steps; bench: what two CPU cores do in minutes.
        By default bench where the data set has it.
    attack_preset
        paper, official-code, or default (hashprobe's own optimisation with the paper's target
        codes). By default the paper's at scale paper, else default.
    root
        Folder of the pictures or videos.
    lists
        Folder of list files, or the CSV of exercise-photos.
    bits
        Only columns of these code lengths.
    queries
        Queries attacked; by default 100 as in the paper, 16 of eth80 and 24 of moving-digits.
    pool
        Where target labels come from: differs (another label vector than the query's) or disjoint
        (no label in common). By default as the preset has it.
    seed
        Seed of queries, targets and noise.
    precision
        What gradients of attacks are computed in.
    out
        Folder of networks and results.
    device
        auto (the GPU if there is one), cpu, cuda, cuda:1, ...; training takes any GPU for cuda.
    workers
        Decoding processes; by default one a core.
    skip_bad
        Go on without images or clips that cannot be decoded, and say how many.
    show_list
        Show the recipes that make sense on the data, with the time that each takes, and end.
    """
    setting = setting_of(dataset, scale, attack_preset, root, lists)
    queries = setting.queries if queries is None else queries
    setting = replace(setting, queries=queries, seed=seed, precision=precision, pool=pool)
    if show_list:
        print(listing(setting))
        return
    if not names:
        raise HashprobeError(f"name a recipe: all, or one of {', '.join(recipe_names())}")
    recipes = chosen(names, setting, bits)
    screen = Terminal()
    minutes = expected_minutes(recipes, setting)
    screen.say(f"about {minutes:.0f} minutes on two CPU cores, less what is there already")
    for change in setting.changes():
        screen.say(f"not as in the paper: {change}")
    command = shlex.join(["hashprobe", *sys.argv[1:]])
    results = compute(
        recipes,
        setting,
        out,
        command=command,
        device=device,
        workers=workers,
        skip_bad=skip_bad,
        cache=cache.open(),
        screen=screen,
    )
    for result in results:
        print(markdown(result))
    print(f"page: {page_path(recipes, setting, out).resolve()}")


def setting_of(
    dataset: str,
    scale: Literal["paper", "bench"] | None,
    preset: str | None,
    root: Path | None,
    lists: Path | None,
) -> Setting:
    """The setting that is meant: bench where there is one and nothing else is said."""
    places = {
        "root": root.resolve() if root else None,
        "lists": lists.resolve() if lists else None,
    }
    usual = "bench" if has_bench(dataset) else "paper"
    return load_setting(dataset, scale or usual, preset, **places)


def listing(setting: Setting) -> str:
    """Every recipe with its source and time, as a table."""
    rows = []
    for name in recipe_names():
        recipe = setting.recipe(name)
        minutes = expected_minutes([recipe], setting)
        time = text(minutes) if setting.suits(recipe) else "not on these data"
        rows.append([name, recipe.title, recipe.source, time])
    whole = expected_minutes(chosen(["all"], setting), setting)
    rows.append(["all", "the above, networks shared", "", text(whole)])
    head = ["recipe", "what", "source", f"{setting.dataset}, {setting.scale}"]
    return "\n".join(grid(head, rows, words=3))


def text(minutes: float) -> str:
    """A time in words."""
    if minutes < 90:
        return f"{minutes:.0f} min" if minutes >= 1 else "1 min"
    return f"{minutes / 60:.0f} h" if minutes < 60 * 48 else f"{minutes / 60 / 24:.0f} days"
