"""A folder of pictures without classes."""

from pathlib import Path

import numpy as np

from hashprobe.checked import checked
from hashprobe.data.sources import FileSource, Split
from hashprobe.data.walk import Tree
from hashprobe.errors import HashprobeError


@checked
def picture_folder(root: Path) -> Split:
    """Every picture below a folder, at any depth, sorted by path.

    Args:
        root: the folder; files and folders whose names begin with a dot are skipped.

    Returns:
        The pictures; their ids are paths from the root, and they have no labels, (N, 0).

    Raises:
        HashprobeError: no such folder, or no pictures in it.

    Example:
        >>> picture_folder(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no such folder: no/such/folder
    """
    if root.is_file():
        raise HashprobeError(f"{root} is a file: give the folder that it is in")
    if not root.is_dir():
        raise HashprobeError(f"no such folder: {root}")
    paths = tuple(Tree(root).pictures())
    return Split(paths, FileSource(root, paths), np.zeros((len(paths), 0), bool))
