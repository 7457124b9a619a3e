"""The folder of an attack: one file for each query, its picture, and the record of all."""

import io
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int8, UInt8
from PIL import Image

from hashprobe.errors import HashprobeError
from hashprobe.storage import files
from hashprobe.storage.archive import Member, check_members
from hashprobe.storage.guards import refuse_links
from hashprobe.storage.schema import RECORD, AttackRecord
from hashprobe.storage.together import write_together


SHARD = re.compile(r"shard-\d{10}\.npz")
"""The name of a file of many queries."""


class QueryRecord(NamedTuple):
    """What is known of one query after the attack: the content of its file."""

    target_label: Bool[np.ndarray, " c"]
    """Empty where there is no target."""
    target_code: Int8[np.ndarray, " k"]
    """Empty where there is no target."""
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


MEMBERS = {
    "target_label": Member("bool", "c"),
    "target_code": Member("int8", "k"),
    "image": Member("float32", "3 h w"),
    "image8": Member("uint8", "3 h w"),
    "code_float": Member("uint8", "b"),
    "code": Member("uint8", "b"),
    "clean_code": Member("uint8", "b"),
    "forwards": Member("whole"),
    "backwards": Member("whole"),
    "seconds": Member("number"),
    "length": Member("whole"),
}
"""What the file of an attacked image holds beside its recipe."""
CLIP_MEMBERS = MEMBERS | {
    "image": Member("float32", "t 3 h w"),
    "image8": Member("uint8", "t 3 h w"),
}
"""The same of an attacked clip."""


def without_pixels(one: QueryRecord) -> QueryRecord:
    """The same with pixel arrays of no rows, for what lies in a file."""
    # Fresh arrays: a slice of nothing would still hold on to the whole.
    return one._replace(
        image=np.empty((0, *one.image.shape), one.image.dtype),
        image8=np.empty((0, *one.image8.shape), one.image8.dtype),
    )


def query_path(folder: Path, query_id: int) -> Path:
    """The arrays of a query; once this file is there the query is finished."""
    return folder / "queries" / f"{query_id}.npz"


def png_path(folder: Path, query_id: int) -> Path:
    """The adversarial query as a picture."""
    return folder / "png" / f"{query_id}.png"


def pictures(folder: Path, query_id: int, one: QueryRecord) -> dict[Path, bytes]:
    """The adversarial query as lossless pictures: one of an image, one a frame of a clip."""
    whole = png_path(folder, query_id)
    if not one.length:
        return {whole: png_bytes(one.image8)}
    frames = whole.with_suffix("")
    return {frames / f"{i:03d}.png": png_bytes(one.image8[i]) for i in range(one.length)}


def write_queries(
    folder: Path,
    recipe: Mapping[str, Any],
    queries: Mapping[int, QueryRecord],
    *,
    with_pictures: bool = True,
) -> None:
    """Writes queries by their ids: of each the pictures, then the arrays with the recipe's mark."""
    made_by, files_of = np.array(files.fingerprint(recipe)), dict[Path, bytes]()
    for query_id, one in queries.items():
        if with_pictures:
            files_of |= pictures(folder, query_id, one)
        path = query_path(folder, query_id)
        arrays = {name: np.asarray(value) for name, value in one._asdict().items()}
        files_of[path] = files.npz_bytes(path, {"recipe": made_by, **arrays})
    write_together(files_of)


def read_query(folder: Path, recipe: Mapping[str, Any], query_id: int) -> QueryRecord:
    """Reads a finished query.

    Raises:
        HashprobeError: the file is damaged, or was made by another recipe.
    """
    path = query_path(folder, query_id)
    arrays = files.read_npz(path)
    if str(arrays.pop("recipe", "")) != files.fingerprint(recipe):
        raise HashprobeError(f"{path} belongs to another attack than {RECORD} beside it")
    arrays.setdefault("length", np.array(0))  # files of images from before there were clips
    clip = arrays["image8"].ndim == 4 if "image8" in arrays else False
    check_members(arrays, CLIP_MEMBERS if clip else MEMBERS, f"{path} is no attacked query: it")
    counts = {name: arrays.pop(name) for name in ("forwards", "backwards", "seconds", "length")}
    numbers = {name: array.item() for name, array in counts.items()}
    if not all(0 <= number < math.inf for number in numbers.values()):
        raise HashprobeError(f"{path} is no attacked query: a count is negative or no number")
    if not (1 if clip else 0) <= numbers["length"] <= (len(arrays["image8"]) if clip else 0):
        raise HashprobeError(f"{path} is no attacked query: its length is {numbers['length']}")
    whole: Any = {**arrays, **numbers, "seconds": float(numbers["seconds"])}
    return QueryRecord(**whole)


def png_bytes(image8: UInt8[np.ndarray, "3 h w"]) -> bytes:
    """A lossless picture, as its file holds it."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image8.transpose(1, 2, 0))).save(buffer, "PNG")
    return buffer.getvalue()


def repair_png(folder: Path, query_id: int, one: QueryRecord) -> None:
    """Writes the pictures of a finished query again where their files are not what they must be.

    Raises:
        HashprobeError: a file that can be neither read nor replaced.
    """
    for path, wanted in pictures(folder, query_id, one).items():
        try:
            found = files.read_bytes(path)
        except HashprobeError:
            # Missing, or no file at all: what is really wrong is said when it is written.
            found = b""
        if found != wanted:
            files.write_bytes(path, wanted)


def clear(folder: Path) -> None:
    """Throws away an attack's own files, and no others; a folder without an index has none.

    Raises:
        HashprobeError: a file that cannot be removed.
    """
    index = folder / RECORD
    if not index.exists():
        return
    refuse_links(folder)
    for path in own_files(folder):
        files.remove(path)
    files.remove(index)


def own_files(folder: Path) -> list[Path]:
    """The files of the queries that a folder's record names; of all where it cannot be read."""
    try:
        record = AttackRecord.read(folder)
    except HashprobeError:
        record = None
    known = None if record is None else {str(query_id) for query_id in record.query_ids}

    def ours(name: str) -> bool:
        return name.isdecimal() if known is None else name in known

    patterns = ("queries/*.npz", "png/*.png", "mp4/*.mp4")
    single = [path for pattern in patterns for path in folder.glob(pattern) if ours(path.stem)]
    single += [path for path in folder.glob("queries/*.npz") if SHARD.fullmatch(path.name)]
    frames = [path for path in folder.glob("png/*/*.png") if ours(path.parent.name)]
    return single + [path for path in frames if path.stem.isdecimal()]
