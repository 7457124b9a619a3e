"""CIFAR-10 under the three conventions of the field, whose results cannot be compared."""

import warnings
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from hashprobe.data.datasets.folder import per_class, read_tree
from hashprobe.data.findings import Finding
from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import ArraySource, Split, join
from hashprobe.errors import HashprobeError
from hashprobe.types import generator_of


Convention = Literal["cifar10", "cifar10-1", "cifar10-2"]

QUERIES, TRAINING = 100, 500
"""Items of each class, in the conventions that draw them."""


def load_cifar10(
    root: Path, convention: Convention = "cifar10-2", *, seed: int = 0, download: bool = False
) -> RetrievalData:
    """CIFAR-10: 60,000 images of 32x32 pixels in 10 classes.

    Conventions (queries / training / database), named as in the field's code:

    - `cifar10`: 1,000 / 5,000 / 54,000, the training images outside the database;
    - `cifar10-1`: 1,000 / 5,000 / 59,000, the training images inside it;
    - `cifar10-2`: 10,000 / 50,000 / 50,000: the test set is the queries, the training set the
      database.

    The first two draw 100 queries and 500 training images of each class at random.

    Args:
        root: a folder with {train,test}/<class>/*.jpg, or one with torchvision's own copy.
        convention: one of the three.
        seed: seed of the draw and of the order.
        download: let torchvision download its copy into root.

    Raises:
        HashprobeError: an unknown convention, or no CIFAR-10 below root.

    Example:
        >>> load_cifar10(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no CIFAR-10 in no/such/folder: it must hold train/ and \
test/ with one folder a class, or torchvision's cifar-10-batches-py (--download fetches it)
    """
    if convention not in get_args(Convention):
        raise HashprobeError(
            f"unknown convention {convention!r}: choose from {', '.join(get_args(Convention))}"
        )
    train, test, names, notes = read_both(root, download)
    rng = generator_of(seed)
    if convention == "cifar10-2":
        query = test.take(rng.permutation(len(test)))
        database = train.take(rng.permutation(len(train)))
        return RetrievalData(convention, query, database, database, names, notes=notes)
    whole = join(train, test)
    queries, training, rest = per_class(whole.labels, [QUERIES, TRAINING], rng, names)
    if convention == "cifar10-1":
        rest = rng.permutation(np.concatenate([training, rest]))
    return RetrievalData(
        convention, whole.take(queries), whole.take(training), whole.take(rest), names, notes=notes
    )


def read_both(
    root: Path, download: bool
) -> tuple[Split, Split, tuple[str, ...], tuple[Finding, ...]]:
    """The published training and test images, from either layout, and findings about them."""
    if (root / "train").is_dir() and (root / "test").is_dir():
        whole, names, notes = read_tree(root, ("train", "test"))
        is_train = np.array([p.startswith("train/") for p in whole.ids])
        train, test = whole.take(np.flatnonzero(is_train)), whole.take(np.flatnonzero(~is_train))
        return train, test, names, notes
    if not download and not (root / "cifar-10-batches-py").is_dir():
        raise HashprobeError(
            f"no CIFAR-10 in {root}: it must hold train/ and test/ with one folder a class, or "
            "torchvision's cifar-10-batches-py (--download fetches it)"
        )
    from torchvision import datasets

    splits = []
    for training in (True, False):
        try:
            with warnings.catch_warnings():
                # The published files were pickled by a numpy that wrote booleans as 0 and 1.
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                raw = datasets.CIFAR10(root, train=training, download=download)
        except (RuntimeError, OSError) as error:
            raise HashprobeError(f"CIFAR-10 in {root}: {str(error).splitlines()[0]}") from error
        pixels = torch.from_numpy(raw.data).permute(0, 3, 1, 2).contiguous()
        part = "train" if training else "test"
        ids = tuple(f"{part}/{i:05d}" for i in range(len(pixels)))
        labels = one_hot(np.array(raw.targets, dtype=np.int64), 10)
        splits.append(Split(ids, ArraySource(pixels), labels))
        names = tuple(raw.classes)
    return splits[0], splits[1], names, ()
