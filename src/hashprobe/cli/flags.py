"""Options that several commands share."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from hashprobe.errors import HashprobeError


if TYPE_CHECKING:
    from hashprobe.data.cache import ClipCache


Flag = Annotated[bool, Parameter(negative=())]
"""An option without a value, and without a --no- twin: off is its default."""


@dataclass(frozen=True)
class Cache:
    """Where decoded clips are kept, as the command line says it.

    Example:
        >>> Cache().open() is None
        True
    """

    cache: Path | None = None
    """Folder where clips of files are kept once they are decoded, as 8-bit pixels at the network's
    size, for the next command; made if needed. Images and bundled clips do without."""
    cache_gb: float = 4.0
    """Most that this folder may take on the disk, in GiB; clips not used for longest go first."""

    def open(self) -> "ClipCache | None":
        """The cache; None where no folder is named.

        Raises:
            HashprobeError: a size below 0, or one that is no number.
        """
        from hashprobe.data.cache import ClipCache

        if not 0 <= self.cache_gb < inf:
            raise HashprobeError(
                f"cache-gb must be a number of GiB, 0 or more; got {self.cache_gb}"
            )
        return None if self.cache is None else ClipCache(self.cache, int(self.cache_gb * 2**30))


CacheFlags = Annotated[Cache, Parameter(name="*")]
