"""Checks on loading: overlaps, duplicates, missing labels, class order, sizes, open set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.types import Labels


@dataclass(frozen=True)
class Finding:
    """One thing that a check on loading found.

    Example:
        >>> print(Finding("overlap", 3, "3 of 200 queries stand in the database", ("a.jpg",)))
        3 of 200 queries stand in the database, for example a.jpg
    """

    kind: str
    """`overlap`, `duplicates`, `unlabelled`, `order`, `sizes`, `left out`, `unseen` or `split`."""
    count: int
    """How many items it is about."""
    text: str
    """The finding in words."""
    examples: tuple[str, ...] = ()
    """Ids of the first few."""
    harmless: bool = False
    """Part of the protocol, not a mistake (training items in the database)."""

    def __str__(self) -> str:
        return self.text + (f", for example {self.examples[0]}" if self.examples else "")


def check(splits: dict[str, Split], digests: dict[str, list[bytes]]) -> list[Finding]:
    """Overlaps, duplicates, missing labels and class order: released code has had each of them."""
    findings = [
        overlap("query", "database", splits, digests),
        overlap("query", "training", splits, digests),
        overlap("training", "database", splits, digests, harmless=True),
    ]
    for role, split in splits.items():
        findings.append(duplicates(role, split, digests[role]))
        without = np.flatnonzero(~split.labels.any(1))
        text = f"{len(without)} {role} items carry no label"
        examples = tuple(split.ids[i] for i in without[:3])
        findings.append(Finding("unlabelled", len(without), text, examples))
    findings.append(class_order(splits["database"].labels))
    return [f for f in findings if f.count]


def wrong_sizes(splits: dict[str, Split], sizes: Mapping[str, int]) -> list[Finding]:
    """Findings about splits whose number of items is not that of the protocol."""
    findings = []
    for role, wanted in sizes.items():
        there = len(splits[role])
        text = f"the {role} split has {there:,} items where the protocol has {wanted:,}"
        findings.append(Finding("sizes", abs(there - wanted), text))
    return [f for f in findings if f.count]


def unseen_labels(
    name: str, splits: dict[str, Split], label_names: tuple[str, ...], unseen: tuple[str, ...]
) -> list[Finding]:
    """A note about the open set; refuses unseen labels that a query or training item carries."""
    strange = set(unseen) - set(label_names)
    if strange:
        raise HashprobeError(f"{name}: unseen {min(strange)!r} is none of the label names")
    columns = [label_names.index(label) for label in unseen]
    for role in ("query", "training"):
        carriers = np.flatnonzero(splits[role].labels[:, columns].any(1))
        if len(carriers):
            raise HashprobeError(
                f"{name}: {role} item {splits[role].ids[carriers[0]]} carries a label that is "
                "unseen"
            )
    database = splits["database"]
    where = np.flatnonzero(database.labels[:, columns].any(1))
    names = ", ".join(unseen[:3]) + (", ..." if len(unseen) > 3 else "")
    text = (
        f"{len(unseen)} labels are unseen ({names}): {len(where)} database items carry them, "
        "no query or training item does"
    )
    examples = tuple(database.ids[i] for i in where[:3])
    return [Finding("unseen", len(where), text, examples, harmless=True)] if columns else []


def overlap(
    role: str,
    other: str,
    splits: dict[str, Split],
    digests: dict[str, list[bytes]],
    harmless: bool = False,
) -> Finding:
    """A finding about items of one split whose content is in another split too."""
    known = set(digests[other])
    same = [i for i, digest in enumerate(digests[role]) if digest in known]
    text = f"{len(same)} of {len(splits[role])} {role} items stand in the {other} split too"
    if harmless:
        # Most protocols have it so; the reader must know what it does to the numbers.
        share = "all" if len(same) == len(splits[role]) else f"{len(same):,} of"
        text = (
            f"{share} {len(splits[role]):,} {role} items are in the {other}, too (retrieval "
            "protocols have it so; MAP then counts items that the network has seen)"
        )
    examples = tuple(splits[role].ids[i] for i in same[:3])
    return Finding("overlap", len(same), text, examples, harmless)


def duplicates(role: str, split: Split, digests: list[bytes]) -> Finding:
    """A finding about items that repeat the content of another item of their split."""
    times = Counter(digests)
    again = [i for i, digest in enumerate(digests) if times[digest] > 1]
    extra = len(digests) - len(times)
    text = f"{extra} {role} items repeat the content of another"
    return Finding("duplicates", extra, text, tuple(split.ids[i] for i in again[:3]))


def class_order(labels: Labels) -> Finding:
    """A finding about a database in class order, where ties at equal distance follow the class."""
    if len(labels) < 3:
        return Finding("order", 0, "")
    # Whole words are told apart much faster than rows of single labels.
    packed = np.packbits(labels, axis=1)
    wide = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    rows = wide[:, 0] if wide.shape[1] == 1 else wide
    _, kind = np.unique(rows, axis=0, return_inverse=True)
    pairs, times = len(labels) - 1, np.bincount(kind)
    alike = int((kind[1:] == kind[:-1]).sum())
    sorted_by_class = len(labels) - len(times)
    chance = float((times * (times - 1)).sum()) / (len(labels) * pairs)
    shuffled = pairs * chance + 3 * (pairs * chance * (1 - chance)) ** 0.5
    ordered = alike > 0.9 * sorted_by_class and alike > shuffled
    text = (
        f"the database is ordered by class ({alike / pairs:.0%} of neighbours share their label): "
        "ties at equal distance follow it, so prefer ties=expected or shuffle it"
    )
    return Finding("order", len(labels) if ordered else 0, text)
