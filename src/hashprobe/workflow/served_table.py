"""A table of Postgres as the search service that an adversary asks."""

from hashprobe.codes.convention import BitConvention
from hashprobe.codes.index.base import Found
from hashprobe.codes.index.postgres import NotSearchable, PostgresIndex
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.readers.registry import POSTGRES


class ServedTable:
    """A table that is searched, whose bits are stored by some convention."""

    def __init__(self, table: PostgresIndex, convention: BitConvention) -> None:
        self.table, self.convention, self.bits = table, convention, table.bits

    def search(self, queries: PackedCodes, k: int) -> Found:
        """The k nearest codes of each query; see `Index.search`."""
        # To read by a convention a second time gives back what was stored.
        return self.table.search(self.convention.read(queries), k)

    def __len__(self) -> int:
        return len(self.table)


def served_table(source: str, convention: BitConvention) -> ServedTable | None:
    """The table at an address; None for a file, or for a table that only memory can search.

    Raises:
        HashprobeError: no server, or no such table.
    """
    if source.partition("://")[0] not in POSTGRES:
        return None
    try:
        return ServedTable(PostgresIndex.open(source), convention)
    except NotSearchable:
        return None
