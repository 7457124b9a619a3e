"""Scanned handwritten digits: images that need no download."""

import numpy as np
import torch

from hashprobe.data.retrieval import RetrievalData, one_hot
from hashprobe.data.sources import ArraySource, Split
from hashprobe.types import generator_of


QUERIES, TRAINING, DATABASE = 200, 250, 1347


def load_digits(seed: int = 0) -> RetrievalData:
    """1,797 handwritten digits of 8x8 pixels: 200 queries, 250 training, 1,347 database items.

    The training split is small on purpose: the network is then imperfect (MAP about 0.8), so that
    one target code and the vote of nine give different results.

    Source: the UCI optical digits test set as shipped with scikit-learn.

    Args:
        seed: seed of the random split; the three parts are disjoint and in random order.

    Example:
        >>> load_digits().database.source.read(0).shape
        torch.Size([3, 8, 8])
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    grey = torch.from_numpy(np.rint(bunch.images * (255 / 16)).astype(np.uint8))
    pixels = grey[:, None].expand(-1, 3, -1, -1).contiguous()
    names = tuple(f"digits/{i:04d}" for i in range(len(pixels)))
    whole = Split(names, ArraySource(pixels), one_hot(bunch.target.astype(np.int64), 10))
    order = generator_of(seed).permutation(len(whole))
    parts = np.split(order, [QUERIES, QUERIES + TRAINING])
    query, train, database = (whole.take(part) for part in parts)
    return RetrievalData("digits", query, train, database, tuple("0123456789"))
