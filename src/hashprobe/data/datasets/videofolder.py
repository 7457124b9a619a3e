"""Any tree of clips with one folder a class: video files, or folders of frames."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from hashprobe.data.clip_sources import LIMIT, FrameFolderSource, VideoFileSource
from hashprobe.data.datasets.folder import check_count, class_folders, per_class
from hashprobe.data.findings import Finding
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import Split
from hashprobe.data.videos import VIDEO_SUFFIXES
from hashprobe.data.walk import Tree, is_image
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels, generator_of


def load_videofolder(
    root: Path,
    *,
    group: str | None = None,
    queries: float = 0.1,
    training: float = 0.3,
    seed: int = 0,
    stride: int = 1,
    limit: int = LIMIT,
) -> RetrievalData:
    """A class-per-folder tree of clips, split at random within each class by clip or by group.

    A clip is a video file, or a folder of pictures in the order of their names; a tree must hold
    one kind only. The database holds all clips but the queries, so the training clips are in it.
    The order is random.

    Args:
        root: root/<class>/**/<clip>.{avi,mp4,...} or root/<class>/**/<clip>/*.{jpg,png,...}.
        group: a regular expression that is searched in each clip's name (without folder and
            suffix): clips in which its first group finds the same text are all queries or none,
            all training items or none. If the same text occurs in more than one class, groups are
            drawn over all classes together. By default, each clip is its own group.
        queries: groups of each class that become queries: a whole number, or a share below 1.
        training: the same for training items, drawn from the other groups.
        seed: seed of the split and of the order.
        stride: every stride-th frame is kept, from the first on.
        limit: most frames of a clip that are kept.

    Raises:
        HashprobeError: no such folder, one class only, a class without clips or with too few, both
            kinds of clips, a group that no clip or not every clip has, or a count that is neither
            whole nor a share.

    Example:
        >>> load_videofolder(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    for option, count in (("queries", queries), ("training", training)):
        check_count(f"{option} of each class", count)
    whole, names, notes = read_clips(root, stride=stride, limit=limit)
    group_of = groups_of(whole.ids, group)
    strata: Labels = np.zeros((group_of.max() + 1, len(names)), dtype=bool)
    strata[group_of, whole.labels.argmax(1)] = True
    if (strata.sum(1) > 1).any():
        strata = np.ones((len(strata), 1), dtype=bool)
    rng = generator_of(seed)
    classes = names if strata.shape[1] > 1 else ("(all together)",)
    what = "clips" if group is None else "groups of clips"
    asking, learning, _ = per_class(strata, [queries, training], rng, classes, what)
    is_query, is_train = np.isin(group_of, asking), np.isin(group_of, learning)
    return RetrievalData(
        f"videofolder:{root.name}",
        whole.take(rng.permutation(np.flatnonzero(is_query))),
        whole.take(rng.permutation(np.flatnonzero(is_train))),
        whole.take(rng.permutation(np.flatnonzero(~is_query))),
        names,
        notes=notes,
    )


def groups_of(ids: tuple[str, ...], pattern: str | None) -> Int64[np.ndarray, " n"]:
    """The number of each clip's group, from 0."""
    if pattern is None:
        return np.arange(len(ids))
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise HashprobeError(f"group '{pattern}' is no regular expression: {error}") from error
    if not rule.groups:
        raise HashprobeError(
            f"group '{pattern}' must have parentheses around the name of the group, as in '^(.*)_'"
        )
    # Most patterns are about names; one that fits no name at all may be about the folders, too.
    names = [clip_name(path) for path in ids]
    matches = [rule.search(name) for name in names]
    if not any(matches):
        names = [without_suffix(path) for path in ids]
        matches = [rule.search(name) for name in names]
    found = []
    for name, path, match in zip(names, ids, matches, strict=True):
        if match is None or match[1] is None:
            raise HashprobeError(f"group '{pattern}' finds nothing in '{name}' of clip {path}")
        found.append(match[1])
    return np.unique(np.array(found), return_inverse=True)[1].astype(np.int64)


def clip_name(path: str) -> str:
    """A clip's name without its folder and without the suffix of a video file."""
    return without_suffix(path.rsplit("/", 1)[-1])


def without_suffix(path: str) -> str:
    """A path without the suffix of a video file; that of a folder of frames as it is."""
    stem, dot, suffix = path.rpartition(".")
    return stem if dot + suffix.lower() in VIDEO_SUFFIXES else path


def read_clips(
    root: Path, *, stride: int = 1, limit: int = LIMIT, skip: tuple[str, ...] = ()
) -> tuple[Split, tuple[str, ...], tuple[Finding, ...]]:
    """Every clip below root/<class>, sorted by path, the class names, and what was left out.

    Args:
        root: the folder.
        stride, limit: the frame rule of the clips.
        skip: folders that are not classes.

    Raises:
        HashprobeError: no such folder, one class, a class without clips, or video files beside
            folders of frames.
    """
    names = tuple(name for name in class_folders(root) if name not in skip)
    if len(names) < 2:
        raise HashprobeError(
            f"{root} holds one class, {''.join(names)}: retrieval needs two or more"
        )
    tree = Tree(root)
    tree.loose()
    found = [clips_below(tree, name) for name in names]
    kinds = [[path for both in found for path in both[kind]] for kind in (0, 1)]
    if all(kinds):
        raise HashprobeError(
            f"{root} holds video files ({kinds[0][0]}) and folders of pictures ({kinds[1][0]}): "
            "it must hold one kind of clips"
        )
    number_of = [n for n, both in enumerate(found) for _ in (*both[0], *both[1])]
    paths = tuple(kinds[0] or kinds[1])
    kind = VideoFileSource if kinds[0] else FrameFolderSource
    labels: Labels = one_hot(np.array(number_of, dtype=np.int64), len(names))
    return Split(paths, kind(root, paths, stride, limit), labels), names, tree.left_out()


def clips_below(tree: Tree, name: str) -> tuple[list[str], list[str]]:
    """Paths, from the root, of the video files and of the folders of pictures in a class folder.

    Raises:
        HashprobeError: there are neither, or pictures are in the class folder itself.
    """
    folder, files = tree.root / name, tree.files(name)
    videos = tree.take(
        path for path in files if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    )
    pictures = [path for path in files if is_image(path)]
    tree.take(pictures)
    frames = {path.parent for path in pictures}
    if folder in frames:
        raise HashprobeError(
            f"{folder} holds pictures, but clips are expected: video files, or one folder of "
            "pictures a clip"
        )
    if not videos and not frames:
        raise HashprobeError(
            f"{folder} holds no clips: neither video files ({', '.join(sorted(VIDEO_SUFFIXES))}) "
            "nor folders of pictures"
        )
    return videos, sorted(map(tree.name, frames))
