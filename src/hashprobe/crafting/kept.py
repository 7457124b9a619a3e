"""Where the finished queries of an attack are: in memory, in a file each, or in shards of many."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.query_files import (
    QueryRecord,
    query_path,
    read_query,
    repair_png,
    without_pixels,
    write_queries,
)
from hashprobe.crafting.query_shards import each_shard, read_shard, rows_of, write_shard
from hashprobe.errors import HashprobeError
from hashprobe.storage import files


PATIENCE = 20.0
"""Seconds after which queries of a shard that is not whole are kept in a file each."""
WAITING_BYTES = 256 << 20
"""Pixels of queries that wait in memory for the others of their shard."""


HELD_BYTES = 64 << 20
"""Pixels of finished queries up to which they stay in memory beside their files."""


class Kept:
    """Finished queries in memory, or in a file each.

    Pixels of few queries stay in memory, too, so that what measures them reads no files.

    Args:
        ids: of all queries, in order.
        recipe: how they are made.
        out: the folder of the attack; None keeps them in memory.
    """

    def __init__(self, ids: tuple[int, ...], recipe: Mapping[str, Any], out: Path | None) -> None:
        self.ids, self.recipe, self.out = ids, dict(recipe), out
        self.done: dict[int, QueryRecord] = {}
        self.room = HELD_BYTES
        self.size: int | None = None
        """Queries of a shard; None where each has a file of its own."""

    def __len__(self) -> int:
        return len(self.done)

    def read(self) -> None:
        """Takes over what is in the folder; what is missing, damaged or foreign is left out."""
        assert self.out is not None
        for query_id in self.ids:
            try:
                one = read_query(self.out, self.recipe, query_id)
            except HashprobeError:
                continue
            repair_png(self.out, query_id, one)
            self.take(query_id, one)

    def pending(self) -> list[int]:
        """The places of the queries that are not finished."""
        return [row for row, query_id in enumerate(self.ids) if query_id not in self.done]

    def clean_codes(self, most: int) -> dict[int, np.ndarray]:
        """The clean codes of the first finished queries by their places."""
        rows = [row for row, query_id in enumerate(self.ids) if query_id in self.done][:most]
        return {row: self.done[self.ids[row]].clean_code for row in rows}

    def keep(self, finished: dict[int, QueryRecord]) -> None:
        """Takes finished queries by their ids."""
        if self.out is not None:
            write_queries(self.out, self.recipe, finished)
        for query_id, one in finished.items():
            self.take(query_id, one)

    def take(self, query_id: int, one: QueryRecord) -> None:
        """Takes one finished query; from some size on pixels stay in their files alone."""
        held = self.room >= 0
        if self.out is not None:
            self.room -= one.image.nbytes + one.image8.nbytes
        self.done[query_id] = one if held else without_pixels(one)
        if held and self.room < 0:
            self.done = {row: without_pixels(each) for row, each in self.done.items()}

    def close(self) -> None:
        """Writes what waits in memory."""

    def result(self, **more: Any) -> AttackResult:
        """All queries together; `more` are `spec`, `clean` and `own_labels`."""
        records = [self.done[query_id] for query_id in self.ids]
        return AttackResult.collect(records, self.ids, self.recipe, self.out, **more)


class KeptInShards(Kept):
    """Finished queries in files of many.

    The queries of a shard wait in memory until it is whole, but not for long: then they are written
    to a file each, which the shard replaces once it is whole. Its bytes do not depend on the
    interruptions.

    Args:
        ids: of all queries, in order.
        recipe: how they are made.
        out: the folder of the attack.
        size: queries of a shard.
    """

    def __init__(
        self, ids: tuple[int, ...], recipe: Mapping[str, Any], out: Path, size: int
    ) -> None:
        super().__init__(ids, recipe, out)
        self.folder: Path = out
        self.size: int = size
        self.place = {query_id: row for row, query_id in enumerate(ids)}
        self.there = np.zeros(len(ids), bool)
        self.waiting: dict[int, QueryRecord] = {}
        """By place: finished, and not yet on the disk."""
        self.alone: set[int] = set()
        """Places of the queries that have a file of their own."""
        self.whole: set[int] = set()
        """Places at which shards begin that are on the disk."""
        self.last = time.monotonic()

    def __len__(self) -> int:
        return int(self.there.sum()) - len(self.waiting)

    def read(self) -> None:
        """Takes over whole shards, and single queries of the others."""
        mark = files.fingerprint(self.recipe)
        single = {path.name for path in (self.folder / "queries").glob("[0-9]*.npz")}
        for start, ids in each_shard(self.ids, self.size):
            rows = range(start, start + len(ids))
            found = [row for row in rows if f"{self.ids[row]}.npz" in single]
            with suppress(HashprobeError):
                read_shard(self.folder, mark, start, ids)
                self.there[start : rows.stop] = True
                self.whole.add(start)
                self.forget(found)
                continue
            for row in found:
                with suppress(HashprobeError):
                    read_query(self.folder, self.recipe, self.ids[row])
                    self.alone.add(row)
                    self.there[row] = True
            self.finish(start)

    def pending(self) -> list[int]:
        """The places of the queries that are not finished."""
        missing: list[int] = np.flatnonzero(~self.there).tolist()
        return missing

    def clean_codes(self, most: int) -> dict[int, np.ndarray]:
        """The clean codes of the first finished queries by their places."""
        codes, mark = {}, files.fingerprint(self.recipe)
        for row in np.flatnonzero(self.there)[:most].tolist():
            if row in self.alone:
                codes[row] = read_query(self.folder, self.recipe, self.ids[row]).clean_code
                continue
            start = row - row % self.size
            ids = self.ids[start : start + self.size]
            part = read_shard(self.folder, mark, start, ids, pixels=False)
            codes[row] = part["clean_code"][row - start]
        return codes

    def keep(self, finished: dict[int, QueryRecord]) -> None:
        """Takes finished queries by their ids; writes shards that are whole."""
        # A batch that was not whole is attacked again; shards that it filled already stay.
        placed = {self.place[query_id]: one for query_id, one in finished.items()}
        rows = [row for row in placed if row - row % self.size not in self.whole]
        self.waiting.update({row: placed[row] for row in rows})
        self.there[rows] = True
        for start in sorted({row - row % self.size for row in rows}):
            self.finish(start)
        late = time.monotonic() - self.last > PATIENCE
        large = sum(one.image.nbytes + one.image8.nbytes for one in self.waiting.values())
        if self.waiting and (late or large > WAITING_BYTES):
            self.close()

    def finish(self, start: int) -> None:
        """Writes a shard if all of its queries are finished and it is not on the disk."""
        ids = self.ids[start : start + self.size]
        rows = range(start, start + len(ids))
        if not self.there[start : rows.stop].all():
            return
        alone = [row for row in rows if row in self.alone]
        for row in set(alone) - set(self.waiting):
            self.waiting[row] = read_query(self.folder, self.recipe, self.ids[row])
        records = [self.waiting[row] for row in rows]
        write_shard(self.folder, self.recipe, start, ids, rows_of(records, ids))
        self.whole.add(start)
        self.forget(alone)
        self.alone.difference_update(alone)
        for row in rows:
            del self.waiting[row]
        self.last = time.monotonic()

    def forget(self, rows: list[int]) -> None:
        """Removes the files of single queries that a shard holds."""
        for row in rows:
            files.remove(query_path(self.folder, self.ids[row]))

    def close(self) -> None:
        """Writes the queries that wait for others to a file each."""
        queries = {self.ids[row]: self.waiting[row] for row in sorted(self.waiting)}
        write_queries(self.folder, self.recipe, queries, with_pictures=False)
        self.alone.update(self.waiting)
        self.waiting.clear()
        self.last = time.monotonic()

    def result(self, **more: Any) -> AttackResult:
        """All queries together; see `Kept.result`."""
        return AttackResult.of_shards(self.folder, self.recipe, self.ids, self.size, **more)


def kept_at(
    out: Path | None, recipe: Mapping[str, Any], ids: tuple[int, ...], shard: int | None
) -> Kept:
    """Where an attack keeps its finished queries."""
    if out is None or shard is None:
        return Kept(ids, recipe, out)
    return KeptInShards(ids, recipe, out, shard)
