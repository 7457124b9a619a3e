"""An experiment of the paper as a record, read from YAML: what is in its rows and columns."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

from hashprobe.errors import HashprobeError
from hashprobe.storage.plain_yaml import parse_yaml


Role = Literal["original", "noise", "p2p", "dhta", "hag", "feature-sign", "feature-pgd"]
"""What an attack is in the paper; the preset says which attack with which options that is here."""
Measure = Literal["t-MAP", "MAP", "ceiling", "MAP of codes", "perceptibility"]
Data = Literal["images", "videos", "both"]
"""What kind of data something is about."""
Show = Literal["table", "curves", "lines", "examples", "pictures"]
Check = Literal[
    "above",
    "mostly above",
    "near",
    "around",
    "halves",
    "exceeds",
    "grows down",
    "grows along",
    "falls along",
    "curves above",
]
PRESETS = ("paper", "official-code", "scaled", "default")
"""Names of attack presets."""


@dataclass(frozen=True)
class Cell:
    """What one number is of.

    Example:
        >>> Cell(bits=48).attack
        'dhta'
    """

    bits: int = 32
    """Code length."""
    loss: str | None = None
    """Hashing loss of the victim; None: as the setting trains."""
    open_set: bool = False
    """Whether target labels are classes that the victim never saw."""
    pool: Literal["differs", "disjoint"] | None = None
    """Where target labels come from; None: as the preset has it."""
    attack: Role = "dhta"
    """Which attack; `original` is none."""
    n_t: int | None = None
    """Codes that vote; None: as the preset has it."""
    steps: int | None = None
    """Steps of the attack; None: as the preset has it."""
    eps: float | None = None
    """l-infinity radius in pixels; None: as the preset has it."""
    frames: int | None = None
    """Most frames of a clip that change; None for all."""
    shared: bool = False
    """Whether all frames of a clip take the same change."""
    measure: Measure = "t-MAP"
    """What is measured."""


@dataclass(frozen=True)
class Line:
    """A row or a column: its name and what its cells share."""

    name: str
    shared: Mapping[str, Any]
    published: str
    """The name of its published figures."""


@dataclass(frozen=True)
class Claim:
    """A sentence that can be checked on the numbers: the paper's, or an expectation of ours."""

    say: str
    """In words."""
    check: Check
    """How the rows are compared."""
    rows: tuple[int, ...]
    """Which rows."""
    by: float = 0.0
    """Points of per cent: by how much at least (above, exceeds), at most (near), about (around), or
    how far a neighbour may fall before it speaks against growth."""
    data: Data = "both"
    """What it is said of."""
    columns: tuple[str, ...] = ()
    """Names of the columns that it is about; none for all."""
    within: float = 0.0
    """How far from `by` a difference may be (around)."""
    ours: bool = False
    """Whether it is an expectation of ours: the paper does not say so, or not with this number."""


@dataclass(frozen=True)
class Recipe:
    """One table or figure.

    Example:
        >>> recipe = load_recipe("table1")
        >>> recipe.cell(recipe.rows[2], recipe.columns[0]).attack
        'p2p'
    """

    name: str
    title: str
    source: str
    text: str
    rows: tuple[Line, ...]
    columns: tuple[Line, ...]
    cells: Mapping[str, Any] = field(default_factory=dict)
    show: Show = "table"
    axis: str = ""
    """For lines: which setting of the rows is the x axis."""
    data: Data = "images"
    """What it is computed on."""
    multi_label: bool = False
    """Whether it only makes sense on multi-label data."""
    published: Mapping[str, Mapping[str, Sequence[float]]] | None = None
    """Data set to row to the paper's figures, in per cent (perceptibility in thousandths)."""
    claims: tuple[Claim, ...] = ()

    def cell(self, row: Line, column: Line) -> Cell:
        """What stands where a row and a column meet."""
        return Cell(**{**self.cells, **column.shared, **row.shared})

    def all_cells(self) -> list[Cell]:
        """Every cell, row by row."""
        return [self.cell(row, column) for row in self.rows for column in self.columns]

    @property
    def open_set(self) -> bool:
        """Whether it takes classes that the network never saw."""
        return any(cell.open_set for cell in self.all_cells())

    def only(self, bits: Sequence[int]) -> "Recipe":
        """The same with columns of these code lengths alone, and without claims about others.

        Raises:
            HashprobeError: no column has one of them.

        Example:
            >>> [column.name for column in load_recipe("table1").only([32]).columns]
            ['32 bits']
        """
        kept = [i for i, c in enumerate(self.columns) if self.cell(self.rows[0], c).bits in bits]
        if not kept:
            raise HashprobeError(f"{self.name} has no column of {', '.join(map(str, bits))} bits")
        published = {
            data: {row: [figures[i] for i in kept] for row, figures in rows.items()}
            for data, rows in (self.published or {}).items()
        }
        columns = tuple(self.columns[i] for i in kept)
        names = {column.name for column in columns}
        claims = tuple(
            claim
            for claim in self.claims
            if (len(kept) > 1 or not claim.check.endswith("along"))
            and (not claim.columns or names & set(claim.columns))
        )
        return replace(self, columns=columns, published=published, claims=claims)


