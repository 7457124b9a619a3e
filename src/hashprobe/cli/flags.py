"""Options that several commands share."""

from dataclasses import dataclass, fields
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter


if TYPE_CHECKING:
    from hashprobe.data.cache import ClipCache
    from hashprobe.progress import Progress
    from hashprobe.types import Runtime


Flag = Annotated[bool, Parameter(negative=())]
"""An option without a value and without a --no- form; its default is off."""
Json = Annotated[bool, Parameter(name="--json", negative=())]
"""The option of a command that prints its result for programs."""
FLAT = Parameter(name="*")
"""Makes each field of a dataclass an option of the command."""


NOT_OF_RUNTIME = ("cache", "cache_gb", "executor", "address", "ray_workers", "gpus")
"""Options of which a field of `Runtime` is made, or none."""


def print_json(record: Any) -> None:
    """Prints a record of plain JSON on one line."""
    import json

    from hashprobe.cli.output import say

    say(json.dumps(record, allow_nan=False))


@dataclass(frozen=True)
class ImageRuntimeFlags:
    """How a command for images computes; each adds fields of `Runtime` that it has options for.

    Example:
        >>> from hashprobe.progress import Silent
        >>> ImageRuntimeFlags(workers=2).open(Silent()).workers
        2
    """

    workers: int | None = None
    """Decoding processes; by default one for each core."""

    def open(self, progress: "Progress") -> "Runtime":
        """The runtime.

        Args:
            progress: who is told.

        Raises:
            HashprobeError: a value out of range.
        """
        from hashprobe.types import Runtime

        names = [field.name for field in fields(self) if field.name not in NOT_OF_RUNTIME]
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        return Runtime(**given, cache=self.clips(), progress=progress)

    def clips(self) -> "ClipCache | None":
        """The cache of clips; None here."""
        return None


@dataclass(frozen=True)
class RuntimeFlags(ImageRuntimeFlags):
    """How a command computes that takes clips, too.

    Example:
        >>> from hashprobe.progress import Silent
        >>> RuntimeFlags(workers=2).open(Silent()).workers
        2
    """

    cache: Path | None = None
    """Folder that keeps decoded clips of files for later commands, as 8-bit pixels of the network's
    input size; it is made if needed. Images and bundled clips do not use it."""
    cache_gb: float = 4.0
    """Largest size of this folder in GiB; clips that were not used for the longest time are removed
    first."""

    def clips(self) -> "ClipCache | None":
        """The cache of clips; None without a folder."""
        from hashprobe.data.cache import ClipCache
        from hashprobe.errors import HashprobeError

        if not 0 <= self.cache_gb < inf:
            raise HashprobeError(
                f"cache-gb must be a number of GiB, 0 or more; got {self.cache_gb}"
            )
        return None if self.cache is None else ClipCache(self.cache, int(self.cache_gb * 2**30))
