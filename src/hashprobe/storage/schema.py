"""The one record of an attack on disk, which every part of the package reads and writes."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import jsonable, read_json, remove, write_json
from hashprobe.types import Budget


RECORD, OLD_SETTINGS = "attack.json", "settings.json"
"""The file of a record, and the second file that records of format 1 had."""
FORMAT = 2
"""The format that is written; format 1 is still read."""


@dataclass(frozen=True)
class Cost:
    """What an attack took.

    Example:
        >>> Cost(seconds=1.5, forwards=20.0, backwards=20.0).backwards
        20.0
    """

    seconds: float
    """Time spent in the attack itself, over all queries."""
    forwards: float
    """Forward passes of the victim, the mean over queries."""
    backwards: float
    """Backward passes of the victim, the mean over queries."""


@dataclass(frozen=True)
class AttackRecord:
    """What was asked of an attack, on which queries, and how its result was measured.

    Raises:
        HashprobeError: a field of another type, a budget that makes no sense, or no query ids.

    Example:
        >>> recipe = {"attack": "dhta", "options": {"steps": 20}, "budget": {"eps": 0.1}, "seed": 1}
        >>> record = AttackRecord(recipe, (7, 9))
        >>> record.attack, record.budget.eps, record.precision, record.measured
        ('dhta', 0.1, 'float32', False)
    """

    recipe: Mapping[str, Any]
    """All that decides on the result, as JSON; its fingerprint marks the files of the queries."""
    query_ids: tuple[int, ...]
    """The id of each query, from 0, in order."""
    _: KW_ONLY
    protocol: Mapping[str, Any] | None = None
    """How queries and targets were chosen and scored; None until the attack is measured."""
    cost: Cost | None = None
    """What the attack took; None until it is measured."""

    def __post_init__(self) -> None:
        for name, good, wanted in CHECKS:
            if not good(self):
                raise HashprobeError(f"{name} must be {wanted}")
        try:
            _ = self.budget
        except (HashprobeError, TypeError, ValueError) as error:
            raise HashprobeError(f"recipe.budget: {error}") from error

    @property
    def attack(self) -> str:
        """The name of the attack."""
        return str(self.recipe["attack"])

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the attack by name; empty where it takes none."""
        return self.recipe.get("options") or {}

    @property
    def budget(self) -> Budget:
        """How far a pixel was allowed to move."""
        return Budget(**self.recipe["budget"])

    @property
    def seed(self) -> int:
        """The seed of whatever was random."""
        return int(self.recipe["seed"])

    @property
    def precision(self) -> str:
        """What gradients were computed in; records from before there was a choice: float32."""
        return str(self.recipe.get("precision", "float32"))

    @property
    def measured(self) -> bool:
        """Whether the record says how the result was measured."""
        return self.protocol is not None

    @classmethod
    def read(cls, folder: Path) -> "AttackRecord | None":
        """Reads the record of a folder, of format 2 or 1.

        Args:
            folder: attacks/NAME of a run.

        Returns:
            The record; None where the folder has no attack.json.

        Raises:
            HashprobeError: a file that is damaged (file and field are named) or of a newer format.

        Example:
            >>> AttackRecord.read(Path("no/such/folder")) is None
            True
        """
        path = folder / RECORD
        if not path.exists():
            return None
        content = read_json(path)
        if not isinstance(content, dict) or "format" not in content:
            raise HashprobeError(f"{path} does not describe an attack: it has no format")
        if content["format"] not in (1, FORMAT):
            raise HashprobeError(
                f"{path} has format {content['format']!r}; this hashprobe reads 1 and {FORMAT}: "
                "use the version that wrote it, or attack again"
            )
        if content["format"] == 1:
            content, path = with_old_settings(folder, content)
        try:
            return from_json(content)
        except HashprobeError as error:
            raise HashprobeError(f"{path} is damaged: {error}; attack again") from error

    def write(self, folder: Path) -> None:
        """Writes the record as attack.json, whole or not at all; it replaces both old files.

        Args:
            folder: attacks/NAME of a run; made if it is missing.

        Raises:
            HashprobeError: a part is not JSON, or the disk refuses.

        Example:
            >>> import tempfile
            >>> folder = Path(tempfile.mkdtemp())
            >>> recipe = {"attack": "noise", "budget": {"eps": 0.1}, "seed": 0}
            >>> AttackRecord(recipe, (7,)).write(folder)
            >>> AttackRecord.read(folder).query_ids
            (7,)
        """
        write_json(folder / RECORD, self.to_json())
        remove(folder / OLD_SETTINGS)

    def to_json(self) -> dict[str, Any]:
        """What goes into the file: format, recipe, query ids, and the other parts that are given.

        Example:
            >>> recipe = {"attack": "noise", "budget": {"eps": 0.1}, "seed": 0}
            >>> list(AttackRecord(recipe, (7,), protocol={"queries": 1}).to_json())
            ['format', 'recipe', 'query_ids', 'protocol']
        """
        content = {"format": FORMAT, "recipe": self.recipe, "query_ids": self.query_ids}
        parts = {
            "protocol": self.protocol,
            "cost": None if self.cost is None else asdict(self.cost),
        }
        given = {name: part for name, part in parts.items() if part is not None}
        record: dict[str, Any] = jsonable({**content, **given})
        return record


