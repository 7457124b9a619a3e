"""An audit: what an adversary can do to a victim and its database, and what helps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from hashprobe.attacks.registry import attack_named
from hashprobe.checked import checked
from hashprobe.codes.sharded_codes import in_memory
from hashprobe.data.arrays import as_pixels
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.health import code_health
from hashprobe.evaluation.instances import Sources
from hashprobe.evaluation.outcome import Evaluation
from hashprobe.evaluation.threshold import Threshold
from hashprobe.storage.environment import hashprobe_version
from hashprobe.storage.files import write_bytes, write_json
from hashprobe.storage.guards import refuse_links
from hashprobe.storage.lock import hold
from hashprobe.text import nearest, without_password
from hashprobe.types import Labels, Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of
from hashprobe.victims.loading import load_victim
from hashprobe.victims.preflight import guarded, preflight
from hashprobe.victims.wrap import as_victim
from hashprobe.workflow.audit_findings import leak_note, quality_gate, victim_facts
from hashprobe.workflow.audit_hardened import Hardened, hardened, in_place
from hashprobe.workflow.audit_labels import steered
from hashprobe.workflow.audit_ladder import Attacker, Ladder, Plan, climb
from hashprobe.workflow.audit_numbers import (
    best_budget,
    false_rates,
    goal_result,
    list_measures,
    matching,
)
from hashprobe.workflow.audit_options import (
    Access,
    AuditFiles,
    AuditGoal,
    AuditOptions,
    check_asked,
)
from hashprobe.workflow.audit_pictures import edited, samples
from hashprobe.workflow.audit_plans import BlockList, collide, enter, evade
from hashprobe.workflow.audit_prepare import Preparation
from hashprobe.workflow.audit_remedies import other_radii, remedies
from hashprobe.workflow.audit_result import AuditResult, GoalResult, RemedyResult
from hashprobe.workflow.audit_second_hash import Agreed, second_hash
from hashprobe.workflow.audit_subject import (
    DatabaseOptions,
    Subject,
    read_database,
    read_queries,
)
from hashprobe.workflow.audit_time import attacks_in_all, seconds_each
from hashprobe.workflow.audit_transfer import transferred
from hashprobe.workflow.audit_two_stage import TwoStage
from hashprobe.workflow.expected import say_expected
from hashprobe.workflow.run_io import pick_device


OWN = {"audit.json", "attacks", "codes"}
"""Names in the folder of an audit, of which one tells it."""
PROBED = 4
"""Queries on which a victim is probed."""
ATTACK_OF: dict[Access, str] = {"white": "bit-margin", "query": "nes"}
"""The attack of each kind of access."""


@checked
def audit(
    victim: Any,
    queries: Any,
    database: Any = None,
    *,
    options: AuditOptions | None = None,
    files: AuditFiles = AuditFiles(),
    sources: Sources | None = None,
    out: str | Path | None = None,
    runtime: Runtime = Runtime(),
    command: str = "",
    **more: Any,
) -> AuditResult:
    """Measures what an adversary can do to a victim and its database.

    Queries are matched within a radius, before and after attacks at growing budgets, by the codes
    that the victim really gives for 8-bit pictures. The measures are those of operators:
    evasion, collision, false matches, result lists, benign edits.

    Args:
        victim: a `Victim`, a torch module, a name such as `pdq`, or a file, see `load_victim`.
        queries: a folder of pictures, or pixels, (N, 3, H, W) or a list of (3, H, W), uint8 or
            floating in [0, 1]; `Queries` may have labels, beside a database of `Codes` with labels,
            or none. Otherwise labels come from `files.labels`.
        database: a file of codes, a folder of files `NAME.codes.npy`, which stay there, an address
            of Postgres, a folder of pictures, `Codes`, or `copies` for edited copies of the
            queries; None takes the queries themselves.
        options: what is measured; or its fields as keywords.
        files: labels and groups, a list to enter, an item to collide with, surrogates.
        sources: which queries and items show the same picture; None takes the column group of
            `files.labels`, or equal ids, or else what the hash itself finds.
        out: a folder that keeps finished work, the record and the page; None keeps nothing.
        runtime: batch size, workers, who is told.
        command: how a user runs it again, for the page.
        more: fields of `AuditOptions`, such as `radius=31`.

    Returns:
        The numbers; print it, or take `.to_json()`, `.report(path)`.

    Raises:
        HashprobeError: input that does not fit; the message says what was seen and what to do.

    Example:
        >>> import torch
        >>> from hashprobe.victims import Victim
        >>> generator = torch.manual_seed(0)
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 16))
        >>> done = audit(Victim(net, bits=16, size=8), torch.rand(12, 3, 8, 8), radius=2,
        ...              eps=(8 / 255,), exact=False, edits=False)
        >>> done.goal("evade").queries
        12
    """
    if options is not None and more:
        raise HashprobeError("give options= or single options as keywords, not both")
    asked = options_of(more) if options is None else options
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_links(folder)
    with nullcontext() if folder is None else holding(folder):
        labels = None
        if isinstance(queries, Queries):
            queries, labels = queries.pixels, queries.labels
        work = Work(asked, files, sources, labels, folder, runtime, without_password(command))
        return work.run(victim, queries, database)


def options_of(more: dict[str, Any]) -> AuditOptions:
    """Options by name; unknown ones are refused."""
    known = [one.name for one in fields(AuditOptions)]
    for name in more:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"there are {', '.join(known)}"
            raise HashprobeError(f"audit has no option {name}: {hint}")
    return AuditOptions(**more)


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Makes a folder and holds it; refuses one that holds something else."""
    if folder.exists() and not folder.is_dir():
        raise HashprobeError(f"{folder} is no folder: give --out a new one")
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else set()
    names = {name for name in names if not name.startswith(".")}
    if names and ("run.json" in names or not names & OWN):
        raise HashprobeError(
            f"{folder} holds something else than an audit: give --out a new folder"
        )
    with hold(folder):
        yield