def recipe_names() -> list[str]:
    """Names of all recipes: tables first, in the order of the paper.

    Example:
        >>> recipe_names()[:2]
        ['table1', 'table2']
    """
    names = [path.name.removesuffix(".yaml") for path in folder().iterdir()]

    def place(name: str) -> tuple[int, int, str]:
        kind = 0 if name.startswith("table") else 1 if name.startswith("figure") else 2
        return kind, int("".join(filter(str.isdigit, name)) or 0), name

    return sorted(names, key=place)


def folder() -> Any:
    """Where the recipes are."""
    return resources.files("hashprobe.paper") / "recipes"


def load_recipe(name: str, preset: str = "paper", eps_scale: float = 1.0) -> Recipe:
    """A recipe by name.

    Args:
        name: one of `recipe_names()`.
        preset: `paper`, `official-code`, `scaled` or `default`: recipes that vary the number of
            steps have other ones for the default attack.
        eps_scale: what every eps is multiplied by.

    Raises:
        HashprobeError: an unknown name or preset.

    Example:
        >>> load_recipe("table3", "default").rows[0].name
        '5 iterations'
    """
    if name not in recipe_names():
        raise HashprobeError(f"unknown recipe {name!r}: choose from {', '.join(recipe_names())}")
    if preset not in PRESETS:
        raise HashprobeError(f"unknown attack preset {preset!r}: choose from {', '.join(PRESETS)}")
    return parse(name, deepcopy(content_of(name)), preset, eps_scale)


@cache
def content_of(name: str) -> dict[str, Any]:
    """What the file of a recipe holds; a reproduction asks for each many times."""
    content: dict[str, Any] = parse_yaml((folder() / f"{name}.yaml").read_bytes(), f"recipe {name}")
    return content


def parse(name: str, content: dict[str, Any], preset: str, eps_scale: float = 1.0) -> Recipe:
    """A recipe from the content of its file.

    Raises:
        HashprobeError: a key, a setting or a row that does not exist.
    """
    known = {one.name for one in fields(Recipe)} - {"name"}
    if unknown := set(content) - known:
        raise HashprobeError(f"recipe {name} has an unknown key {sorted(unknown)[0]!r}")
    rows = tuple(line(name, row, preset, eps_scale) for row in content["rows"])
    columns = tuple(line(name, column, preset, eps_scale) for column in content["columns"])
    if content.get("show", "table") not in ("table", "lines") and len(columns) > 1:
        raise HashprobeError(f"recipe {name}: {content['show']} have one column")
    check_data(name, content)
    check_settings(name, content.get("cells", {}))
    claims = tuple(claim(name, one, rows, columns) for one in content.get("claims", ()))
    return Recipe(
        **{
            **content,
            "name": name,
            "text": content["text"].strip(),
            "rows": rows,
            "columns": columns,
            "claims": claims,
        }
    )


def line(recipe: str, content: dict[str, Any], preset: str, eps_scale: float) -> Line:
    """A row or a column; numbers that depend on the preset are chosen."""
    kind = "default" if preset == "default" else "paper"
    settings = {
        key: value[kind] if isinstance(value, dict) else value for key, value in content.items()
    }
    if "eps" in settings:
        settings["eps"] = round(settings["eps"] * eps_scale, 6)
    name = settings.pop("name").format(**settings)
    published = settings.pop("published", name)
    check_settings(recipe, settings)
    return Line(name, settings, published)


def check_settings(recipe: str, settings: Mapping[str, Any]) -> None:
    """Refuses settings that no cell has, and attacks and measures that there are not."""
    known = {one.name for one in fields(Cell)}
    for key, value in settings.items():
        if key not in known:
            raise HashprobeError(f"recipe {recipe} has an unknown setting {key!r}")
        choices = {"attack": get_args(Role), "measure": get_args(Measure)}.get(key)
        if choices and value not in choices:
            raise HashprobeError(f"recipe {recipe}: {key} must be one of {choices}; got {value!r}")


def claim(
    recipe: str, content: dict[str, Any], rows: tuple[Line, ...], columns: tuple[Line, ...]
) -> Claim:
    """A claim with its rows by number."""
    if unknown := set(content) - {one.name for one in fields(Claim)}:
        raise HashprobeError(f"recipe {recipe}: a claim has an unknown key {sorted(unknown)[0]!r}")
    about = tuple(content.get("columns", ()))
    if strange := set(about) - {column.name for column in columns}:
        raise HashprobeError(
            f"recipe {recipe}: a claim is about an unknown column {sorted(strange)[0]!r}"
        )
    names = [row.name for row in rows]
    numbers = []
    for row in content["rows"]:
        if row not in names and not (isinstance(row, int) and row < len(rows)):
            raise HashprobeError(f"recipe {recipe}: a claim is about an unknown row {row!r}")
        numbers.append(names.index(row) if row in names else row)
    if content["check"] not in get_args(Check):
        raise HashprobeError(f"recipe {recipe}: unknown check {content['check']!r}")
    check_data(recipe, content)
    optional = {k: content[k] for k in ("by", "data", "within", "ours") if k in content}
    return Claim(content["say"], content["check"], tuple(numbers), **optional, columns=about)


def check_data(recipe: str, content: Mapping[str, Any]) -> None:
    """Refuses a kind of data that there is not, of a recipe or of a claim."""
    kind = content.get("data", "both")
    if kind not in get_args(Data):
        raise HashprobeError(f"recipe {recipe}: data must be one of {get_args(Data)}; got {kind!r}")
