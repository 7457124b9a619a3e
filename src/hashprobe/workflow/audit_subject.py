"""What an audit is of: a victim, queries as it sees them, and a database of codes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from hashprobe.attacks.search import Search, Wish
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.index.base import Searched
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.codes.readers.registry import read_codes
from hashprobe.codes.sharded_codes import AnyCodes, ShardedCodes
from hashprobe.data.arrays import as_bytes, as_pixels, by_size
from hashprobe.data.edits import edited_copies
from hashprobe.data.fitting import fit_image
from hashprobe.data.item_table import ItemTable
from hashprobe.data.picture_folder import picture_folder
from hashprobe.data.queries import Queries
from hashprobe.data.sources import BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.few_sources import FewSources
from hashprobe.evaluation.instances import Sources
from hashprobe.storage.files import fingerprint, jsonable
from hashprobe.text import without_password
from hashprobe.types import Labels, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import as_given, device_of, encode
from hashprobe.workflow.encode_step import few_workers, whole
from hashprobe.workflow.served_table import served_table
from hashprobe.workflow.shards import Parts


EDITABLE = 200
"""Queries whose pictures are kept at their own size, for benign edits."""
ENCODED = 64
"""Pictures in the victim at once."""
PROBED = 8
"""Pictures of a folder by whose codes a victim is known again."""


@dataclass(frozen=True, eq=False)
class Shown:
    """Pictures of queries: as they are, and as the victim is given them."""

    names: tuple[str, ...]
    originals: tuple[Tensor, ...]
    """uint8 (3, H, W) each, of any size; the first `EDITABLE`."""
    fitted: tuple[Tensor, ...]
    """uint8 (3, size, size), or of their own size for a victim of size 0."""
    paths: bool = False
    """Whether the names are paths of files, which may be ids of the database."""

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, eq=False)
class Subject:
    """A victim with its queries and its database, and what is known of both."""

    victim: Hasher
    queries: Shown
    clean: PackedCodes
    """Codes of the queries."""
    database: AnyCodes
    items: Sequence[str]
    """Ids of the database items."""
    sources: Sources
    """Which queries and items show the same picture."""
    labels: Labels | None = None
    """Labels of the queries, multi-hot; None where they, or those of the items, are not known."""
    item_labels: Bool[np.ndarray, "d c"] | None = None
    """The same of the items."""
    label_names: tuple[str, ...] = ()
    """Names of the labels, where a table gives them."""
    item_pictures: Sequence[Tensor] | None = None
    """Pictures of the items, where they are at hand."""
    floats: np.ndarray | None = None
    """(N, F) floats that are stored with the codes of the database; None without any."""
    again: Callable[[Hasher], PackedCodes] | None = None
    """Codes of the items by another victim; None where there are no pictures of them."""
    served: Searched | None = None
    """Who answers searches of the database for an adversary; None: an index in memory."""

    def __len__(self) -> int:
        return len(self.queries)

    def search(self, items: np.ndarray, radius: int, wish: Wish, top: int) -> Search:
        """A search of the database, and what each query is to reach there."""
        return Search(self.database, items, radius, wish, top, served=self.served)

    @cached_property
    def own(self) -> list[np.ndarray]:
        """Database positions of the items of each query's own source."""
        return self.sources.own

    def at(self, radius: int) -> "Subject":
        """The same with sources as the hash itself finds them, where nobody says any."""
        if self.sources.found != "alone":
            return self
        return replace(self, sources=Sources.by_hash(self.clean, self.database, radius))


def in_batches(victim: Hasher, pictures: Sequence[Any]) -> Iterator[tuple[list[int], Queries]]:
    """uint8 pictures, (3, H, W) each, some of one size at a time, and which they are."""
    for places in by_size(list(pictures)).values():
        for start in range(0, len(places), ENCODED):
            some = places[start : start + ENCODED]
            pixels = torch.stack([torch.as_tensor(pictures[place]) for place in some])
            yield some, as_given(pixels).on(device_of(victim))


def encoded(victim: Hasher, pictures: Sequence[Any]) -> PackedCodes:
    """Judged codes of uint8 pictures, (3, H, W) each, of one size or of several."""
    data = np.zeros((len(pictures), bytes_of(victim.bits)), np.uint8)
    for places, some in in_batches(victim, pictures):
        data[places] = encode(victim, some).data
    return PackedCodes(data, victim.bits)


def read_queries(victim: Hasher, given: Any, count: int, skip_bad: bool) -> tuple[Shown, list[str]]:
    """Pictures of queries from a folder or from arrays, and what was left out."""
    if isinstance(given, str | Path):
        return from_folder(victim, picture_folder(Path(given)), count, skip_bad)
    several = isinstance(given, list | tuple) and len(by_size(given)) > 1
    if several:
        pictures = [as_bytes(as_pixels(torch.as_tensor(one)[None]))[0] for one in given]
    else:
        pictures = list(as_bytes(as_pixels(given, "queries")))
    kept = [pictures[place] for place in spread(len(pictures), count)]
    names = tuple(str(place) for place in spread(len(pictures), count))
    return shown_of(victim, names, kept), []


