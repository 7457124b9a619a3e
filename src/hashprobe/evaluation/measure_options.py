"""How lists are cut, normalised and ordered, in one value."""

from dataclasses import dataclass
from typing import Any

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.bootstrap import BOOTSTRAP, Bootstrap
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties, check_choice
from hashprobe.types import check_whole


@checked
@dataclass(frozen=True)
class MeasureOptions:
    """The options of MAP and t-MAP; `hashprobe.evaluation.measures` explains their values.

    Raises:
        HashprobeError: an unknown value, top below 1, or `expected` under `hits`.

    Example:
        >>> MeasureOptions(top=1000, normaliser="min").order
        'expected'
        >>> MeasureOptions(top=1000).to_json()
        {'top': 1000, 'normaliser': 'hits', 'ties': None, 'empty': 'zero'}
    """

    top: int | None = None
    """T, the length of the list, at least 1; None for the whole database."""
    normaliser: Normaliser = "hits"
    """What AP is divided by: `hits`, `min` or `relevant`."""
    ties: Ties | None = None
    """Order of equal distances; None for `stable` under `hits`, else `expected`."""
    empty: Empty = "zero"
    """How a query without a value is counted: `zero`, `skip` or `error`."""
    bootstrap: Bootstrap = BOOTSTRAP
    """How the interval is computed."""

    def __post_init__(self) -> None:
        check_choice("normaliser", self.normaliser, Normaliser)
        check_choice("empty", self.empty, Empty)
        check_choice("ties", self.order, Ties)
        if self.order == "expected" and self.normaliser == "hits":
            raise HashprobeError(
                "ties expected is not offered with normaliser hits: how many hits the top T holds "
                "depends on the order of equal distances; use best and worst for bounds, or "
                "normaliser min or relevant"
            )
        if self.top is not None:
            check_whole("top", self.top)

    @property
    def order(self) -> Ties:
        """The tie policy, the normaliser's default where none is given."""
        if self.ties is not None:
            return self.ties
        return "stable" if self.normaliser == "hits" else "expected"

    def length(self, size: int) -> int:
        """T, the length of the list, in a database of that size."""
        return size if self.top is None else min(self.top, size)

    def to_json(self) -> dict[str, Any]:
        """The options by name, as the settings of a run hold them; without the bootstrap."""
        return {name: getattr(self, name) for name in ("top", "normaliser", "ties", "empty")}


DEFAULTS = MeasureOptions()
"""The whole list, `hits`, `stable`, `zero`."""
