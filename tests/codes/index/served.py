"""The index in Postgres as the tests of the contract make it: a new table for each."""

import itertools
from collections import deque

from hashprobe.codes.index.postgres import PostgresIndex


NUMBERS = itertools.count()
OPEN = deque()
ADDRESS = {}
"""`uri` of the server, once the fixture `postgres` has started it."""


def new_address(name="t"):
    """The address of a table that is not there."""
    path, _, socket = ADDRESS["uri"].partition("?")
    return f"{path}/{name}{next(NUMBERS)}?{socket}"


class ServedIndex(PostgresIndex):
    """A table of its own on the server of the tests; few connections stay open."""

    def __init__(self, bits, address=None, partition=0):
        super().__init__(bits, address or new_address(), partition)
        OPEN.append(self)
        while len(OPEN) > 4:
            OPEN.popleft().close()  # opens again by itself where it is still used

    @classmethod
    def load(cls, path):
        return super().load(path, new_address())