def from_folder(
    victim: Hasher, split: Split, count: int, skip_bad: bool
) -> tuple[Shown, list[str]]:
    """Pictures of a folder, evenly spread."""
    names, pictures, bad = [], [], []
    for place in spread(len(split), count):
        try:
            pictures.append(torch.as_tensor(split.source.read(place)))
            names.append(str(split.ids[place]))
        except BadImage as error:
            if not skip_bad:
                raise HashprobeError(f"{error}; --skip-bad goes on without it") from error
            bad.append(str(error))
    if not pictures:
        raise HashprobeError("none of the queries can be decoded")
    return replace(shown_of(victim, tuple(names), pictures), paths=True), bad


def shown_of(victim: Hasher, names: tuple[str, ...], pictures: list[Tensor]) -> Shown:
    """Pictures with what the victim is given of them."""
    fitted = tuple(fit_image(one, victim.contract) for one in pictures)
    return Shown(names, tuple(pictures[:EDITABLE]), fitted)


def spread(total: int, count: int) -> list[int]:
    """So many places of all, evenly spread; all of them for 0."""
    if not count or total <= count:
        return list(range(total))
    places: list[int] = np.unique(np.linspace(0, total - 1, count).round().astype(int)).tolist()
    return places


class Places(Sequence[str]):
    """Ids of items that have none, their places from 0, without holding them.

    Args:
        size: how many there are.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, place: Any) -> Any:
        return str(range(self.size)[place])

    def __contains__(self, name: object) -> bool:
        text = str(name)
        return text.isdecimal() and text == str(int(text)) and int(text) < self.size

    def index(self, name: str, *_: Any) -> int:
        """The place of an id."""
        if name not in self:
            raise ValueError(name)
        return int(name)


COPIES = "copies"
"""The name of a database that the program makes: edited copies of the queries."""


@dataclass(frozen=True, eq=False)
class Database:
    """Codes that are searched, with the ids of their items."""

    codes: AnyCodes
    ids: Sequence[str]
    pictures: Sequence[Tensor] | None = None
    """As the victim is given them, where they are at hand."""
    sources: Sources | None = None
    """Which of them show the same picture as a query, where the program made them."""
    floats: np.ndarray | None = None
    """(N, F) floats that are stored with the codes; None without any."""
    served: Searched | None = None
    """Who answers searches, where it is a table that can be searched."""


@dataclass(frozen=True)
class DatabaseOptions:
    """How a database is read."""

    runtime: Runtime
    convention: BitConvention = field(default_factory=BitConvention)
    """How codes in files are stored."""
    keep: Path | None = None
    """Where codes of a folder are kept for the next time."""
    pictures: bool = False
    """Whether the pictures of a folder are wanted, too."""
    served: bool = False
    """Whether searches of a table are to be answered by its server."""


def read_database(victim: Hasher, given: Any, how: DatabaseOptions) -> Database:
    """A database from codes, files of codes, an address or a folder of pictures."""
    if isinstance(given, Codes):
        ids = tuple(str(place) for place in range(len(given)))
        return Database(given.packed, ids, pictures_of(victim, given.pictures))
    if is_sharded(given):
        sharded = ShardedCodes.open(given, victim.bits, how.convention)
        how.runtime.progress.log(f"{given}: {len(sharded):,} codes, which stay in their files")
        return Database(sharded, Places(len(sharded)))
    if isinstance(given, str | Path) and Path(given).is_dir():
        found = encoded_folder(victim, Path(given), how)
        if how.pictures:
            found = replace(found, pictures=all_of(victim, Path(given), found))
        return found
    stored = read_codes(given, victim.bits)
    if stored.codes.bits != victim.bits:
        raise HashprobeError(
            f"the codes of {without_password(str(given))} have {stored.codes.bits} bits but the "
            f"victim gives {victim.bits}"
        )
    codes = how.convention.read(stored.codes)
    served = served_table(str(given), how.convention) if how.served else None
    if served is not None:
        how.runtime.progress.log(f"searches are answered by {served.table.shown}")
    return Database(codes, tuple(stored.ids), floats=stored.floats, served=served)


def is_sharded(given: Any) -> bool:
    """Whether a database is a folder of files of codes, which stay there."""
    return (
        isinstance(given, str | Path) and Path(given).is_dir() and ShardedCodes.there(Path(given))
    )


def copies_of(victim: Hasher, queries: Shown, runtime: Runtime) -> Database:
    """Edited copies of the queries, a few each, as matching systems hold them.

    Raises:
        HashprobeError: more queries than are kept at their own size.
    """
    if len(queries.originals) < len(queries):
        raise HashprobeError(
            f"edited copies are made of at most {EDITABLE} queries: give --count {EDITABLE} or less"
        )
    copies = edited_copies([one.permute(1, 2, 0).numpy() for one in queries.originals])
    runtime.progress.log(f"the database is made of {len(copies)} edited copies of the queries")
    pictures = [fit_image(torch.from_numpy(one), victim.contract) for one in copies.channels_first]
    names = (f"{queries.names[s]} {e}" for s, e in zip(copies.sources, copies.edits, strict=True))
    sources = Sources(np.arange(len(queries)), copies.sources)
    return Database(encoded(victim, pictures), tuple(names), pictures, sources)


def pictures_of(victim: Hasher, pixels: Any) -> list[Tensor] | None:
    """Single pictures of an array as the victim is given them, where there is one."""
    if pixels is None:
        return None
    return [fit_image(one, victim.contract) for one in as_bytes(as_pixels(pixels))]


def encoded_folder(victim: Hasher, folder: Path, how: DatabaseOptions) -> Database:
    """Codes of all pictures of a folder; finished parts are kept where there is a place."""
    split = picture_folder(folder)
    mark = fingerprint({"files": marks_of(split), "victim": behaviour_of(victim, split)})
    place = None if how.keep is None else how.keep / f"database-{mark[:16]}.parts"
    parts = None if place is None else Parts(place, mark, victim.bits)
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    runtime = few_workers(how.runtime, split, device_of(victim))
    done = whole("database", split, victim, parts, runtime)
    return Database(done.codes, tuple(str(split.ids[row]) for row in done.positions))


def all_of(victim: Hasher, folder: Path, found: Database) -> list[Tensor]:
    """The pictures of the items of a folder, as the victim is given them."""
    split = picture_folder(folder)
    place = {str(name): row for row, name in enumerate(split.ids)}
    read = (torch.as_tensor(split.source.read(place[name])) for name in found.ids)
    return [fit_image(one, victim.contract) for one in read]


def marks_of(split: Split) -> list[str]:
    """What tells that the files of a folder are those of before."""
    marks = (split.source.fingerprint(place).hex() for place in range(len(split)))
    return [f"{name} {mark}" for name, mark in zip(split.ids, marks, strict=True)]


def behaviour_of(victim: Hasher, split: Split) -> Any:
    """Contract and weights of a victim, and its codes for the first pictures of a folder."""
    first = []
    for place in range(min(len(split), PROBED)):
        try:
            first.append(fit_image(torch.as_tensor(split.source.read(place)), victim.contract))
        except BadImage:
            continue
    codes = encoded(victim, first).data.tolist() if first else []
    return jsonable(
        {"contract": victim.contract.to_json(), "weights": sha256_weights(victim), "codes": codes}
    )


def sources_of(table: ItemTable | None, queries: Shown, base: Database) -> Sources:
    """Which queries and items show one picture: by a table's groups, equal paths, or unknown."""
    names, group = queries.names, dict[str, str]()
    if table is not None and table.groups is not None:
        group = dict(zip(table.ids, table.groups, strict=True))
    elif base.sources is not None:
        return base.sources

    def known(name: str) -> tuple[str, str]:
        return ("group", group[name]) if name in group else ("id", name)

    ids = base.ids if isinstance(base.ids, Places) else set(base.ids)
    if not group and not (queries.paths and any(name in ids for name in names)):
        return Sources.alone_in(len(names), base.codes)
    if not group and not isinstance(base.ids, Places):
        return Sources.of(list(names), list(base.ids))
    own = {each: at for at, each in enumerate(dict.fromkeys(map(known, names)))}
    asked = np.array([own[known(name)] for name in names], np.int64)
    if isinstance(base.ids, Places):
        first, numbers = len(own), dict[int, int]()
        for place in sorted({base.ids.index(each) for each in (*group, *names) if each in ids}):
            numbers[place] = own.setdefault(known(str(place)), first + place)
        listed = (np.array(list(part), np.int64) for part in (numbers, numbers.values()))
        return Sources(asked, FewSources(len(base.ids), first, *listed))
    # Copies belong to the group of their query; equal ids without a row are one picture.
    made = base.sources
    items = base.ids if made is None else [names[s] for s in made.items[:]]
    held = [own.setdefault(known(each), len(own)) for each in items]
    return Sources(asked, np.array(held, np.int64))


def labels_by_id(table: ItemTable | None, ids: Sequence[str]) -> Labels | None:
    """Labels of items by the table; None where it has none, or lacks some of the ids."""
    if table is None or table.labels is None or isinstance(ids, Places):
        return None  # labels of items in files are not held
    place = {name: row for row, name in enumerate(table.ids)}
    if any(each not in place for each in ids):
        return None
    labels: Labels = table.labels[[place[each] for each in ids]]
    return labels
