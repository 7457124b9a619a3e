"""How codes are stored in a table; imports no torch."""

from dataclasses import dataclass

from hashprobe.checked import checked
from hashprobe.types import check_whole


@checked
@dataclass(frozen=True)
class PushOptions:
    """How codes are stored in a table.

    Example:
        >>> PushOptions(partition=1_000_000).hnsw
        False
    """

    partition: int = 0
    """Rows of each partition by range of ids; 0 for one table."""
    hnsw: bool = False
    """Whether to build pgvector's graph, too, for searches that need not be exact."""
    overwrite: bool = False
    """Whether to replace a table that was pushed before."""

    def __post_init__(self) -> None:
        check_whole("partition", self.partition, 0)