def whole(value: Any) -> bool:
    """Whether a value is a whole number from 0."""
    return type(value) is int and value >= 0


def object_or_none(value: Any) -> bool:
    """Whether a value is an object of JSON, or missing."""
    return value is None or isinstance(value, Mapping)


CHECKS: tuple[tuple[str, Callable[[AttackRecord], bool], str], ...] = (
    ("recipe", lambda r: isinstance(r.recipe, Mapping), "an object"),
    ("recipe.attack", lambda r: isinstance(r.recipe.get("attack"), str), "a name"),
    ("recipe.options", lambda r: object_or_none(r.recipe.get("options")), "an object"),
    ("recipe.budget", lambda r: isinstance(r.recipe.get("budget"), Mapping), "an object"),
    ("recipe.seed", lambda r: whole(r.recipe.get("seed")), "a whole number from 0"),
    (
        "query_ids",
        lambda r: len(r.query_ids) > 0 and all(whole(i) for i in r.query_ids),
        "a list of one or more whole numbers from 0",
    ),
    ("protocol", lambda r: object_or_none(r.protocol), "an object"),
)
"""A field, what it must satisfy, and how that is said."""


def from_json(content: Mapping[str, Any]) -> AttackRecord:
    """The record in the content of a file of format 2."""
    ids, cost = content.get("query_ids"), content.get("cost")
    if not isinstance(ids, list):
        raise HashprobeError("query_ids must be a list of one or more whole numbers from 0")
    names = ("seconds", "forwards", "backwards")
    if cost is not None:
        if not isinstance(cost, Mapping):
            raise HashprobeError("cost must be an object")
        for name in names:
            if type(cost.get(name)) not in (int, float):
                raise HashprobeError(f"cost.{name} must be a number")
        cost = Cost(**{name: float(cost[name]) for name in names})
    return AttackRecord(
        content.get("recipe"),  # type: ignore[arg-type]
        tuple(ids),
        protocol=content.get("protocol"),
        cost=cost,
    )


def with_old_settings(folder: Path, content: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """The content of both files of format 1 as one of format 2, and the file read last."""
    path = folder / OLD_SETTINGS
    if not path.exists():
        return content, folder / RECORD
    settings = read_json(path)
    if not isinstance(settings, dict) or "protocol" not in settings:
        raise HashprobeError(f"{path} is damaged: protocol is missing; attack again")
    cost = {name: settings.get(name) for name in ("seconds", "forwards", "backwards")}
    return {**content, "protocol": settings["protocol"], "cost": cost}, path
