"""NUS-WIDE: the field's multi-label protocol, with its 20 or 21 most frequent concepts."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from hashprobe.data.datasets.folder import up_to_each
from hashprobe.data.datasets.listfiles import read_lines, read_lists, refuse_outside
from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import FileSource, Split
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_bytes
from hashprobe.types import Labels, generator_of


CONCEPTS = 81
SIZES = {20: {"query": 5_000, "training": 10_000}, 21: {"query": 2_100, "training": 10_500}}
"""Number of labels to the sizes of the splits; with 21 they are 100 and 500 for each label."""


def load_nuswide(
    root: Path,
    labels: int = 21,
    *,
    lists: Path | None = None,
    seed: int = 0,
    outside_root: bool = False,
) -> RetrievalData:
    """NUS-WIDE: pictures from Flickr that carry at least one of the most frequent concepts.

    Protocols (queries / training), each with all but the queries as its database:

    - `nuswide-20`: 5,000 / 10,000, drawn from all pictures (the DHTA paper);
    - `nuswide-21`: 2,100 / 10,500: 100 and 500 for each label, drawn label by label without
      repetition (ProS-GAN, THA and what followed).

    The training items are in the database. The order is random.

    Source: Chua et al., CIVR 2009; DHTA (Bai et al., ECCV 2020), the experiments.

    Args:
        root: the published files: ImageList/Imagelist.txt and Groundtruth/AllLabels/Labels_*.txt
            (or both without the folder before), and pictures below Flickr, images or the root
            itself. With lists: the folder that their paths start from.
        labels: 20 or 21.
        lists: a folder of published lists, which are used unchanged.
        seed: seed of the draws and of the order.
        outside_root: whether paths of lists may lead out of the root.

    Raises:
        HashprobeError: another number of labels, a file that is missing or malformed, or a path
            that leads out of the root.

    Example:
        >>> load_nuswide(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no NUS-WIDE in no/such/folder: it must hold \
ImageList/Imagelist.txt
    """
    if labels not in SIZES:
        raise HashprobeError(f"NUS-WIDE is used with 20 or 21 labels; got {labels}")
    name, sizes = f"nuswide-{labels}", SIZES[labels]
    if lists is not None:
        query, train, database, names = read_lists(lists, root, outside_root)
        if len(names) != labels:
            raise HashprobeError(f"{lists}: {len(names)} label columns where {name} has {labels}")
        return RetrievalData(name, query, train, database, names, sizes=sizes)
    whole, names = read_official(root, labels, outside_root)
    rng = generator_of(seed)
    order = rng.permutation(len(whole))
    if labels == 20:
        asking = order[: sizes["query"]]
        learning = rng.permutation(order[sizes["query"] :])[: sizes["training"]]
    else:
        asking = up_to_each(whole.labels, sizes["query"] // labels, rng)
        learning = up_to_each(whole.labels, sizes["training"] // labels, rng, taken=asking)
    rest = order[~np.isin(order, asking)]
    return RetrievalData(
        name, whole.take(asking), whole.take(learning), whole.take(rest), names, sizes=sizes
    )


def read_official(
    root: Path, labels: int, outside_root: bool = False
) -> tuple[Split, tuple[str, ...]]:
    """The pictures with at least one of the most frequent concepts, and the names of these."""
    index = find(root, "ImageList/Imagelist.txt") or find(root, "Imagelist.txt")
    if index is None:
        raise HashprobeError(f"no NUS-WIDE in {root}: it must hold ImageList/Imagelist.txt")
    paths = [line.strip().replace("\\", "/") for line in read_lines(index)]
    if not outside_root:
        refuse_outside(index, root, paths)
    truth = find(root, "Groundtruth/AllLabels") or find(root, "AllLabels")
    if truth is None:
        raise HashprobeError(f"no labels of NUS-WIDE in {root}: it must hold Groundtruth/AllLabels")
    files = {}
    for path in sorted(truth.iterdir()):
        named = re.fullmatch(r"labels_(.+)\.txt", path.name, re.IGNORECASE)
        if named:
            files[named[1]] = path
    if len(files) != CONCEPTS:
        raise HashprobeError(
            f"{truth} has {len(files)} files Labels_<concept>.txt where NUS-WIDE has {CONCEPTS}"
        )
    marks = {concept: read_marks(path, len(paths), index) for concept, path in files.items()}
    often = sorted(files, key=lambda concept: (-int(marks[concept].sum()), concept))[:labels]
    names = tuple(sorted(often))
    table: Labels = np.stack([marks[concept] for concept in names], axis=1)
    with_label = np.flatnonzero(table.any(1))
    pictures = find(root, "Flickr") or find(root, "images") or root
    kept = tuple(paths[i] for i in with_label)
    return Split(kept, FileSource(pictures, kept), table[with_label]), names


def read_marks(path: Path, count: int, index: Path) -> Bool[np.ndarray, " n"]:
    """One 0 or 1 a line, for as many pictures as the index names."""
    content = np.frombuffer(read_bytes(path), dtype=np.uint8)
    content = content[~np.isin(content, np.frombuffer(b" \t\r\n", dtype=np.uint8))]
    marks: Bool[np.ndarray, " n"] = content == ord("1")
    if not (marks | (content == ord("0"))).all():
        raise HashprobeError(f"{path} must hold one 0 or 1 a line")
    if len(marks) != count:
        raise HashprobeError(f"{path} has {len(marks)} values, {index.name} has {count} lines")
    return marks


def find(root: Path, name: str) -> Path | None:
    """A file or folder below the root, by its name in any case."""
    place = root
    for part in name.split("/"):
        if (place / part).exists():
            place = place / part
            continue
        there = sorted(place.iterdir()) if place.is_dir() else []
        same = next((p for p in there if p.name.lower() == part.lower()), None)
        if same is None:
            return None
        place = same
    return place
