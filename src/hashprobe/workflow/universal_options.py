"""What universal changes can be told, without a heavy import: the command line shows it."""

from dataclasses import dataclass

from hashprobe.attacks._universal_patch import Place, check_share
from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.types import check_whole


@checked
@dataclass(frozen=True)
class UniversalOptions:
    """How a change that all queries share is learnt.

    Raises:
        HashprobeError: a value out of range.

    Example:
        >>> UniversalOptions(patch=0.05).place
        'fixed'
    """

    patch: float | None = None
    """Share of the picture that a square takes, with any pixels inside; by default the whole
    picture changes within the budget."""
    place: Place = "fixed"
    """Of the square: fixed (the lower right corner), or random."""
    epochs: int = 10
    """Passes over the pictures; a patch takes steps of 4/255, a bounded change of eps / 10."""
    pictures: int = 500
    """Database items that are drawn at random; it is learnt from those without the label."""
    batch: int = 24
    """Pictures of a step."""

    def __post_init__(self) -> None:
        for name in ("epochs", "pictures", "batch"):
            check_whole(name, getattr(self, name))
        if self.patch is not None:
            check_share(self.patch)
        elif self.place != "fixed":
            raise HashprobeError("place is that of a patch: say how large it is (patch 0.05)")
