"""Open-set retrieval: labels that the network never sees, as targets in the database."""

from dataclasses import replace

import numpy as np

from hashprobe.data.retrieval import RetrievalData
from hashprobe.errors import HashprobeError
from hashprobe.types import generator_of


def hold_back(data: RetrievalData, unseen: int, seed: int) -> RetrievalData:
    """Make some labels unseen: queries and training items that carry them are left out.

    The database keeps its items, so that an attack can aim at labels that the network never saw.
    With the same seed, a larger open set contains the labels of a smaller one.

    Source: the unseen-target experiment of the DHTA paper (Bai et al., ECCV 2020), for any data.

    Args:
        data: queries, training items and database over C labels.
        unseen: how many labels to hold back, from 1 to C - 2.
        seed: seed of the draw.

    Returns:
        The same data set with smaller splits and the (N, C) labels as wide as they were.

    Raises:
        HashprobeError: too many labels or none, labels that are held back already, or a split that
            would be empty.

    Example:
        >>> from hashprobe.data.datasets.digits import load_digits
        >>> data = hold_back(load_digits(), 2, seed=0)
        >>> data.unseen, len(data.query), len(data.train), len(data.database)
        (('4', '6'), 159, 209, 1347)
    """
    count = len(data.label_names)
    if data.unseen:
        raise HashprobeError(f"{data.name} holds back labels already: {', '.join(data.unseen)}")
    if not 1 <= unseen <= count - 2:
        raise HashprobeError(
            f"unseen must be at least 1 and leave 2 of the {count} labels of {data.name}; "
            f"got {unseen}"
        )
    hidden = np.sort(generator_of(seed).permutation(count)[:unseen])
    names = tuple(data.label_names[i] for i in hidden)
    splits = []
    for role, split in (("query", data.query), ("training", data.train)):
        kept = split.take(np.flatnonzero(~split.labels[:, hidden].any(1)))
        if not len(kept):
            raise HashprobeError(
                f"{data.name}: every {role} item carries one of the unseen labels "
                f"({', '.join(names)}): hold fewer back"
            )
        splits.append(kept)
    # The protocol's sizes hold for the whole data set: the finding says that it is about that.
    sizes = tuple(
        replace(finding, text=f"before labels were held back, {finding.text}")
        for finding in data.findings
        if finding.kind == "sizes"
    )
    query, train = splits
    return replace(
        data, query=query, train=train, unseen=names, sizes=None, notes=data.notes + sizes
    )
