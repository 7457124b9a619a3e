"""HMDB51: clips of human action from films and the web in 51 classes."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashprobe.data.datasets.folder import per_class
from hashprobe.data.datasets.listfiles import read_lines
from hashprobe.data.datasets.videofolder import read_clips
from hashprobe.data.findings import Finding
from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.types import generator_of


SHARE = 0.3
"""Share of each class for queries and for training if there are no split files."""
SIZES = {"query": 1_530, "training": 3_570, "database": 3_570}
LISTS = "testTrainMulti_7030_splits"
USES = ("0", "1", "2")
"""In a split file: not used, training, test."""


def load_hmdb51(
    root: Path, *, split: int | None = None, lists: Path | None = None, seed: int = 0
) -> RetrievalData:
    """HMDB51 by one of its three official splits, or at random if their files are missing.

    Protocols (queries / training / database):

    - official split 1 (the default), 2 or 3: 1,530 / 3,570 / 3,570: 30 test clips of each class are
      queries, its 70 training clips are the training items and the database; other clips are left
      out;
    - at random, only if no split files are found and no split is asked for: 30 % of each class
      / 30 % / the rest. A finding says so; it is not a protocol of the field.

    The first 40 frames of a clip are read.

    Source: Kuehne et al., ICCV 2011.

    Args:
        root: the folder of the class folders with their .avi files.
        split: number of an official split; None for 1 if there are split files, else at random.
        lists: the folder of <class>_test_split1.txt and its like; by default
            testTrainMulti_7030_splits in the root or beside it.
        seed: seed of the random split and of the order.

    Raises:
        HashprobeError: no such folder, an unknown split, or split files that are missing or
            malformed.

    Example:
        >>> load_hmdb51(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    if split is not None and split not in (1, 2, 3):
        raise HashprobeError(f"HMDB51 has the official splits 1, 2 and 3; got {split}")
    places = [lists] if lists else [root / LISTS, root.absolute().parent / LISTS]
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None and (split or lists):
        raise HashprobeError(f"no split files of HMDB51 in {' or '.join(map(str, places))}")
    whole, names, notes = read_clips(root, skip=(LISTS,))
    rng = generator_of(seed)
    if folder is None:
        query, train, rest = per_class(whole.labels, [SHARE, SHARE], rng, names, "clips")
        text = "no official split files were found: the split is random, 30% / 30% / rest"
        return RetrievalData(
            "hmdb51:random",
            whole.take(query),
            whole.take(train),
            whole.take(rest),
            names,
            notes=(Finding("split", len(whole), text), *notes),
        )
    number = split or 1
    use = uses_of(folder, number, whole.ids, names)
    asked = whole.take(rng.permutation(np.flatnonzero(use == 2)))
    known = whole.take(rng.permutation(np.flatnonzero(use == 1)))
    left = int((use == 0).sum())
    text = f"{left:,} clips are in no part of the official split"
    note = Finding("left out", left, text, harmless=True)
    return RetrievalData(
        f"hmdb51:{number}",
        asked,
        known,
        known,
        names,
        sizes=SIZES,
        notes=((note,) if left else ()) + notes,
    )


def uses_of(
    folder: Path, number: int, ids: tuple[str, ...], names: tuple[str, ...]
) -> Int64[np.ndarray, " n"]:
    """The use of each clip in an official split: 0 none, 1 training, 2 test.

    Raises:
        HashprobeError: a file is missing or malformed, or names a clip that is missing.
    """
    use = np.zeros(len(ids), dtype=np.int64)
    position_of = {path: i for i, path in enumerate(ids)}
    for name in names:
        path = folder / f"{name}_test_split{number}.txt"
        for line in read_lines(path):
            clip, _, mark = line.strip().rpartition(" ")
            if mark not in USES or not clip.strip():
                raise HashprobeError(f"{path}: '<clip>.avi 0, 1 or 2' expected; got {line!r}")
            position = position_of.get(f"{name}/{clip.strip()}")
            if position is None:
                raise HashprobeError(f"{path} names {clip.strip()}, which is not in {name}")
            use[position] = int(mark)
    return use
