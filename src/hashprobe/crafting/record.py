"""The result of an attack, and the folder that it lives in: one file per query."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int8, Int64, UInt8
from PIL import Image
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.tensors import Images, Images8


FORMAT = 1
INDEX = "attack.json"


class Crafted(NamedTuple):
    """What is known of one query after the attack: the content of its file."""

    target_label: Bool[np.ndarray, " c"]
    target_code: Int8[np.ndarray, " k"]
    image: Float32[np.ndarray, "*t 3 h w"]
    image8: UInt8[np.ndarray, "*t 3 h w"]
    code_float: UInt8[np.ndarray, " b"]
    code: UInt8[np.ndarray, " b"]
    clean_code: UInt8[np.ndarray, " b"]
    forwards: int
    backwards: int
    seconds: float
    length: int = 0
    """Frames of a clip; 0 for an image."""


def without_pixels(one: Crafted) -> Crafted:
    """The same with pixel arrays of no rows, for what lies in a file."""
    # Fresh arrays: a slice of nothing would still hold on to the whole.
    return one._replace(
        image=np.empty((0, *one.image.shape), one.image.dtype),
        image8=np.empty((0, *one.image8.shape), one.image8.dtype),
    )


@dataclass(frozen=True)
class Stored:
    """Pixels of attacked queries that stay in their files until some are asked for.

    Example:
        >>> Stored(Path("runs/photos/attacks/dhta"), "image8", (7, 9), (3, 224, 224), {}).shape
        torch.Size([2, 3, 224, 224])
    """

    folder: Path
    """Where the queries' files are."""
    part: str
    """`image` or `image8`."""
    query_ids: tuple[int, ...]
    """Whose files, in order."""
    size: tuple[int, ...]
    """(3, H, W)."""
    recipe: Mapping[str, Any]
    """How they were made: files that another attack has put there since are refused."""

    @property
    def shape(self) -> torch.Size:
        """(Q, 3, H, W)."""
        return torch.Size((len(self), *self.size))

    def __len__(self) -> int:
        return len(self.query_ids)

    def __getitem__(self, rows: int | np.integer | slice) -> Tensor:
        """One query, or the queries of a slice.

        Raises:
            HashprobeError: a file that is missing, damaged or of another attack.
        """
        if not isinstance(rows, slice):
            return self.read(self.query_ids[rows])
        some = [self.read(query_id) for query_id in self.query_ids[rows]]
        kind = torch.uint8 if self.part == "image8" else torch.float32
        return torch.stack(some) if some else torch.empty((0, *self.size), dtype=kind)

    def read(self, query_id: int) -> Tensor:
        """The pixels of one query."""
        one = read_query(self.folder, self.recipe, query_id)
        return torch.from_numpy(getattr(one, self.part))


