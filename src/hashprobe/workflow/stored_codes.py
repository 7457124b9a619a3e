"""Stored codes with the pictures that they are of."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.convention import BitConvention
from hashprobe.codes.npz import load_codes
from hashprobe.codes.packed import PackedCodes, as_codes
from hashprobe.data.picture_folder import picture_folder
from hashprobe.data.sources import BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress
from hashprobe.storage.archive import read_array
from hashprobe.storage.files import regular_size
from hashprobe.text import shortened
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.workflow.code_check import MOST, CodeCheck, check_codes


def read_stored(path: Path, bits: int) -> PackedCodes:
    """Codes in a file: an .npz of `save_codes`, or an .npy of one row a code.

    Args:
        path: the file; an .npy holds packed bytes, or one entry a bit.
        bits: K, for packed bytes.

    Raises:
        HashprobeError: no such file, another kind of file, or codes of another length.
    """
    if path.suffix == ".npz":
        return load_codes(path)
    if path.suffix != ".npy":
        raise HashprobeError(
            f"{path} is no file of codes: accepted are .npz (save_codes) and .npy, packed or -1/+1"
        )
    size = regular_size(path)
    with path.open("rb") as stream:
        array = read_array(stream, size, str(path))
    packed = array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == -(-bits // 8)
    return as_codes(array, bits if packed else None)


def read_ids(path: Path) -> list[str]:
    """Paths of pictures in a text file, one a line; blanks at the ends are left out."""
    regular_size(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise HashprobeError(f"{path} is no text in UTF-8") from error
    return [line.strip() for line in lines if line.strip()]


def some_pictures(
    pictures: Split, ids: Sequence[str] | None, count: int
) -> tuple[list[int], list[UInt8[Tensor, "3 h w"]]]:
    """Rows of some codes, evenly spread, and the pictures that they are of.

    Args:
        pictures: a folder of pictures, with paths as ids.
        ids: one a code: the path of its picture, with or without folders in front of the root, or
            its name without a suffix; None where codes are in the order of the pictures.
        count: N, the number of codes.

    Raises:
        HashprobeError: other numbers of ids or pictures than codes, or no picture found.
    """
    if ids is None and len(pictures) != count:
        raise HashprobeError(
            f"{count:,} codes and {len(pictures):,} pictures: give the ids of the codes, the path "
            "of a picture each"
        )
    if ids is not None and len(ids) != count:
        raise HashprobeError(f"{count:,} codes and {len(ids):,} ids: one a code is needed")
    places = dict(enumerate(range(count))) if ids is None else matched_places(pictures, ids)
    if not places:
        first = shortened(next(iter(ids or [""])), 100)
        raise HashprobeError(f"no picture is that of an id; the first id is {first}")
    rows, found = [], []
    known = sorted(places)
    order = np.unique(np.linspace(0, len(known) - 1, min(MOST, len(known))).astype(int))
    for row in (known[place] for place in order):
        try:
            found.append(pictures.source.read(places[row]))
        except BadImage:
            continue
        rows.append(row)
    if not rows:
        raise HashprobeError("none of the pictures can be decoded")
    return rows, found


def matched_places(pictures: Split, ids: Sequence[str]) -> dict[int, int]:
    """The place of the picture of each id that has one, by the row of the id."""
    places: dict[str, int] = {}
    for place, path in enumerate(pictures.ids):
        places.setdefault(Path(path).stem, place)
        places.setdefault(Path(path).name, place)
    places |= {path: place for place, path in enumerate(pictures.ids)}
    found = {}
    for row, each in enumerate(ids):
        parts = Path(each).parts
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        known = [places[end] for end in ends if end in places]
        if known:
            found[row] = known[0]
    return found


@checked
def check_stored(
    victim: Hasher,
    codes: Path,
    pictures: Path,
    *,
    ids: Path | None = None,
    convention: BitConvention | None = None,
    runtime: Runtime = Runtime(),
) -> CodeCheck:
    """Compares a victim's codes with those in a file, for up to 20 pictures of a folder.

    Args:
        victim: the network.
        codes: a file of codes, see `read_stored`.
        pictures: the folder of the pictures that they are of.
        ids: a text file with the path of a picture a code; None where codes are in the order of the
            sorted paths.
        convention: what is known of how the codes are stored; None for as here.
        runtime: who is told.

    Raises:
        HashprobeError: files that cannot be read, or that do not fit each other.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> check_stored(ImageHasher("small", 8), Path("codes.csv"), Path("photos"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: codes.csv is no file of codes: accepted are .npz ...
    """
    stored = (convention or BitConvention()).read(read_stored(codes, victim.bits))
    names = None if ids is None else read_ids(ids)
    rows, some = some_pictures(picture_folder(pictures), names, len(stored))
    say(runtime.progress, len(rows))
    return check_codes(victim, stored[np.array(rows)], some)


def say(progress: Progress, count: int) -> None:
    """Says how many pictures are compared."""
    progress.log(f"comparing the codes of {count} pictures")
