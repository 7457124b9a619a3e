"""UCF-101: 13,320 clips of human action in 101 classes."""

from pathlib import Path

import numpy as np

from hashprobe.data.clip_sources import LIMIT, VideoFileSource
from hashprobe.data.datasets.folder import per_class
from hashprobe.data.datasets.listfiles import read_lines
from hashprobe.data.datasets.videofolder import read_clips
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.types import generator_of


STRIDE = 3
QUERIES, TRAINING = 30, 30
"""Clips of each class."""
SIZES = {"query": 3_030, "training": 3_030, "database": 7_260}
OFFICIAL = {1: (3_783, 9_537), 2: (3_734, 9_586), 3: (3_696, 9_624)}
"""Number of each official split to its numbers of test and training clips."""
LISTS = "ucfTrainTestlist"


def load_ucf101(
    root: Path, *, split: int | None = None, lists: Path | None = None, seed: int = 0
) -> RetrievalData:
    """UCF-101 by the protocol of the DHTA paper, or by one of its three official splits.

    Protocols (queries / training / database):

    - the paper's: 3,030 / 3,030 / 7,260: 30 and 30 clips of each class, then the rest;
    - official split 1, 2 or 3: 3,783 / 9,537 / 9,537 in the first: the test list is the queries,
      the training list is the training items and the database.

    Every third frame of a clip is read, at most 40.

    Source: Soomro et al., 2012; DHTA (Bai et al., ECCV 2020), the experiments.

    Args:
        root: the folder of the class folders with their .avi files, or the one that holds it as
            UCF-101.
        split: number of an official split; None for the paper's protocol.
        lists: the folder of testlist01.txt and its like; by default ucfTrainTestlist in the root
            or beside it.
        seed: seed of the draw (the paper's protocol) and of the order.

    Raises:
        HashprobeError: no such folder, a class with too few clips, an unknown split, or lists that
            are missing or malformed.

    Example:
        >>> load_ucf101(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    if split is not None and split not in OFFICIAL:
        raise HashprobeError(f"UCF-101 has the official splits 1, 2 and 3; got {split}")
    clips = root / "UCF-101" if (root / "UCF-101").is_dir() else root
    rng = generator_of(seed)
    if split is None:
        whole, names, notes = read_clips(clips, stride=STRIDE, skip=(LISTS,))
        query, train, rest = per_class(whole.labels, [QUERIES, TRAINING], rng, names, "clips")
        return RetrievalData(
            "ucf101",
            whole.take(query),
            whole.take(train),
            whole.take(rest),
            names,
            sizes=SIZES,
            notes=notes,
        )
    folder = lists or find_lists(root)
    tests = read_list(folder / f"testlist{split:02d}.txt")
    trains = read_list(folder / f"trainlist{split:02d}.txt")
    if not clips.is_dir():
        raise HashprobeError(f"no such folder: {clips}")
    names = tuple(sorted({path.split("/")[0] for path in tests + trains}))
    asked = listed(clips, tuple(tests), names).take(rng.permutation(len(tests)))
    known = listed(clips, tuple(trains), names).take(rng.permutation(len(trains)))
    asking, learning = OFFICIAL[split]
    sizes = {"query": asking, "training": learning, "database": learning}
    return RetrievalData(f"ucf101:{split}", asked, known, known, names, sizes=sizes)


def find_lists(root: Path) -> Path:
    """The folder of the official lists.

    Raises:
        HashprobeError: it is neither in the root nor beside it.
    """
    for folder in (root / LISTS, root.absolute().parent / LISTS):
        if folder.is_dir():
            return folder
    raise HashprobeError(
        f"no {LISTS} in or beside {root}: an official split of UCF-101 needs --lists, the folder "
        "of testlist01.txt and its like"
    )


def read_list(path: Path) -> list[str]:
    """The paths of an official list: the first word of each line."""
    paths = [line.split()[0].replace("\\", "/") for line in read_lines(path)]
    for number, name in enumerate(paths, 1):
        if name.count("/") != 1:
            raise HashprobeError(f"{path}, entry {number}: <class>/<clip>.avi expected; got {name}")
    if any(name.startswith(("/", "../")) or name.endswith("/..") for name in paths):
        raise HashprobeError(f"{path} names clips by <class>/<clip>.avi; some lead out of the root")
    return paths


def listed(root: Path, paths: tuple[str, ...], names: tuple[str, ...]) -> Split:
    """Clips by their paths, whose first folder is the class."""
    classes = np.array([names.index(path.split("/")[0]) for path in paths], dtype=np.int64)
    source = VideoFileSource(root, paths, STRIDE, LIMIT)
    return Split(paths, source, one_hot(classes, len(names)))
