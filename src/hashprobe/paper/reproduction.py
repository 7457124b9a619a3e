"""Reproduces tables and figures of the paper, and estimates how long that takes."""

from collections.abc import Sequence
from pathlib import Path

from hashprobe.attacks.contract import most_steps
from hashprobe.attacks.registry import DEFAULT
from hashprobe.crafting.deterministic import repeatable
from hashprobe.errors import HashprobeError
from hashprobe.paper.plots import Drawing, draw
from hashprobe.paper.recipe import Recipe, recipe_names
from hashprobe.paper.result import Result
from hashprobe.paper.results_page import page
from hashprobe.paper.running import Runner
from hashprobe.paper.settings import Setting, check_places
from hashprobe.paper.tables import as_csv, as_json, markdown
from hashprobe.storage.files import write_bytes, write_json
from hashprobe.text import writable
from hashprobe.types import Runtime


ENCODE_MINUTES = 0.5
"""What encoding and opening a victim takes beside its training, roughly."""
REACHED = 0.4
"""Share of its steps that the default attack takes on average: a query that reaches its target code
takes no further steps."""


def chosen(names: Sequence[str], setting: Setting, bits: Sequence[int] = ()) -> list[Recipe]:
    """The recipes of some names; `all` is all that make sense on the data.

    Args:
        names: names of recipes, or `all`.
        setting: the data and the preset.
        bits: only columns of these code lengths; none for all.

    Raises:
        HashprobeError: an unknown name, a recipe that makes no sense on the data, or code lengths
            that no recipe has.

    Example:
        >>> from hashprobe.paper.settings import load_setting
        >>> [r.name for r in chosen(["table1"], load_setting("digits", "bench"))]
        ['table1']
    """
    everything = "all" in names
    found = []
    for name in recipe_names() if everything else dict.fromkeys(names):
        recipe = setting.recipe(name)
        if objection := setting.objection(recipe):
            if everything:
                continue
            raise HashprobeError(objection)
        if bits:
            if everything and not any(cell.bits in bits for cell in recipe.all_cells()):
                continue
            recipe = recipe.only(bits)
        found.append(recipe)
    if not found:
        lengths = ", ".join(map(str, bits))
        raise HashprobeError(f"no recipe has a column of {lengths} bits: they have 16 to 64")
    return found


def expected_minutes(recipes: Sequence[Recipe], setting: Setting) -> float:
    """About how long recipes take on two CPU cores when nothing is there yet.

    Victims and attacks that several recipes share count once.

    Args:
        recipes: the recipes.
        setting: data, scale, preset.

    Example:
        >>> from hashprobe.paper.settings import load_setting
        >>> setting = load_setting("digits", "bench")
        >>> expected_minutes([setting.recipe("table1")], setting) < 5
        True
    """
    victims: set[tuple[int, str, bool]] = set()
    attacks: dict[tuple[object, ...], float] = {}
    for recipe in recipes:
        for cell in recipe.all_cells():
            victim = cell.bits, setting.train_of(cell).loss, cell.open_set
            victims.add(victim)
            name, options = setting.attack_of(cell)
            steps = most_steps(options) * (REACHED if name == DEFAULT else 1)
            key = (*victim, cell.pool, name, options, setting.budget_of(cell))
            each = setting.queries * setting.repeats
            attacks[key] = each * steps * setting.step_ms / 60_000
    return len(victims) * (setting.minutes + ENCODE_MINUTES) + sum(attacks.values())


def reproduce(
    recipes: Sequence[Recipe],
    setting: Setting,
    out: Path,
    *,
    command: str = "",
    runtime: Runtime = Runtime(),
) -> list[Result]:
    """Computes recipes and writes each as Markdown, CSV, JSON, SVG and PNG, with one page of all.

    Victims are trained once for each data, loss and code length, below `out`/victims. All recipes
    and presets share them. The same call resumes a computation that was stopped.

    Args:
        recipes: what to compute; see `chosen`.
        setting: data, scale, preset; see `load_setting`.
        out: the folder of all; results go to `out`/DATASET-SCALE-PRESET.
        command: what was typed, for the page.
        runtime: device, workers, cache of clips, whether bad items are left out, and who is told.

    Returns:
        The results, in the order of the recipes.

    Raises:
        HashprobeError: data that are missing, or a problem with a step.

    Example:
        >>> import tempfile
        >>> from hashprobe.paper.settings import load_setting
        >>> setting = load_setting("digits", "bench", queries=5)
        >>> (done,) = reproduce(chosen(["figure8"], setting), setting, Path(tempfile.mkdtemp()))
        >>> done.grid[0, 0].value > 0
        True
    """
    check_places(setting)
    with repeatable(runtime):
        return computed(recipes, setting, out, command, runtime)


def computed(
    recipes: Sequence[Recipe], setting: Setting, out: Path, command: str, runtime: Runtime
) -> list[Result]:
    """Computes recipes and writes them."""
    runner = Runner(setting, out / "victims", runtime)
    folder = results_folder(setting, out)
    done: list[tuple[Result, list[Drawing]]] = []
    for recipe in recipes:
        result = runner.run(recipe)
        drawings = draw(result, runner)
        write(result, drawings, folder)
        done.append((result, drawings))
        # The page grows with every recipe: a kill later loses nothing.
        write_bytes(page_path(recipes, setting, out), writable(page(done, command)))
    return [result for result, _ in done]


def page_path(recipes: Sequence[Recipe], setting: Setting, out: Path) -> Path:
    """The page of some recipes: index.html of all, else named by them."""
    names = [recipe.name for recipe in recipes]
    everything = [name for name in recipe_names() if setting.suits(setting.recipe(name))]
    whole = names == everything
    return results_folder(setting, out) / ("index.html" if whole else f"{'-'.join(names)}.html")


def results_folder(setting: Setting, out: Path) -> Path:
    """Where the tables and figures of a setting are written."""
    return out / setting.name


def write(result: Result, drawings: Sequence[Drawing], folder: Path) -> None:
    """One recipe's files."""
    name = result.recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f"{name}.json", as_json(result))
    write_bytes(folder / f"{name}.csv", writable(as_csv(result)))
    figures = [f"{drawing.name}.svg" for drawing in drawings]
    write_bytes(folder / f"{name}.md", writable(markdown(result, figures)))
    for drawing in drawings:
        write_bytes(folder / f"{drawing.name}.svg", writable(drawing.svg))
        write_bytes(folder / f"{drawing.name}.png", drawing.png)