@dataclass(frozen=True, eq=False)
class Attacked:
    """Q attacked queries, re-encoded by the library: as floats and as 8-bit images.

    `craft` makes it and, with `out`, its folder: `attack.json`, `queries/<query id>.npz` and
    `png/<query id>.png`.

    Raises:
        HashprobeError: parts of different lengths.

    Example:
        >>> codes = PackedCodes.from_signs([[1] * 8])
        >>> one = Attacked(
        ...     query_ids=np.array([7]), target_labels=np.array([[True]]),
        ...     target_codes=np.ones((1, 8), np.int8), images=torch.zeros(1, 3, 4, 4),
        ...     images8=torch.zeros(1, 3, 4, 4, dtype=torch.uint8), codes_float=codes,
        ...     codes=codes, clean_codes=codes, forwards=np.array([5]), backwards=np.array([5]),
        ...     seconds=0.1)
        >>> len(one), one.codes.bits
        (1, 8)
    """

    query_ids: Int64[np.ndarray, " q"]
    """The id of each query, from 0."""
    target_labels: Bool[np.ndarray, "q c"]
    """The label each query was steered to, multi-hot."""
    target_codes: Int8[np.ndarray, "q k"]
    """The code each query was steered to: -1 and +1, or 0 for a tied bit left alone."""
    images: Images | Stored
    """float32 adversarial queries in [0, 1], projected onto the budget, before rounding; on CPU."""
    images8: Images8 | Stored
    """The same rounded to 8 bits, within the budget: what the PNG files hold; on CPU."""
    codes_float: PackedCodes
    """Codes of `images`, to compare with publications that do not round."""
    codes: PackedCodes
    """Codes of `images8`: what an adversary who sends a picture gets."""
    clean_codes: PackedCodes
    """Codes of the clean queries."""
    forwards: Int64[np.ndarray, " q"]
    """Forward passes of the hasher while the query was attacked; encoding is not counted."""
    backwards: Int64[np.ndarray, " q"]
    """Backward passes likewise."""
    seconds: float
    """Time spent in the attack itself, over all queries."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: attack, options, budget, seed, version and checksums of what went in."""

    def __post_init__(self) -> None:
        lengths = {
            name: len(getattr(self, name))
            for name in type(self).__dataclass_fields__
            if name not in ("seconds", "recipe")
        }
        if len(set(lengths.values())) > 1:
            seen = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise HashprobeError(f"an attack's parts must be one per query; got {seen}")

    def __len__(self) -> int:
        return len(self.query_ids)

    @classmethod
    def collect(
        cls,
        query_ids: list[int],
        crafted: list[Crafted],
        recipe: Mapping[str, Any],
        folder: Path | None = None,
    ) -> "Attacked":
        """Puts single queries together.

        Args:
            query_ids: Q ids.
            crafted: what is known of each, in the same order.
            recipe: how they were made.
            folder: where their pixels are, if `crafted` has them no longer.

        Raises:
            HashprobeError: queries of different sizes or code lengths.
        """
        first = crafted[0]
        shape = first.image8.shape[1:]  # of files, whose pixels are not held here
        for query_id, one in zip(query_ids, crafted, strict=True):
            if [np.shape(part) for part in one] != [np.shape(part) for part in first]:
                raise HashprobeError(
                    f"query {query_id} has another size or code length than query {query_ids[0]}"
                )
        part = {name: np.stack([getattr(c, name) for c in crafted]) for name in first._fields}
        images: Images | Stored = torch.from_numpy(part["image"])
        images8: Images8 | Stored = torch.from_numpy(part["image8"])
        if folder is not None:
            images = Stored(folder, "image", tuple(query_ids), shape, recipe)
            images8 = Stored(folder, "image8", tuple(query_ids), shape, recipe)
        bits = len(first.target_code)
        return cls(
            query_ids=np.array(query_ids, np.int64),
            target_labels=part["target_label"],
            target_codes=part["target_code"],
            images=images,
            images8=images8,
            codes_float=PackedCodes(part["code_float"], bits),
            codes=PackedCodes(part["code"], bits),
            clean_codes=PackedCodes(part["clean_code"], bits),
            forwards=part["forwards"].astype(np.int64),
            backwards=part["backwards"].astype(np.int64),
            seconds=float(part["seconds"].sum()),
            recipe=recipe,
        )

    @classmethod
    def load(cls, folder: Path) -> "Attacked":
        """Reads a folder written by `craft` with `out`.

        Args:
            folder: with `attack.json` inside.

        Raises:
            HashprobeError: no such folder, another format, an attack that has not finished, or a
                query file that is damaged or belongs to another attack.

        Example:
            >>> Attacked.load(Path("no/such/folder"))
            Traceback (most recent call last):
            ...
            hashprobe.errors.HashprobeError: no attack in no/such/folder: attack.json is missing
        """
        index = read_index(folder)
        if index is None:
            raise HashprobeError(f"no attack in {folder}: {INDEX} is missing")
        recipe, ids = index
        missing = [i for i in ids if not query_path(folder, i).exists()]
        if missing:
            raise HashprobeError(
                f"the attack in {folder} has finished {len(ids) - len(missing)} of {len(ids)} "
                "queries: run it again to go on"
            )
        crafted = [without_pixels(read_query(folder, recipe, i)) for i in ids]
        return cls.collect(ids, crafted, recipe, folder)


def query_path(folder: Path, query_id: int) -> Path:
    """The arrays of a query; once this file is there the query is finished."""
    return folder / "queries" / f"{query_id}.npz"


def png_path(folder: Path, query_id: int) -> Path:
    """The adversarial query as a picture."""
    return folder / "png" / f"{query_id}.png"


