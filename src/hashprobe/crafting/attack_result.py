"""What an attack returns: adversarial queries with their codes, in memory or in a folder."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int8, Int64
from torch import Tensor

from hashprobe.attacks.registry import AttackSpec
from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.query_files import (
    QueryRecord,
    pictures,
    read_query,
    without_pixels,
    write_queries,
)
from hashprobe.crafting.query_shards import (
    Columns,
    cached_shard,
    count_finished,
    each_shard,
    read_shard,
    rows_of,
    shard_path,
    shard_size,
    write_shard,
)
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import fingerprint, jsonable, write_bytes
from hashprobe.storage.schema import RECORD, AttackRecord
from hashprobe.tensors import Images, Images8
from hashprobe.types import Labels


@dataclass(frozen=True)
class LazyPixels:
    """Pixels of attacked queries that stay in their files until some are asked for.

    Example:
        >>> LazyPixels(Path("runs/photos/attacks/dhta"), "image8", (7, 9), (3, 224, 224), {}).shape
        torch.Size([2, 3, 224, 224])
    """

    folder: Path
    """Where the queries' files are."""
    part: str
    """`image` or `image8`."""
    query_ids: tuple[int, ...]
    """Whose files, in order."""
    size: tuple[int, ...]
    """(3, H, W), or (T, 3, H, W)."""
    recipe: Mapping[str, Any]
    """How they were made: files that another attack has put there since are refused."""
    shard: int | None = None
    """Consecutive queries that share a file; None where each has its own."""

    @property
    def shape(self) -> torch.Size:
        """(Q, 3, H, W), or (Q, T, 3, H, W)."""
        return torch.Size((len(self), *self.size))

    def __len__(self) -> int:
        return len(self.query_ids)

    def __getitem__(self, rows: int | np.integer | slice) -> Tensor:
        """One query, or the queries of a slice.

        Raises:
            HashprobeError: a file that is missing, damaged or of another attack.
        """
        places = range(len(self))
        if not isinstance(rows, slice):
            return self.read(places[rows])
        some = [self.read(place) for place in places[rows]]
        kind = torch.uint8 if self.part == "image8" else torch.float32
        return torch.stack(some) if some else torch.empty((0, *self.size), dtype=kind)

    @cached_property
    def mark(self) -> str:
        """The fingerprint of the recipe, which every file must name."""
        return fingerprint(self.recipe)

    def read(self, row: int) -> Tensor:
        """The pixels of the query at a place."""
        if self.shard is None:
            one = read_query(self.folder, self.recipe, self.query_ids[row])
            return torch.from_numpy(getattr(one, self.part))
        start = row - row % self.shard
        ids = self.query_ids[start : start + self.shard]
        held = cached_shard(self.folder, self.mark, start, ids)
        return torch.from_numpy(held[self.part][row - start].copy())


