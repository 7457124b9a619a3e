"""A connection to Postgres that is opened again when it is lost, and says errors in one line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from hashprobe.codes.readers.postgres_codes import CONNECT_SECONDS, Address, without_secrets
from hashprobe.errors import HashprobeError, missing_extra


WAITS = (0.0, 0.5, 2.0)
"""Seconds before each try of a piece of work whose connection was lost."""
OLDEST = 14
"""The first version of Postgres that counts the bits of bit strings."""
Part = TypeVar("Part")


class Server:
    """A database of Postgres, connected when first needed.

    Args:
        address: where it is; its password is in no message.
        read_only: whether the session is set to read only.
    """

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self.address, self.read_only = address, read_only
        self.connection: Any = None

    def run(self, work: Callable[[Any], Part]) -> Part:
        """Does a piece of work in a transaction; all of it again if the connection is lost.

        Args:
            work: takes the connection; it must be harmless to do it twice.

        Raises:
            HashprobeError: the server refuses, or the connection was lost too often.
        """
        psycopg = load_psycopg()
        for wait in WAITS:
            time.sleep(wait)
            try:
                with self.open(psycopg).transaction():
                    return work(self.connection)
            except (psycopg.Error, UnicodeError) as error:
                seen = without_secrets(error, self.address)
                lost = self.connection is None or self.connection.broken
                self.close()
                # Not chained: the library's own words may hold the password.
                if not lost:
                    raise HashprobeError(f"{self.address.shown}: {seen}") from None
            except BaseException:
                self.close()
                raise
        raise HashprobeError(
            f"{self.address.shown}: no connection in {len(WAITS)} tries: {seen}"
        ) from None

    def open(self, psycopg: Any) -> Any:
        """The connection, opened if it is not there."""
        if self.connection is None:
            given: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, **self.address.server}
            connection = psycopg.connect(**given)
            connection.read_only = self.read_only
            self.connection = connection
            if connection.info.server_version < OLDEST * 10_000:
                old = connection.info.server_version // 10_000
                raise HashprobeError(
                    f"{self.address.shown} is Postgres {old}: a search needs {OLDEST} or newer"
                )
        return self.connection

    def close(self) -> None:
        """Closes the connection; the next piece of work opens another one."""
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens its own, with the password of its environment.
        server = {name: text for name, text in self.address.server.items() if name != "password"}
        address = replace(self.address, server=server)
        return {"address": address, "read_only": self.read_only, "connection": None}

    def __del__(self) -> None:
        if getattr(self, "connection", None) is not None:
            self.connection.close()


def load_psycopg() -> Any:
    """The library of the server, imported when first needed."""
    try:
        import psycopg
    except ImportError as error:
        raise missing_extra("psycopg", "postgres", "a table of Postgres") from error
    return psycopg
