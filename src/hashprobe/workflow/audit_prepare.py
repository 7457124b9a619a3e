"""What an audit needs before anything is attacked: its subject and its radius."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes
from hashprobe.codes.sharded_codes import in_memory
from hashprobe.data.item_table import ItemTable, read_table
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.false_matching import false_matches
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.threshold import Threshold
from hashprobe.types import Labels
from hashprobe.victims.base import Hasher
from hashprobe.workflow.audit_findings import AGREED
from hashprobe.workflow.audit_options import AuditFiles, AuditOptions
from hashprobe.workflow.audit_subject import (
    COPIES,
    Database,
    DatabaseOptions,
    Places,
    Shown,
    Subject,
    copies_of,
    encoded,
    is_sharded,
    labels_by_id,
    read_database,
    sources_of,
)
from hashprobe.workflow.code_check import check_codes


USUAL = {"pdq": 31, "phash": 10, "dhash": 10, "ahash": 10}
"""Radii at which operators run perceptual hashes (ThreatExchange; imagededup, ImageHash)."""


@dataclass(frozen=True, eq=False)
class Preparation:
    """What is asked, and where notes for a user go."""

    options: AuditOptions
    files: AuditFiles
    sources: Sources | None
    """Which queries and items show the same picture, where the caller says it."""
    labels: Labels | None
    """Labels of the queries, where the caller gives them."""
    database: DatabaseOptions
    notes: list[str]

    def subject(self, victim: Hasher, shown: Shown, given: Any) -> Subject:
        """The victim with its queries and its database.

        Args:
            victim: what is audited.
            shown: the queries.
            given: the database as it was given; None for the queries themselves.

        Raises:
            HashprobeError: a database that does not fit, or codes of another victim.
        """
        clean = encoded(victim, shown.fitted)
        if given is None:
            self.notes.append("no database was given: it holds the queries themselves")
            itself = Sources(np.arange(len(shown)), np.arange(len(shown)), "itself")
            base = Database(clean, shown.names, shown.fitted, itself)
        else:
            base = self.database_of(victim, shown, given)
        table = None if self.files.labels is None else read_table(self.files.labels)
        subject = Subject(
            victim,
            shown,
            clean,
            base.codes,
            base.ids,
            self.sources or sources_of(table, shown, base),
            **(labels_of(table, shown.names, base) or self.given_labels(shown, given, base)),
            item_pictures=base.pictures,
            floats=base.floats,
            again=self.again(shown, given, base),
            served=base.served,
        )
        if table is not None:
            self.note_rows(table, subject, made=base.sources is not None)
        named = self.files.label is not None or "show" in (self.options.goals or ())
        if named and subject.labels is None:
            where = self.files.labels or "Queries and the database"
            raise HashprobeError(f"goal show needs labels of all queries and items in {where}")
        if given is not None:
            self.check_agreement(subject)
        return subject

    def given_labels(self, shown: Shown, given: Any, base: Database) -> dict[str, Any]:
        """Labels of queries and items, where the caller gives both."""
        if self.labels is None:
            return {}
        query = self.labels[[int(name) for name in shown.names]]
        if isinstance(given, Codes) and given.labels is not None:
            item = given.labels
        elif base.sources is not None:  # the queries themselves, or copies of them
            item = query[base.sources.items[:]]
        else:
            return {}
        classes = max(query.shape[1], item.shape[1])
        wide = [np.pad(one, ((0, 0), (0, classes - one.shape[1]))) for one in (query, item)]
        return {"labels": wide[0], "item_labels": wide[1]}

    def note_rows(self, table: ItemTable, subject: Subject, *, made: bool) -> None:
        """Notes what a table does not say; items that the program made need no rows."""
        file, known = self.files.labels, set(table.ids)
        if table.groups is None and subject.labels is None:
            self.notes.append(
                f"{file} has neither a column group nor labels of all queries and items: it says "
                "nothing here"
            )
        elif table.labels is not None and subject.labels is None:
            self.notes.append(f"the labels of {file} are not those of all queries and items")
        for what, ids in (("queries", subject.queries.names), ("items", subject.items)):
            first = next((each for each in ids if each not in known), None)
            if first is not None and not (made and what == "items"):
                lacking = sum(each not in known for each in ids)
                self.notes.append(
                    f"{lacking:,} of {len(ids):,} {what} have no row in {file}, for example "
                    f"{first!r:.80}: they count as known by their ids alone"
                )

    def database_of(self, victim: Hasher, shown: Shown, given: Any) -> Database:
        """The database that is named."""
        if str(given) == COPIES and not Path(COPIES).exists():
            return copies_of(victim, shown, self.database.runtime)
        return read_database(victim, given, self.database)

    def again(
        self, shown: Shown, given: Any, base: Database
    ) -> Callable[[Hasher], PackedCodes] | None:
        """How the items are encoded by another victim; None where there are no pictures."""
        if base.pictures is not None:
            pictures = base.pictures
            return lambda victim: encoded(victim, pictures)
        if isinstance(given, str | Path) and Path(given).is_dir() and not is_sharded(given):
            return lambda victim: in_memory(self.database_of(victim, shown, given).codes)
        return None

    def check_agreement(self, subject: Subject) -> None:
        """Compares the codes of queries with those that are stored under the same id."""
        if not subject.queries.paths or isinstance(subject.items, Places):
            return
        place = {name: row for row, name in enumerate(subject.items)}
        rows = [row for row, name in enumerate(subject.queries.names) if name in place][:AGREED]
        if not rows or len(subject.queries.originals) <= max(rows):
            return
        stored = subject.database[np.array([place[subject.queries.names[row]] for row in rows])]
        check = check_codes(
            subject.victim, stored, [subject.queries.originals[row] for row in rows]
        )
        self.database.runtime.progress.log(str(check))
        if not check.agrees and check.remedy is not None:
            raise HashprobeError(f"these are not the codes of this victim: {check}")
        if not check.equal:
            self.notes.append(str(check))

    def radius(self, subject: Subject) -> tuple[int, Threshold | None]:
        """The radius that is asked for, the usual one, or that of a false-match rate.

        Raises:
            HashprobeError: it is beyond the code, or no radius has the wanted rate.
        """
        asked, bits = self.options.radius, subject.victim.bits
        unknown = subject.sources.found == "alone"
        if unknown:
            self.notes.append(
                "nobody says which items show the same picture as a query: items within the radius "
                "count as its own source; give groups by --labels to know better"
            )
        usual = USUAL.get(getattr(subject.victim, "name", ""))
        if asked is None and usual is not None:
            asked = usual
        if isinstance(asked, int):
            if asked >= bits:
                raise HashprobeError(f"radius must be below the {bits} bits of a code; got {asked}")
            return asked, None
        rates = false_matches(subject.clean, subject.database, subject.sources)
        threshold = rates.threshold(self.options.fpr)
        if threshold.radius is None:
            what = "codes that may be of one picture" if unknown else "codes of different pictures"
            more = " --labels with a column group," if unknown else ""
            raise HashprobeError(
                f"no radius has a false-match rate of {self.options.fpr:g}: {what} are equal; "
                f"give{more} --radius, or a larger --fpr"
            )
        if unknown:
            self.notes.append(
                "the radius counts every pair as different pictures: copies that nobody names make "
                "it smaller"
            )
        if threshold.note:
            self.notes.append(threshold.note)
        return threshold.radius, threshold


def labels_of(table: ItemTable | None, names: Sequence[str], base: Database) -> dict[str, Any]:
    """Labels of queries and items, where both are known."""
    query, item = labels_by_id(table, names), labels_by_id(table, base.ids)
    if query is None or item is None:
        return {}
    names = () if table is None else table.names
    return {"labels": query, "item_labels": item, "label_names": names}
