"""The attacks whose results are in a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.storage.files import read_json
from hashprobe.storage.runs import Run
from hashprobe.types import Budget


CARD, RESULT = "settings.json", "evaluation.json"
"""Files of an attack: what was asked, and what it achieved."""


@dataclass(frozen=True)
class Finished:
    """An attack whose result is in a run folder.

    Example:
        >>> [field for field in Finished.__dataclass_fields__]
        ['name', 'settings', 'evaluation', 'folder']
    """

    name: str
    settings: Mapping[str, Any]
    evaluation: Evaluation
    folder: Path

    @property
    def budget(self) -> Budget:
        """Its budget."""
        return Budget(**self.settings["budget"])


def finished_attacks(run: Run) -> list[Finished]:
    """Every attack of a run that has been measured, by budget, then weakest first.

    Args:
        run: the run.

    Raises:
        HashprobeError: a result is damaged; it is named.

    Example:
        >>> import tempfile
        >>> finished_attacks(Run.create(Path(tempfile.mkdtemp()), {}))
        []
    """
    folders = [path.parent for path in sorted((run.path / "attacks").glob(f"*/{RESULT}"))]
    found = [finished for folder in folders if (finished := finished_attack(folder))]
    order = {"noise": 0, "p2p": 1, "dhta": 2}
    return sorted(
        found,
        key=lambda f: (f.budget.space, f.budget.eps, order.get(f.settings["attack"], 3), f.name),
    )


def finished_attack(folder: Path) -> Finished | None:
    """The attack of one folder; None where it has not been measured.

    Args:
        folder: attacks/NAME of a run.

    Raises:
        HashprobeError: its result is damaged.

    Example:
        >>> finished_attack(Path("runs/none/attacks/dhta")) is None
        True
    """
    if not (folder / RESULT).is_file():
        return None
    settings, record = read_json(folder / CARD), read_json(folder / RESULT)
    try:
        evaluation = Evaluation.from_json(record)
        Budget(**settings["budget"])
    except (HashprobeError, KeyError, TypeError) as error:
        raise HashprobeError(
            f"{folder} does not hold a finished attack: {error}; attack again"
        ) from error
    return Finished(folder.name, settings, evaluation, folder)
