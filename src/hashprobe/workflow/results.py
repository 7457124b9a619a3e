"""The attacks whose results are in a run folder."""

from dataclasses import dataclass, fields, replace
from pathlib import Path

from hashprobe.attacks.registry import ATTACKS
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.report.content import Kind
from hashprobe.storage.files import read_json
from hashprobe.storage.records import as_record
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import RECORD, AttackRecord
from hashprobe.types import Budget
from hashprobe.workflow.protocol import Protocol


RESULT = "evaluation.json"
"""The file of an attack that says what it achieved."""


BEFORE = ".before"
"""What ends the name of the folder of an attack that is being replaced."""


def aside(folder: Path) -> Path:
    """Where the last whole result of an attack is while it is replaced.

    Args:
        folder: attacks/NAME of a run.

    Example:
        >>> aside(Path("attacks/dhta")).name
        '.dhta.before'
    """
    return folder.with_name(f".{folder.name}{BEFORE}")


@dataclass(frozen=True)
class Finished:
    """An attack whose result is in a run folder.

    Example:
        >>> [field for field in Finished.__dataclass_fields__]
        ['name', 'record', 'evaluation', 'folder']
    """

    name: str
    """The name of its folder."""
    record: AttackRecord
    """What was asked, and how it was measured."""
    evaluation: Evaluation
    """What it achieved."""
    folder: Path
    """Where it is."""

    @property
    def attack(self) -> str:
        """The name of the attack."""
        return self.record.attack

    @property
    def title(self) -> str:
        """What the attack is called in tables."""
        return title_of(self.attack)

    @property
    def kind(self) -> Kind:
        """Whether it is noise or an attack."""
        return kind_of(self.attack)

    @property
    def budget(self) -> Budget:
        """Its budget."""
        return self.record.budget

    @property
    def behind(self) -> bool:
        """Whether the victim was the run's network behind a preprocessor."""
        return "preprocessors" in self.record.recipe.get("reading", {})


def title_of(name: str) -> str:
    """What an attack is called in tables; an attack that is not registered keeps its name.

    Example:
        >>> title_of("dhta"), title_of("my_package.attack")
        ('DHTA', 'my_package.attack')
    """
    return ATTACKS[name].title if name in ATTACKS else name


def kind_of(name: str) -> Kind:
    """Whether an attack is noise, which needs nothing of the victim, or an attack.

    Example:
        >>> kind_of("noise"), kind_of("dhta"), kind_of("my_package.attack")
        ('noise', 'attack', 'attack')
    """
    known = ATTACKS.get(name)
    blind = known is not None and not known.needs and known.access != "query"
    return "noise" if blind else "attack"


def place_of(name: str) -> int:
    """The place of an attack in tables: the order of the registry, then those it does not know."""
    return list(ATTACKS).index(name) if name in ATTACKS else len(ATTACKS)


def finished_attacks(run: Run) -> list[Finished]:
    """Every attack of a run that has been measured, by budget, then in the registry's order.

    Those of a comparison on the run behind a preprocessor are left out: they are of other codes.

    Args:
        run: the run.

    Raises:
        HashprobeError: a result is damaged; it is named.

    Example:
        >>> import tempfile
        >>> finished_attacks(Run.create(Path(tempfile.mkdtemp()), {}))
        []
    """
    folders = {path.parent.name: path.parent for path in (run.path / "attacks").glob(f"*/{RESULT}")}
    whole = {name: path for name, path in folders.items() if not name.startswith(".")}
    # What is being replaced counts until its successor is whole.
    for path in folders.values():
        name = path.name.removeprefix(".").removesuffix(BEFORE)
        if path.name == aside(path.with_name(name)).name:
            whole.setdefault(name, path)
    found = [
        replace(finished, name=name)
        for name, folder in sorted(whole.items())
        if (finished := finished_attack(folder)) and not finished.behind
    ]
    return sorted(found, key=lambda f: (f.budget.space, f.budget.eps, place_of(f.attack), f.name))


def finished_attack(folder: Path) -> Finished | None:
    """The attack of one folder; None where it has not been measured.

    Args:
        folder: attacks/NAME of a run.

    Raises:
        HashprobeError: its record or its result is damaged.

    Example:
        >>> finished_attack(Path("runs/none/attacks/dhta")) is None
        True
    """
    if not (folder / RESULT).is_file():
        return None
    record = AttackRecord.read(folder)
    if record is None or not record.measured:
        raise HashprobeError(
            f"{folder} does not hold a finished attack: {RECORD} does not say how it was measured; "
            "attack again"
        )
    try:
        as_record(record.protocol, Protocol, f"{RECORD}: protocol")
        if record.attack in ATTACKS:
            as_record(record.options, ATTACKS[record.attack].options, f"{RECORD}: recipe.options")
        evaluation = Evaluation.from_json(read_json(folder / RESULT))
        check_queries(evaluation, len(record.query_ids))
    except HashprobeError as error:
        raise HashprobeError(
            f"{folder} does not hold a finished attack: {error}; attack again"
        ) from error
    return Finished(folder.name, record, evaluation, folder)


def check_queries(evaluation: Evaluation, queries: int) -> None:
    """Refuses an evaluation over another number of queries than were attacked."""
    for field in fields(evaluation):
        part = getattr(evaluation, field.name)
        # Between runs there is one value a run.
        over_queries = isinstance(part, Measurement) and not field.name.endswith("_runs")
        if over_queries and len(part.per_query) != queries:
            raise HashprobeError(
                f"{RESULT}: {field.name} is over {len(part.per_query)} queries, "
                f"{RECORD} of {queries}"
            )
