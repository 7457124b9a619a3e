"""JHMDB: 928 clips of human action in 21 classes."""

from pathlib import Path

from hashprobe.data.datasets.folder import per_class
from hashprobe.data.datasets.videofolder import read_clips
from hashprobe.data.retrieval import RetrievalData
from hashprobe.types import generator_of


QUERIES, TRAINING = 10, 10
"""Clips of each class."""
SIZES = {"query": 210, "training": 210, "database": 508}
LAYOUTS = ("Rename_Images", "ReCompress_Videos")
"""Folders that the published archives unpack to."""


def load_jhmdb(root: Path, *, seed: int = 0) -> RetrievalData:
    """JHMDB by the protocol of the DHTA paper: 10 and 10 clips of each class, then the rest.

    Queries / training / database: 210 / 210 / 508. The first 40 frames of a clip are read; no clip
    has more.

    Source: Jhuang et al., ICCV 2013; DHTA (Bai et al., ECCV 2020), the experiments.

    Args:
        root: the folder of the class folders, with .avi files or one folder of frames a clip; or
            the one that holds it as Rename_Images (frames, preferred) or ReCompress_Videos (.avi).
        seed: seed of the draw and of the order.

    Raises:
        HashprobeError: no such folder, or a class with too few clips.

    Example:
        >>> load_jhmdb(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    clips = next((root / name for name in LAYOUTS if (root / name).is_dir()), root)
    whole, names, notes = read_clips(clips)
    rng = generator_of(seed)
    query, train, rest = per_class(whole.labels, [QUERIES, TRAINING], rng, names, "clips")
    return RetrievalData(
        "jhmdb",
        whole.take(query),
        whole.take(train),
        whole.take(rest),
        names,
        sizes=SIZES,
        notes=notes,
    )