@dataclass(eq=False)
class Work:
    """One audit on its way."""

    options: AuditOptions
    files: AuditFiles
    sources: Sources | None
    labels: Labels | None
    folder: Path | None
    runtime: Runtime
    command: str
    notes: list[str] = field(default_factory=list)

    def run(self, victim: Any, queries: Any, database: Any) -> AuditResult:
        """Every step, in order."""
        check_asked(self.options, self.files, labelled=self.labels is not None)
        hasher = opened(victim, queries)
        hasher = hasher.to(pick_device(self.runtime.device))
        if hasher.contract.frames:
            raise HashprobeError("an audit is of pictures; this victim takes clips")
        shown, bad = read_queries(hasher, queries, self.options.count, self.runtime.skip_bad)
        self.notes += bad
        alike = [one for one in shown.fitted if one.shape == shown.fitted[0].shape]
        probe = Queries(torch.stack(alike[:PROBED]))
        found = preflight(
            hasher,
            probe,
            gradients=self.options.access == "white",
            batch_size=self.runtime.batch_size,
        )
        self.notes += found.notes
        for note in (*bad, *found.notes):
            self.runtime.progress.log(note)
        with guarded(hasher, found):
            how = Preparation(
                self.options, self.files, self.sources, self.labels, self.database, self.notes
            )
            subject = how.subject(hasher, shown, database)
            radius, threshold = how.radius(subject)
            result = self.measure(subject.at(radius), radius, threshold)
        if self.folder is not None:
            write_json(self.folder / "audit.json", result.to_json())
            write_bytes(self.folder / "report.md", result.markdown().encode())
            result.report(self.folder / "report.html")
        return result

    @property
    def database(self) -> DatabaseOptions:
        """How databases are read."""
        keep = None if self.folder is None else self.folder / "codes"
        floats = self.options.rerank != "none"
        served = self.options.access == "query"
        return DatabaseOptions(self.runtime, self.files.convention, keep, floats, served)

    def measure(self, subject: Subject, radius: int, threshold: Threshold | None) -> AuditResult:
        """All numbers."""
        asked = self.options
        listed = self.listed(subject)
        plans = self.plans(subject, radius, listed)
        here = device_of(subject.victim)
        surrogates = [load_victim(name).to(here) for name in self.files.surrogates]
        if asked.access == "query" and not asked.distances and asked.top >= len(subject.database):
            raise HashprobeError(
                f"a list of {asked.top} ids holds all {len(subject.database)} items whatever is "
                "asked: give a smaller --top, or distances"
            )
        second = None
        if asked.rerank != "none":
            second = TwoStage.of(subject, subject.floats, asked.top, asked.oversample)
        agreed = self.agreed(subject, radius)
        gradients = asked.access == "white"
        hard = hardened(subject, self.files.hardened, radius, threshold, gradients=gradients)
        one = seconds_each(subject, self.attacker(subject).options)
        times = attacks_in_all(subject, plans, asked, self.files)
        say_expected(self.runtime.progress, "attacking", one * times)
        climbs = [
            climb(self.attacker(subject), plan, asked.eps, exact=asked.exact) for plan in plans
        ]
        searches = asked.query_budget if asked.access == "query" else 0
        goals = [goal_result(one, searches=searches) for one in climbs]
        first = next((one for one in climbs if one.plan.name == "evade"), None)
        if first is not None:
            goals += self.transfers(subject, first, surrogates)
        lists = list_measures(subject, first, asked.top)
        if asked.top >= len(subject.database):
            self.notes.append(
                f"a list of {asked.top} holds all {len(subject.database)} items: measures of lists "
                "were left out"
            )
        if second is not None:
            some = [one for one in climbs if one.plan.name in ("evade", "collide")]
            lists |= second.measures(some, self.attacker(subject), max(asked.eps))
        known, notes = victim_facts(subject)
        self.notes += notes
        if asked.access == "query" and asked.distances:
            self.notes.append(leak_note(subject))
        eps = best_budget(goals) if goals else max(asked.eps)
        helps = bool(goals)
        return AuditResult(
            options=asked,
            victim=known,
            queries=len(subject),
            items=len(subject.database),
            radius=radius,
            threshold=threshold,
            match=matching(subject, radius),
            false_matches=false_rates(subject),
            lists=lists,
            health=code_health(subject.database) if len(subject.database) > 1 else None,
            goals=tuple(goals),
            edits=edited(subject, radius, self.runtime.progress) if asked.edits else (),
            remedies=tuple(self.remedies(subject, radius, eps, agreed, hard) if helps else ()),
            radii=tuple(
                other_radii(subject, radius, eps, self.files.item, self.attacker)
                if helps and asked.mitigate
                else ()
            ),
            labels=self.shown_label(subject),
            quality=quality_gate(subject, climbs),
            notes=tuple(self.notes),
            samples=tuple(samples(subject, climbs, asked.examples)),
            asked=self.files.to_json(),
            command=self.command,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            version=hashprobe_version(),
        )

    def agreed(self, subject: Subject, radius: int) -> Agreed | None:
        """The search in which a second hash must agree, where remedies are asked for."""
        files, asked = self.files, self.options
        if not asked.mitigate or asked.access == "query":
            return None
        own = getattr(subject.victim, "name", "")
        try:
            second = load_victim(files.second_hash or ("pdq" if own == "phash" else "phash"))
            second = second.to(device_of(subject.victim))
            return Agreed.of(subject, second, (radius, files.second_radius))
        except HashprobeError as error:
            if files.second_hash is not None:
                raise
            self.notes.append(f"a second hash was left out of the remedies: {error}")
            return None

    def remedies(
        self,
        subject: Subject,
        radius: int,
        eps: float,
        agreed: Agreed | None,
        hard: list[Hardened],
    ) -> Iterator[RemedyResult]:
        """What helps: preprocessors, a second hash, hardened networks."""
        item = self.files.item
        if self.options.mitigate:
            yield from remedies(subject, radius, eps, item, self.attacker)
        if agreed is not None:
            yield second_hash(agreed, eps, item, self.attacker)
        for one in hard:
            yield in_place(one, eps, item, self.attacker)

    def listed(self, subject: Subject) -> BlockList | None:
        """The list that an adversary wants to enter, if there is one."""
        given = self.files.block_list
        if given is None or not self.options.wants("enter"):
            return None
        how = DatabaseOptions(self.runtime, self.files.convention)
        codes = read_database(subject.victim, given, how).codes
        return BlockList(in_memory(codes), without_password(str(given)))

    def transfers(
        self, subject: Subject, first: Ladder, surrogates: list[Hasher]
    ) -> list[GoalResult]:
        """Evasion with pictures that are crafted on each surrogate, at the largest budget.

        An adversary with query access goes on by queries from there.
        """
        found = []
        for place, surrogate in enumerate(surrogates):
            # The adversary has the surrogate, whatever it sees of the victim.
            attacker = self.attacker(subject, f"surrogate-{place}", access="white")
            done = transferred(subject, first.plan, surrogate, attacker, max(self.options.eps))
            found.append(goal_result(done, surrogate.title))
            if self.options.access == "query":
                start = dict(zip(first.plan.rows.tolist(), done.images, strict=True))
                searching = self.attacker(subject, f"from-surrogate-{place}")
                searching = replace(searching, start=start)
                done = climb(searching, first.plan, (max(self.options.eps),), exact=False)
                by, most = f"{surrogate.title}, then by queries", self.options.query_budget
                found.append(goal_result(done, by, most))
        return found

    def shown_label(self, subject: Subject) -> Evaluation | None:
        """MAP and t-MAP of queries steered to other labels, at the largest budget."""
        asked = self.options
        if subject.labels is None or asked.access == "query" or not asked.wants("show"):
            return None
        try:
            who, label = self.attacker(subject, "labels"), self.files.label
            return steered(subject, who, max(asked.eps), label)
        except HashprobeError as error:
            if asked.goals is not None or self.files.label is not None:
                raise
            self.notes.append(f"goal show was left out: {error}")
            return None

    def plans(self, subject: Subject, radius: int, listed: BlockList | None) -> list[Plan]:
        """What the adversary wants, as far as the data allow it."""
        asked, top = self.options, self.options.top
        makes: dict[AuditGoal, Callable[[], Plan]] = {
            "evade": lambda: evade(subject, radius, top),
            "collide": lambda: collide(subject, radius, asked.seed, self.files.item, top),
        }
        if listed is not None:
            makes["enter"] = lambda: enter(subject, radius, listed, top)
        plans = [
            self.allowed(make, goal) for goal, make in makes.items() if self.options.wants(goal)
        ]
        return [plan for plan in plans if plan is not None]

    def allowed(self, make: Callable[[], Plan], goal: str) -> Plan | None:
        """A plan; where it makes no sense by default, a note says why."""
        try:
            return make()
        except HashprobeError as error:
            if self.options.goals is not None or (
                goal == "collide" and self.files.item is not None
            ):
                raise
            self.notes.append(f"goal {goal} was left out: {error}")
            return None

    def attacker(self, subject: Subject, place: str = "", access: Access | None = None) -> Attacker:
        """Who attacks a subject through its victim, and keeps what is finished in a folder."""
        asked = self.options
        attack = ATTACK_OF[access or asked.access]
        known: dict[str, Any] = {"steps": asked.steps}
        if attack != ATTACK_OF["white"]:
            known = {"query_budget": asked.query_budget, "distances": asked.distances}
        options = attack_named(attack).options(**known)
        folder = None if self.folder is None else self.folder / "attacks" / place
        victim = subject.victim
        return Attacker(subject, victim, attack, options, asked.seed, self.runtime, folder)


def opened(victim: Any, queries: Any) -> Hasher:
    """The victim."""
    if isinstance(victim, str | Path):
        return load_victim(victim)
    if isinstance(victim, Hasher):
        return victim
    if isinstance(queries, str | Path):
        raise HashprobeError(
            "a folder of queries needs a victim that knows its input: wrap the module in "
            "hashprobe.Victim(..., bits=, size=)"
        )
    made = as_victim(victim, as_pixels(queries))
    made.title = type(victim).__name__
    return made
