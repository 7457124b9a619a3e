"""Pictures of an audit: benign edits, and attacked pictures for the page."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.data.edits import EDITS, apply_edit
from hashprobe.data.fitting import fit_image
from hashprobe.evaluation.lists import nearest_items
from hashprobe.evaluation.matching import match_rate
from hashprobe.progress import Progress
from hashprobe.workflow.audit_ladder import Ladder
from hashprobe.workflow.audit_plans import nearest_own
from hashprobe.workflow.audit_result import EditResult, Sample
from hashprobe.workflow.audit_subject import Subject, encoded


LISTED = 5
"""Items of a list on the page."""


def edited(subject: Subject, radius: int, progress: Progress) -> tuple[EditResult, ...]:
    """How many queries that match still do after each benign edit."""
    rows = np.arange(len(subject.queries.originals))
    rows = rows[nearest_own(subject, subject.clean[rows], rows) <= radius]
    if not len(rows):
        return ()
    found = []
    with progress.bar("benign edits") as tick:
        for done, edit in enumerate(EDITS.values()):
            codes = encoded(subject.victim, [changed(subject, int(row), edit.name) for row in rows])
            sources = subject.sources.take(rows)
            rate = match_rate(codes, subject.database, sources, radius, rounding="uint8")
            moved = float(paired_hamming(codes, subject.clean[rows]).mean())
            found.append(EditResult(edit.name, edit.title, rate, moved))
            tick(done + 1, len(EDITS))
    return tuple(found)


def changed(subject: Subject, row: int, edit: str) -> Tensor:
    """A query after a benign edit, as the victim is given it."""
    picture = subject.queries.originals[row].permute(1, 2, 0).numpy()
    after = torch.from_numpy(apply_edit(edit, picture)).permute(2, 0, 1).contiguous()
    return fit_image(after, subject.victim.contract)


def samples(subject: Subject, climbs: Sequence[Ladder], count: int) -> Iterator[Sample]:
    """Attacked pictures for the page: of each goal the first ones that have it."""
    share = -(-count // max(1, len(climbs)))
    for done in climbs:
        for at in np.flatnonzero(np.isfinite(done.least))[:share]:
            image = done.images[at]
            assert image is not None
            row = int(done.plan.rows[at])
            yield Sample(
                subject.queries.names[row],
                done.plan.name,
                float(done.least[at]),
                subject.queries.fitted[row].numpy(),
                image.cpu().numpy(),
                nearest(subject, subject.clean[row : row + 1], row),
                nearest(subject, encoded(subject.victim, [image]), row),
            )


def nearest(subject: Subject, code: PackedCodes, row: int) -> tuple[tuple[str, int, bool], ...]:
    """The first items of a search: id, distance, whether of the query's own source."""
    places = nearest_items(code, subject.database, min(LISTED, len(subject.database)))[0]
    distances = paired_hamming(code[np.zeros(len(places), int)], subject.database[places])
    own = set(subject.own[row].tolist())
    return tuple(
        (subject.items[place], int(distance), int(place) in own)
        for place, distance in zip(places, distances, strict=True)
    )