@checked
@dataclass(frozen=True, eq=False)
class AttackResult:
    """Q attacked queries, encoded again by the library: as floats and as 8-bit images.

    `hashprobe.attack` makes it and, with `out`, its folder: `attack.json` and, of up to 1,000
    queries, `queries/<id>.npz` and `png/<id>.png`; more queries are in `queries/shard-<place>.npz`,
    about 64 MiB of pixels in each.

    Raises:
        HashprobeError: parts of different lengths.

    Example:
        >>> codes = PackedCodes.from_signs([[1] * 8])
        >>> one = AttackResult(
        ...     query_ids=np.array([7]), images=torch.zeros(1, 3, 4, 4),
        ...     images8=torch.zeros(1, 3, 4, 4, dtype=torch.uint8), codes_float=codes,
        ...     codes=codes, clean_codes=codes, forwards=np.array([5]), backwards=np.array([5]),
        ...     seconds=0.1)
        >>> len(one), one.codes.bits, one.target_codes
        (1, 8, None)
    """

    query_ids: Int64[np.ndarray, " q"]
    """The id of each query, from 0."""
    images: Images | LazyPixels
    """float32 adversarial queries in [0, 1], projected onto the budget, before rounding; on CPU."""
    images8: Images8 | LazyPixels
    """The same rounded to 8 bits, within the budget: what the PNG files hold; on CPU."""
    codes_float: PackedCodes
    """Codes of `images`, to compare with publications that do not round."""
    codes: PackedCodes
    """Codes of `images8`: what an adversary who sends a picture gets."""
    clean_codes: PackedCodes
    """Codes of the clean queries."""
    forwards: Int64[np.ndarray, " q"]
    """Forward passes of the victim while the query was attacked; encoding is not counted."""
    backwards: Int64[np.ndarray, " q"]
    """Backward passes likewise."""
    seconds: float
    """Time spent in the attack itself, over all queries."""
    target_labels: Bool[np.ndarray, "q c"] | None = None
    """The label that each query is scored with, multi-hot; None without target labels."""
    target_codes: Int8[np.ndarray, "q k"] | None = None
    """The code that each query is scored with: -1 and +1, or 0 for a bit left alone; or None."""
    spec: AttackSpec | None = None
    """What was asked; None for a folder of an attack that is not registered."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How it was made, as JSON: spec, precision and checksums of what went in."""
    clean: Queries | None = None
    """The clean queries, where they are known."""
    own_labels: Labels | None = None
    """(Q, C) labels of the queries themselves, multi-hot, where they are known."""

    def __post_init__(self) -> None:
        parts = ("query_ids", "images", "images8", "codes_float", "codes", "clean_codes")
        more = ("forwards", "backwards", "target_labels", "target_codes", "own_labels")
        lengths = {
            name: len(getattr(self, name))
            for name in (*parts, *more)
            if getattr(self, name) is not None
        }
        if len(set(lengths.values())) > 1:
            seen = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise HashprobeError(f"an attack's parts must be one per query; got {seen}")

    def __len__(self) -> int:
        return len(self.query_ids)

    @property
    def shard(self) -> int | None:
        """Consecutive queries that share a file; None where there are no such files."""
        return self.images.shard if isinstance(self.images, LazyPixels) else None

    @classmethod
    def collect(
        cls,
        queries: list[QueryRecord],
        query_ids: tuple[int, ...],
        recipe: Mapping[str, Any],
        folder: Path | None = None,
        **more: Any,
    ) -> "AttackResult":
        """Puts single queries together.

        Args:
            queries: what is known of each.
            query_ids: their ids, in the same order.
            recipe: how they were made.
            folder: where their files are; pixels that `queries` has no longer stay there.
            more: `spec`, `clean` and `own_labels`.

        Raises:
            HashprobeError: queries of different sizes or code lengths.
        """
        part = rows_of(queries, query_ids, folder)
        images: Images | LazyPixels = torch.from_numpy(part.pop("image"))
        images8: Images8 | LazyPixels = torch.from_numpy(part.pop("image8"))
        if folder is not None and not queries[0].image8.size:
            shape = queries[0].image8.shape[1:]  # of files, whose pixels are not held here
            images = LazyPixels(folder, "image", query_ids, shape, recipe)
            images8 = LazyPixels(folder, "image8", query_ids, shape, recipe)
        return cls.of_columns(part, query_ids, recipe, images=images, images8=images8, **more)

    @classmethod
    def of_shards(
        cls,
        folder: Path,
        recipe: Mapping[str, Any],
        query_ids: tuple[int, ...],
        shard: int,
        **more: Any,
    ) -> "AttackResult":
        """Reads the files of many queries; pixels stay on the disk.

        Args:
            folder: where they are.
            recipe: how they were made.
            query_ids: the ids of all queries.
            shard: consecutive queries in each file.
            more: `spec`, `clean` and `own_labels`.

        Raises:
            HashprobeError: a file that is missing, damaged or of another attack.
        """
        mark, parts = fingerprint(recipe), []
        for start, ids in each_shard(query_ids, shard):
            parts.append(read_shard(folder, mark, start, ids, pixels=False))
            for name in ("target_label", "target_code", "code", "shape"):
                if parts[-1][name].shape[1:] != parts[0][name].shape[1:]:
                    raise HashprobeError(
                        f"{shard_path(folder, start)} has another size or code length than the "
                        "first file"
                    )
        size = tuple(parts[0]["shape"].tolist())
        names = set(parts[0]) - {"shape"}
        part = {name: np.concatenate([some[name] for some in parts]) for name in names}
        images = LazyPixels(folder, "image", query_ids, size, recipe, shard)
        images8 = LazyPixels(folder, "image8", query_ids, size, recipe, shard)
        return cls.of_columns(part, query_ids, recipe, images=images, images8=images8, **more)

    @classmethod
    def of_columns(
        cls, part: Columns, query_ids: tuple[int, ...], recipe: Mapping[str, Any], **more: Any
    ) -> "AttackResult":
        """Names the arrays of a result; `more` are the pixels and what `collect` takes."""
        bits = int(recipe.get("bits", 0)) or part["target_code"].shape[1]
        bits = bits or 8 * part["code"].shape[1]
        return cls(
            query_ids=np.array(query_ids, np.int64),
            target_labels=part["target_label"] if part["target_label"].size else None,
            target_codes=part["target_code"] if part["target_code"].size else None,
            codes_float=PackedCodes(part["code_float"], bits),
            codes=PackedCodes(part["code"], bits),
            clean_codes=PackedCodes(part["clean_code"], bits),
            forwards=part["forwards"].astype(np.int64),
            backwards=part["backwards"].astype(np.int64),
            seconds=float(part["seconds"].sum()),
            recipe=recipe,
            **more,
        )

    @classmethod
    @checked
    def load(cls, folder: str | Path) -> "AttackResult":
        """Reads a folder that an attack or `save` has written.

        Args:
            folder: with `attack.json` inside.

        Raises:
            HashprobeError: no such folder, another format, an attack that has not finished, or a
                query file that is damaged or belongs to another attack.

        Example:
            >>> AttackResult.load("no/such/folder")
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: no attack in no/such/folder: attack.json is missing
        """
        folder = Path(folder)
        record = AttackRecord.read(folder)
        if record is None:
            raise HashprobeError(f"no attack in {folder}: {RECORD} is missing")
        ids = record.query_ids
        done = count_finished(folder, ids, record.shard)
        if done < len(ids):
            raise HashprobeError(
                f"the attack in {folder} has finished {done} of {len(ids)} queries: run it again "
                "to go on"
            )
        if record.shard is not None:
            return cls.of_shards(folder, record.recipe, ids, record.shard)
        queries = [without_pixels(read_query(folder, record.recipe, i)) for i in ids]
        return cls.collect(queries, ids, record.recipe, folder)

    @checked
    def save(self, folder: str | Path) -> Path:
        """Writes the result as a folder that `load` reads: `attack.json`, arrays and pictures.

        Args:
            folder: new or empty.

        Returns:
            The folder.

        Raises:
            HashprobeError: the folder holds something, or cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise HashprobeError(f"{folder} is not an empty folder: choose a new one")
        ids = tuple(int(i) for i in self.query_ids)
        shard = shard_size(len(ids), math.prod(self.images8.shape[1:]))
        AttackRecord(self.recipe, ids, shard=shard).write(folder)
        for start, some in each_shard(ids, shard or 1):
            records = [self.query(start + number) for number in range(len(some))]
            if shard is None:
                write_queries(folder, self.recipe, {some[0]: records[0]})
            else:
                write_shard(folder, self.recipe, start, some, rows_of(records, some))
        return folder

    @checked
    def save_pictures(self, folder: str | Path, rows: Iterable[int]) -> list[Path]:
        """Writes some adversarial queries as lossless pictures, one of an image or a frame.

        Up to 1,000 queries have them in `png/` of the attack's folder already.

        Args:
            folder: `png/<id>.png` appears in it, of clips `png/<id>/<frame>.png`.
            rows: places of queries, 0 to len - 1.

        Returns:
            The files.

        Raises:
            HashprobeError: a place that is not there, or the disk refuses.

        Example:
            >>> import tempfile
            >>> codes = PackedCodes.from_signs([[1] * 8])
            >>> one = AttackResult(
            ...     query_ids=np.array([7]), images=torch.zeros(1, 3, 4, 4),
            ...     images8=torch.zeros(1, 3, 4, 4, dtype=torch.uint8), codes_float=codes,
            ...     codes=codes, clean_codes=codes, forwards=np.array([5]),
            ...     backwards=np.array([5]), seconds=0.1)
            >>> [path.name for path in one.save_pictures(tempfile.mkdtemp(), [0])]
            ['7.png']
        """
        written = []
        for row in rows:
            if not 0 <= row < len(self):
                raise HashprobeError(f"rows must be 0 to {len(self) - 1}; got {row}")
            content = pictures(Path(folder), int(self.query_ids[row]), self.query(row))
            for path, data in content.items():
                write_bytes(path, data)
                written.append(path)
        return written

    def query(self, row: int) -> QueryRecord:
        """What is known of one query."""
        labels, codes = self.target_labels, self.target_codes
        lengths = None if self.clean is None else self.clean.lengths
        return QueryRecord(
            target_label=np.zeros(0, bool) if labels is None else labels[row],
            target_code=np.zeros(0, np.int8) if codes is None else codes[row],
            image=self.images[row].numpy(),
            image8=self.images8[row].numpy(),
            code_float=self.codes_float.data[row],
            code=self.codes.data[row],
            clean_code=self.clean_codes.data[row],
            forwards=int(self.forwards[row]),
            backwards=int(self.backwards[row]),
            seconds=self.seconds / len(self),
            length=0 if lengths is None else int(lengths[row]),
        )

    def to_json(self) -> dict[str, Any]:
        """What was asked and what came out, without pixels: codes as +1/-1 strings in hexadecimal.

        Example:
            >>> codes = PackedCodes.from_signs([[1] * 8])
            >>> one = AttackResult(
            ...     query_ids=np.array([7]), images=torch.zeros(1, 3, 4, 4),
            ...     images8=torch.zeros(1, 3, 4, 4, dtype=torch.uint8), codes_float=codes,
            ...     codes=codes, clean_codes=codes, forwards=np.array([5]),
            ...     backwards=np.array([5]), seconds=0.1)
            >>> one.to_json()["queries"]
            [{'id': 7, 'code': 'ff', 'clean_code': 'ff', 'forwards': 5, 'backwards': 5}]
        """
        queries = [
            {
                "id": int(self.query_ids[row]),
                "code": self.codes.data[row].tobytes().hex(),
                "clean_code": self.clean_codes.data[row].tobytes().hex(),
                "forwards": int(self.forwards[row]),
                "backwards": int(self.backwards[row]),
            }
            for row in range(len(self))
        ]
        record: dict[str, Any] = jsonable(
            {
                "recipe": self.recipe,
                "bits": self.codes.bits,
                "seconds": self.seconds,
                "queries": queries,
            }
        )
        return record
