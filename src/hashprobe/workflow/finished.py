"""The attacks whose results are in a run folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashprobe.errors import HashprobeError
from hashprobe.evaluation import Evaluation
from hashprobe.files import read_json
from hashprobe.runs import Run
from hashprobe.types import Budget


CARD, RESULT = "settings.json", "evaluation.json"
"""Files of an attack: what was asked, and what it achieved."""


@dataclass(frozen=True)
class Finished:
    """An attack whose result is in a run folder."""

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
    found = []
    for path in sorted((run.path / "attacks").glob(f"*/{RESULT}")):
        settings, record = read_json(path.with_name(CARD)), read_json(path)
        try:
            evaluation = Evaluation.from_json(record)
            Budget(**settings["budget"])
        except (HashprobeError, KeyError, TypeError) as error:
            raise HashprobeError(
                f"{path.parent} does not hold a finished attack: {error}; attack again"
            ) from error
        found.append(Finished(path.parent.name, settings, evaluation, path.parent))
    order = {"noise": 0, "p2p": 1, "dhta": 2}
    return sorted(
        found,
        key=lambda f: (f.budget.space, f.budget.eps, order.get(f.settings["attack"], 3), f.name),
    )
