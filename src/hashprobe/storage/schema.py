"""The one record of an attack on disk, which every part of the package reads and writes."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Required, TypedDict

import msgspec

from hashprobe.errors import HashprobeError
from hashprobe.storage.files import jsonable, read_json, remove, write_json
from hashprobe.storage.records import Count, Name, as_record
from hashprobe.storage.strict_json import shown_short
from hashprobe.types import Budget, Precision


RECORD, OLD_SETTINGS = "attack.json", "settings.json"
"""The file of a record, and the second file that records of format 1 had."""
FORMAT = 2
"""The format that is written; format 1 is still read."""


Amount = Annotated[float, msgspec.Meta(ge=0)]
"""A number from 0."""


@dataclass(frozen=True)
class Cost:
    """What an attack took.

    Example:
        >>> Cost(seconds=1.5, forwards=20.0, backwards=20.0).backwards
        20.0
    """

    seconds: Amount
    """Time spent in the attack itself, over all queries."""
    forwards: Amount
    """Forward passes of the victim, the mean over queries."""
    backwards: Amount
    """Backward passes of the victim, the mean over queries."""


class Recipe(TypedDict, total=False):
    """What the package itself reads of a recipe; there may be more in it.

    Example:
        >>> Recipe(attack="noise", budget=Budget(0.1), seed=0)["attack"]
        'noise'
    """

    attack: Required[Name]
    options: dict[str, Any] | None
    budget: Required[Budget]
    seed: Required[Annotated[int, msgspec.Meta(ge=0)]]
    precision: Precision
    bits: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    reading: dict[str, Any]


class AttackParts(TypedDict, total=False):
    """The parts of a record that have no type of their own.

    Example:
        >>> sorted(AttackParts.__required_keys__)
        ['query_ids', 'recipe']
    """

    recipe: Required[Recipe]
    query_ids: Required[Annotated[tuple[Count, ...], msgspec.Meta(min_length=1)]]
    protocol: dict[str, Any] | None
    shard: Annotated[int, msgspec.Meta(ge=1)] | None


class AttackFile(AttackParts, total=False):
    """What attack.json holds.

    Example:
        >>> sorted(AttackFile.__optional_keys__)
        ['cost', 'protocol', 'shard']
    """

    format: Required[int]
    cost: Cost | None


class OldSettings(TypedDict):
    """What settings.json holds beside an attack.json of format 1.

    Example:
        >>> sorted(OldSettings.__required_keys__)
        ['backwards', 'forwards', 'protocol', 'seconds']
    """

    protocol: dict[str, Any]
    seconds: Amount
    forwards: Amount
    backwards: Amount


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
    shard: int | None = None
    """Consecutive queries that share a file; None where each query has a file of its own."""

    def __post_init__(self) -> None:
        parts = {"recipe": self.recipe, "query_ids": self.query_ids, "protocol": self.protocol}
        as_record({**parts, "shard": self.shard}, AttackParts)
        twice, times = Counter(self.query_ids).most_common(1)[0]
        if times > 1:
            raise HashprobeError(f"query_ids holds {twice} {times} times")
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
            there = shown_short(content["format"])
            raise HashprobeError(
                f"{path} has format {there}; this hashprobe reads 1 and {FORMAT}: "
                "use the version that wrote it, or attack again"
            )
        try:
            file: AttackFile = as_record(content, AttackFile)
            protocol, cost = file.get("protocol"), file.get("cost")
            if content["format"] == 1:
                path = folder / OLD_SETTINGS
                protocol, cost = old_settings(path)
                path = folder / RECORD
            ids, shard = file["query_ids"], file.get("shard")
            return cls(content["recipe"], ids, protocol=protocol, cost=cost, shard=shard)
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
            "shard": self.shard,
        }
        given = {name: part for name, part in parts.items() if part is not None}
        record: dict[str, Any] = jsonable({**content, **given})
        return record


def old_settings(path: Path) -> tuple[dict[str, Any] | None, Cost | None]:
    """The protocol and the cost of an attack of format 1, which have a file of their own."""
    if not path.exists():
        return None, None
    settings: OldSettings = as_record(read_json(path), OldSettings)
    cost = Cost(settings["seconds"], settings["forwards"], settings["backwards"])
    return settings["protocol"], cost
