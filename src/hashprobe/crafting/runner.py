"""Runs an attack over many queries: in chunks, keeping what is finished, and resuming."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.checked import checked, shown
from hashprobe.crafting.attack_folder import check_behaviour, check_victim, open_folder
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.deterministic import fixed_batches, repeatable, said
from hashprobe.crafting.judge import judge
from hashprobe.crafting.kept import Kept, kept_at
from hashprobe.crafting.provenance import BEHAVIOUR, recipe_of
from hashprobe.crafting.query_files import QueryRecord, clear
from hashprobe.crafting.query_shards import shard_size
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule
from hashprobe.progress import Tick, note_kept
from hashprobe.storage.files import jsonable
from hashprobe.storage.lock import hold
from hashprobe.storage.schema import AttackRecord
from hashprobe.tensors import Images
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images8
from hashprobe.victims.encoding import device_of
from hashprobe.victims.passes import PassCounter
from hashprobe.victims.preflight import guarded, preflight


CHUNK_BYTES = 64 << 20
"""Pixels of the queries that are on the device together, in float32."""
PATIENCE = 20.0
"""Seconds after which finished queries are kept even if they are few."""
JUDGED = 32
"""Queries encoded at once: plenty for a processor, little for a memory."""


@checked
def craft(
    victim: Hasher,
    queries: Queries,
    goal: Goal,
    spec: AttackSpec = AttackSpec(),
    *,
    runtime: Runtime = Runtime(),
    out: Path | None = None,
    overwrite: bool = False,
) -> AttackResult:
    """Attacks queries and says what a search engine would be sent.

    Whatever the attack returns is projected onto the budget and [0, 1], rounded to 8 bits within
    the budget, and encoded again in float32 by the hard sign: an attack never decides that it
    won. With `out`, finished queries are soon on the disk, one file and one PNG each, and their
    pixels leave the memory; the same call with the same folder goes on where it stopped and attacks
    again only what is missing or damaged. More than 1,000 queries are kept in files of many, about
    64 MiB of pixels each and without PNGs; `Runtime.shard` says how many. In another batch size it
    goes on, too; the queries that it attacks then may end at other pixels than they would have in
    the first (see `Runtime`). In the deterministic mode the batch size belongs to the attack, and
    batches are made of the same queries whether it was stopped or not: one that is not whole is
    attacked again.

    Args:
        victim: in float32; left as it was. Queries go to its device.
        queries: Q clean images or clips, uint8, with distinct ids that name files and decide on
            chance.
        goal: target codes of the Q queries, from `targets`. An untargeted attack is handed none; it
            is scored with those that are given.
        spec: which attack, options, budget and seed.
        runtime: precision of gradients, batch size, who is told.
        out: folder to keep results in and to resume from.
        overwrite: whether to throw away what another attack left in `out`.

    Returns:
        Float and 8-bit adversarial queries with their codes, in the order of the queries.

    Raises:
        HashprobeError: input that does not fit, a folder that holds another attack, an attack on
            another victim, or that cannot be written, a device out of memory.

    Example:
        >>> from hashprobe.types import Budget
        >>> from hashprobe.victims import ImageHasher
        >>> queries = Queries(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8), (7, 9))
        >>> spec = AttackSpec("noise", budget=Budget(8 / 255))
        >>> result = craft(ImageHasher("small", 16), queries, Goal.untargeted(), spec)
        >>> len(result), int((result.images8.int() - queries.pixels.int()).abs().max()) <= 8
        (2, True)
    """
    check_work(victim, queries, goal, spec)
    gradients = "gradients" in spec.attack.needs
    check_access(victim, spec)
    found = preflight(victim, queries, gradients=gradients, batch_size=runtime.batch_size)
    for note in found.notes:
        runtime.progress.log(note)
    runtime = fixed_batches(runtime, queries.pixels)
    recipe = recipe_of(victim, queries, goal, spec, runtime.precision) | said(runtime)
    recipe |= {BEHAVIOUR: jsonable(found.outputs)}
    with nullcontext() if out is None else hold(out), guarded(victim, found):
        return craft_into(out, recipe, Work(victim, queries, goal, spec), runtime, overwrite)


def check_access(victim: Hasher, spec: AttackSpec) -> None:
    """Refuses an attack by gradients on a victim that can only be asked, and names the others.

    Raises:
        HashprobeError: the attack needs gradients and the victim has none.
    """
    if not victim.query_only or "gradients" not in spec.attack.needs:
        return
    others = [name for name, attack in ATTACKS.items() if "gradients" not in attack.needs]
    raise HashprobeError(
        f"{victim.query_only}: it gives no gradients, which attack {spec.name} needs; attacks that "
        f"need none: {', '.join(others)}"
    )


@dataclass(frozen=True, eq=False)
class Work:
    """What is asked of an attack, checked."""

    victim: Hasher
    queries: Queries
    goal: Goal
    spec: AttackSpec


def craft_into(
    out: Path | None, recipe: dict[str, Any], work: Work, runtime: Runtime, overwrite: bool
) -> AttackResult:
    """Attacks the queries that are not finished yet in a folder, or all of them without one."""
    victim, queries, goal, spec = work.victim, work.queries, work.goal, work.spec
    whole = runtime.batch_size or 1 if runtime.deterministic else 1
    shard = shard_size(len(queries), queries.pixels[0].numel(), runtime.shard, whole)
    kept = kept_at(None, recipe, queries.ids, None)
    if out is not None:
        kept = open_folder(out, recipe, queries.ids, overwrite, shard)
        try:
            check_victim(victim, queries, kept, out)
            check_behaviour(kept.recipe, recipe, out)
        except HashprobeError:
            if not overwrite:
                raise
            clear(out)
            AttackRecord(recipe, queries.ids, shard=shard).write(out)
            kept = kept_at(out, recipe, queries.ids, shard)
    pending = kept.pending()
    if len(kept):
        runtime.progress.log(f"{len(kept)} of {len(queries)} queries are finished already")
    bar = runtime.progress.bar(f"{spec.shown}: query steps")
    with saying_what_is_kept(kept), repeatable(runtime), bar as tick:
        start, parts = 0, list(batches(pending, queries, runtime))
        for rows in parts:
            told = shared_out(tick, start, len(rows), sum(map(len, parts)))
            chunk = Chunk(victim, queries.take(rows), goal.take(rows), spec, kept.keep, told)
            chunk.attack(runtime)
            start += len(rows)
    own = queries.labels if queries.labels is not None else goal.own_labels
    return kept.result(spec=spec, clean=queries, own_labels=own)


def batches(pending: list[int], queries: Queries, runtime: Runtime) -> Iterator[list[int]]:
    """The queries that are on the device together; if deterministic whole batches, always alike."""
    if runtime.deterministic:
        size, missing = runtime.batch_size or 1, set(pending)
        for start in range(0, len(queries), size):
            rows = list(range(start, min(start + size, len(queries))))
            if missing.intersection(rows):
                yield rows
        return
    size = max(runtime.batch_size or 1, CHUNK_BYTES // (4 * queries.pixels[0].numel()))
    for start in range(0, len(pending), size):
        yield pending[start : start + size]


@contextmanager
def saying_what_is_kept(kept: Kept) -> Iterator[None]:
    """Writes what waits for the rest of a shard; adds to an interrupt how much is kept."""
    try:
        yield
    except BaseException as stop:
        with suppress(HashprobeError):  # a disk that is full is what stopped it
            kept.close()
        if isinstance(stop, KeyboardInterrupt) and kept.out is not None:
            note_kept(stop, len(kept) > 0, f"{len(kept)} of {len(kept.ids)} queries")
        raise


def shared_out(tick: Tick, before: int, here: int, queries: int) -> Tick:
    """A tick for the query steps of one chunk, which passes them on as those of all queries."""
    return lambda step, most: tick(before * most // here + step, queries * most // here)


class Chunk:
    """Some queries on the device; keeps and judges them as an attack finishes them.

    Args:
        victim: the victim.
        queries8: the queries, uint8.
        goal: their goal.
        spec: what is asked.
        keep: called with finished queries by id.
        tick: called with (query steps done, query steps at most).
    """

    def __init__(
        self,
        victim: Hasher,
        queries8: Queries,
        goal: Goal,
        spec: AttackSpec,
        keep: Callable[[dict[int, QueryRecord]], None],
        tick: Tick,
    ) -> None:
        self.victim, self.queries8, self.goal, self.spec = victim, queries8, goal, spec
        self.keep, self.step = keep, tick
        self.counter = PassCounter(len(queries8))
        self.waiting: dict[int, Images] = {}
        self.kept: set[int] = set()
        self.last = time.perf_counter()
        self.most, self.patience = JUDGED, PATIENCE

    def attack(self, runtime: Runtime) -> None:
        """Attacks the queries."""
        device, attack, spec = device_of(self.victim), self.spec.attack, self.spec
        self.most = min(JUDGED, runtime.batch_size or JUDGED)
        if runtime.deterministic:  # judged together at the end, in their order
            self.most, self.patience = len(self.queries8) + 1, math.inf
        queries = self.queries8.on(device)
        goal = self.goal if "database" in attack.needs else replace(self.goal, known=None)
        if attack.goal == "untargeted":
            own = goal.own_labels if goal.known is not None else None
            goal = Goal.untargeted(own, goal.known)
        if goal.images is not None:
            goal = replace(goal, images=goal.images.on(device))
        try:
            with self.counter.counting(self.victim):
                moved = attack.run(
                    self.victim,
                    queries,
                    goal,
                    budget=spec.budget,
                    options=spec.options,
                    seed=spec.seed,
                    runtime=replace(runtime, watch=self),
                )
            if not isinstance(moved, torch.Tensor):
                raise HashprobeError(f"the attack returned {shown(moved)}, not a tensor of pixels")
            if moved.shape != queries.pixels.shape:
                raise HashprobeError(
                    f"the attack returned shape {tuple(moved.shape)} for "
                    f"{tuple(queries.pixels.shape)}"
                )
            # Queries that were handed over early count as they were then.
            rest = [row for row in range(len(queries)) if row not in self.kept | set(self.waiting)]
            self.waiting |= {row: moved[row].detach() for row in rest}
            if self.waiting:
                self.flush()
        except torch.OutOfMemoryError as error:
            raise HashprobeError(
                f"{device} is out of memory: choose a smaller batch size"
            ) from error

    def finished(self, rows: list[int], images: Images) -> None:
        """Takes queries that the attack has finished."""
        if self.kept.union(self.waiting).intersection(rows):
            raise HashprobeError(
                "the attack finished a query twice: it may hand its runtime to one call of solve "
                "with all queries; other calls take Runtime() instead"
            )
        self.waiting.update(zip(rows, images.detach().clone(), strict=True))
        if len(self.waiting) >= self.most or time.perf_counter() - self.last > self.patience:
            self.flush()

    def flush(self) -> None:
        """Judges and keeps the queries that are waiting."""
        # The attack's own time so far, shared out among the queries that it has finished.
        seconds = (time.perf_counter() - self.last) / len(self.waiting)
        rows = list(self.waiting) if math.isfinite(self.patience) else sorted(self.waiting)
        for start in range(0, len(rows), JUDGED):
            some = rows[start : start + JUDGED]
            images = torch.stack([self.waiting.pop(row) for row in some])
            part, goal = self.queries8.take(some), self.goal.take(some)
            judged = judge(self.victim, part, images, goal, self.spec.budget)
            self.kept.update(some)
            self.keep(
                {
                    query_id: one._replace(
                        seconds=seconds,
                        forwards=int(self.counter.forwards[row]),
                        backwards=int(self.counter.backwards[row]),
                    )
                    for query_id, row, one in zip(part.ids, some, judged, strict=True)
                }
            )
        self.last = time.perf_counter()


def check_work(victim: Hasher, queries: Queries, goal: Goal, spec: AttackSpec) -> None:
    """Refuses input that does not fit before anything is computed or written."""
    check_images8(queries.pixels)
    check_frame_rule(spec.budget, queries.pixels)
    if spec.attack.goal == "targeted" and spec.function is None and goal.codes is None:
        raise HashprobeError(f"attack {spec.name} needs target codes: make a goal by targets()")
    if goal.codes is not None:
        if goal.codes.shape[1] != victim.bits:
            raise HashprobeError(
                f"target codes have {goal.codes.shape[1]} bits but the victim gives {victim.bits}"
            )
        if len(goal) != len(queries):
            raise HashprobeError(
                f"{len(goal)} target codes for {len(queries)} images: give one per image"
            )
    check_target_images(queries, goal, spec)
    check_known(victim, goal, spec)
    twice, times = Counter(queries.ids).most_common(1)[0]
    if times > 1:
        raise HashprobeError(f"query id {twice} appears more than once: ids name files")
    for weight in victim.parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise HashprobeError(
                f"the victim's weights are {str(weight.dtype).removeprefix('torch.')} but attacks "
                "are judged in float32: call victim.float() first"
            )


def check_known(victim: Hasher, goal: Goal, spec: AttackSpec) -> None:
    """Refuses a database that is missing, or whose codes are not the victim's."""
    if "database" not in spec.attack.needs:
        return
    labels = goal.labels if spec.attack.goal == "targeted" else goal.own_labels
    if goal.known is None or labels is None:
        raise HashprobeError(
            f"attack {spec.name} needs codes with labels of the database, and labels of the "
            "queries: make a goal by targets(database, avoid=labels)"
        )
    if goal.known.bits != victim.bits:
        raise HashprobeError(
            f"the database's codes have {goal.known.bits} bits but the victim gives {victim.bits}"
        )


def check_target_images(queries: Queries, goal: Goal, spec: AttackSpec) -> None:
    """Refuses target images that are missing, not wanted, or of another shape than the queries."""
    wanted = "target images" in spec.attack.needs
    if wanted and goal.images is None:
        raise HashprobeError(f"attack {spec.name} steers to images: give target images")
    if goal.images is None:
        return
    if not wanted and spec.function is None:
        raise HashprobeError(f"attack {spec.name} takes no target images")
    check_images8(goal.images.pixels)
    # Clips of the database may be longer than all queries.
    there, here = goal.images.pixels.shape, queries.pixels.shape
    if (there[:1], len(there), there[-3:]) != (here[:1], len(here), here[-3:]):
        raise HashprobeError(f"target images have shape {tuple(there)}, the queries {tuple(here)}")
