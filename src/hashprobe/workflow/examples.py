"""The queries on a report's page, with what they retrieve before and after an attack."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hashprobe.codes.index import FlatIndex
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.fitting import fit_image
from hashprobe.data.retrieval import RetrievalData
from hashprobe.report.content import Example, Picture, Retrieved
from hashprobe.report.rows import budget_text
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher
from hashprobe.workflow.results import Finished
from hashprobe.workflow.run_io import Encoded


SHOWN = 10
"""Search results shown of a query."""
STEP, LAST = 3, 21
"""Of a query every third frame is shown, up to the 21st (DHTA, figure 9)."""


@dataclass(frozen=True)
class Shelf:
    """What shows the items of a run: data, codes of the database, and input of the network."""

    data: RetrievalData
    database: Encoded
    contract: InputContract

    def found(self, labels: np.ndarray, targets: np.ndarray, results: "Results") -> list[Retrieved]:
        """The results of one query, right or wrong by its own labels and by the target's."""
        return [
            self.item(int(row), int(distance), labels, targets)
            for distance, row in zip(*results, strict=True)
        ]

    def item(self, row: int, distance: int, labels: np.ndarray, targets: np.ndarray) -> Retrieved:
        """One search result with its picture."""
        item = self.data.database.source.read(int(self.database.positions[row]))
        frames = result_frames(min(len(item), self.contract.frames)) if self.contract.frames else ()
        own = self.database.labels[row]
        return Retrieved(
            picture(item, self.contract, frames),
            names(self.data.label_names, own),
            distance,
            own=bool((own & labels).any()),
            target=bool((own & targets).any()),
        )


Results = tuple[Iterable[int], Iterable[int]]
"""Distances and database rows of one query."""


def make_examples(
    finished: Finished,
    count: int,
    data: RetrievalData,
    hasher: Hasher,
    database: Encoded,
) -> tuple[Example, ...]:
    """The first attacked queries with what they retrieve before and after."""
    attacked = AttackResult.load(finished.folder)
    count = min(count, len(attacked))
    if not count:
        return ()
    index = FlatIndex(database.codes.bits)
    index.add(database.codes)
    k = min(SHOWN, len(database))
    before = index.search(attacked.clean_codes[:count], k)
    after = index.search(attacked.codes[:count], k)
    contract = hasher.contract
    shelf = Shelf(data, database, contract)
    result = []
    for i in range(count):
        position = int(attacked.query_ids[i])
        query = data.query.source.read(position)
        frames = shown_frames(query[: contract.frames], attacked.images8[i], contract)
        own, aims = data.query.labels[position], attacked.target_labels
        target = np.zeros_like(own) if aims is None else aims[i]
        result.append(
            Example(
                query=data.query.ids[position],
                labels=names(data.label_names, own),
                targets=names(data.label_names, target),
                image=picture(query, contract, frames),
                adversarial=picture(attacked.images8[i], contract, frames),
                before=tuple(shelf.found(own, target, (before[0][i], before[1][i]))),
                after=tuple(shelf.found(own, target, (after[0][i], after[1][i]))),
                frames=frames,
                note=f"{finished.title} at {budget_text(finished.budget)}",
            )
        )
    return tuple(result)


def choice(count: int, frames: int) -> str:
    """How the examples, and of clips their frames, were chosen."""
    words = f"The first {count} of the attacked queries; none was chosen by its result."
    strips = (
        " Clips are shown as strips of frames: a query by every third frame, or by all its frames "
        "or its changed frames where these are few; a result by its first, middle and last frame."
    )
    return words + strips if frames else words


def shown_frames(query: Tensor, adversarial: Tensor, contract: InputContract) -> tuple[int, ...]:
    """Which frames of a query are shown, from 1 on.

    These are the usual ones, or the first changed ones where one of the usual is unchanged.
    """
    if not contract.frames:
        return ()
    clean = fit_image(query, contract)
    changed = (adversarial[: len(clean)] != clean).flatten(1).any(1).nonzero().flatten() + 1
    return frames_of(len(query), changed.tolist())


def frames_of(length: int, changed: list[int]) -> tuple[int, ...]:
    """The usual frames of a query; the first changed ones where a usual one is unchanged."""
    usual = query_frames(length)
    return usual if set(usual) <= set(changed) or not changed else tuple(changed[: LAST // STEP])


def query_frames(length: int) -> tuple[int, ...]:
    """Which frames stand for a query of so many, from 1 on: as in DHTA's figure 9.

    A short clip is shown whole.
    """
    if length <= LAST // STEP + 1:
        return tuple(range(1, length + 1))
    return tuple(range(STEP, min(length, LAST) + 1, STEP))


def result_frames(length: int) -> tuple[int, ...]:
    """Which frames stand for a search result of so many: the first, the middle, the last."""
    return tuple(sorted({1, (length + 1) // 2, length}))


def picture(item: Tensor, contract: InputContract, frames: tuple[int, ...] = ()) -> Picture:
    """An image, or these frames of a clip, at the network's size."""
    return fit_image(item[[i - 1 for i in frames]] if frames else item, contract).numpy()


def names(known: tuple[str, ...], label: np.ndarray) -> tuple[str, ...]:
    """The names of a label vector."""
    return tuple(known[i] for i in np.flatnonzero(label))