def pictures(folder: Path, query_id: int, one: Crafted) -> dict[Path, bytes]:
    """The adversarial query as lossless pictures: one of an image, one a frame of a clip."""
    whole = png_path(folder, query_id)
    if not one.length:
        return {whole: png_bytes(one.image8)}
    frames = whole.with_suffix("")
    return {frames / f"{i:03d}.png": png_bytes(one.image8[i]) for i in range(one.length)}


def write_query(folder: Path, recipe: Mapping[str, Any], query_id: int, one: Crafted) -> None:
    """Writes the pictures, then the arrays with the recipe's checksum."""
    for path, content in pictures(folder, query_id, one).items():
        files.write_bytes(path, content)
    arrays = {name: np.asarray(value) for name, value in one._asdict().items()}
    made_by = np.array(files.fingerprint(recipe))
    files.write_npz(query_path(folder, query_id), {"recipe": made_by, **arrays})


def read_query(folder: Path, recipe: Mapping[str, Any], query_id: int) -> Crafted:
    """Reads a finished query.

    Raises:
        HashprobeError: the file is damaged, or was made by another recipe.
    """
    path = query_path(folder, query_id)
    arrays = files.read_npz(path)
    if str(arrays.pop("recipe", "")) != files.fingerprint(recipe):
        raise HashprobeError(f"{path} belongs to another attack than {INDEX} beside it")
    arrays.setdefault("length", np.array(0))  # files of images from before there were clips
    if set(arrays) != set(Crafted._fields):
        raise HashprobeError(f"{path} is no attacked query: it holds {', '.join(arrays)}")
    single = ("forwards", "backwards", "seconds", "length")
    counts = {name: arrays.pop(name) for name in single}
    return Crafted(
        **arrays,
        forwards=int(counts["forwards"]),
        backwards=int(counts["backwards"]),
        seconds=float(counts["seconds"]),
        length=int(counts["length"]),
    )


def png_bytes(image8: UInt8[np.ndarray, "3 h w"]) -> bytes:
    """A lossless picture, as its file holds it."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image8.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


def repair_png(folder: Path, query_id: int, one: Crafted) -> None:
    """Writes the pictures of a finished query again where their files are not what they must be.

    Raises:
        HashprobeError: a file that can be neither read nor replaced.
    """
    for path, wanted in pictures(folder, query_id, one).items():
        try:
            found = path.read_bytes()
        except OSError:
            # Missing, or no file at all: what is really wrong is said when it is written.
            found = b""
        if found != wanted:
            files.write_bytes(path, wanted)


def write_index(folder: Path, recipe: Mapping[str, Any], query_ids: list[int]) -> None:
    """Writes what the folder is about."""
    files.write_json(folder / INDEX, {"format": FORMAT, "recipe": recipe, "query_ids": query_ids})


def read_index(folder: Path) -> tuple[dict[str, Any], list[int]] | None:
    """Recipe and query ids of a folder, or None where there is none.

    Raises:
        HashprobeError: the file is damaged, or of another format.
    """
    path = folder / INDEX
    if not path.exists():
        return None
    index = files.read_json(path)
    if not isinstance(index, dict) or "format" not in index:
        raise HashprobeError(f"{path} does not describe an attack")
    if index["format"] != FORMAT:
        raise HashprobeError(
            f"{path} has format {index['format']}; this hashprobe reads {FORMAT}: "
            "use the version that wrote it, or attack again"
        )
    recipe, ids = index.get("recipe"), index.get("query_ids")
    whole = isinstance(ids, list) and len(ids) > 0 and all(type(i) is int for i in ids)
    if not isinstance(recipe, dict) or not isinstance(ids, list) or not whole:
        raise HashprobeError(f"{path} is damaged: it lacks a recipe or query ids")
    return recipe, ids


def clear(folder: Path) -> None:
    """Throws away an attack's own files, and no others; a folder without an index has none.

    Raises:
        HashprobeError: a file that cannot be removed.
    """
    index = folder / INDEX
    if not index.exists():
        return
    patterns = ("queries/*.npz", "png/*.png", "mp4/*.mp4")
    own = [path for pattern in patterns for path in folder.glob(pattern)]
    frames = [path for path in folder.glob("png/*/*.png") if path.parent.name.isdigit()]
    for path in [*(path for path in (*own, *frames) if path.stem.isdigit()), index]:
        try:
            path.unlink()
        except OSError as error:
            raise files.os_error(error, path) from error
