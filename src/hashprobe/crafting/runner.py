"""Runs an attack over many queries: in chunks, keeping what is finished, and resuming."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch

from hashprobe.attacks.generator import Generator
from hashprobe.attacks.goal import Goal
from hashprobe.attacks.registry import ATTACKS, AttackSpec
from hashprobe.checked import checked
from hashprobe.crafting.attack_folder import check_behaviour, check_victim, open_folder
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.chunk import Chunk
from hashprobe.crafting.deterministic import fixed_batches, repeatable, said
from hashprobe.crafting.elsewhere import Work, attack_elsewhere
from hashprobe.crafting.kept import Kept, kept_at
from hashprobe.crafting.provenance import BEHAVIOUR, recipe_of
from hashprobe.crafting.query_files import clear
from hashprobe.crafting.query_shards import count_finished, shard_size
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule
from hashprobe.progress import Tick, note_kept
from hashprobe.storage.files import jsonable
from hashprobe.storage.lock import hold
from hashprobe.storage.schema import AttackRecord
from hashprobe.types import Runtime
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images8
from hashprobe.victims.preflight import guarded, preflight


CHUNK_BYTES = 64 << 20
"""Pixels of the queries that are on the device together, in float32."""
TOGETHER = 1024
"""Most queries that are on the device together, however small they are."""


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
    the budget, and encoded again in float32 by the hard sign: an attack never decides that it won.
    With `out`, finished queries are soon on the disk, one file and one PNG each, and beyond 64 MiB
    their pixels leave the memory; the same call with the same folder goes on where it stopped and
    attacks again only what is missing or damaged. More than 1,000 queries are kept in files of
    many, about 64 MiB of pixels each and without PNGs; `Runtime.shard` says how many. In another
    batch size it goes on, too; the queries that it attacks then may end at other pixels than they
    would have in the first (see `Runtime`). In the deterministic mode the batch size belongs to the
    attack, and batches are made of the same queries whether it was stopped or not: one that is not
    whole is attacked again.

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
    parts = list(batches(pending, queries, runtime))
    attack = attack_here if runtime.executor is None else attack_elsewhere
    with saying_what_is_kept(kept):
        attack(work, parts, runtime, kept)
    own = queries.labels if queries.labels is not None else goal.own_labels
    return kept.result(spec=spec, clean=queries, own_labels=own)


def attack_here(work: Work, parts: list[list[int]], runtime: Runtime, kept: Kept) -> None:
    """Attacks parts of the queries one after the other, and keeps what is finished."""
    spec, start = work.spec, 0
    bar = runtime.progress.bar(f"{spec.shown}: query steps")
    with repeatable(runtime), bar as tick:
        for rows in parts:
            told = shared_out(tick, start, len(rows), sum(map(len, parts)))
            queries, goal = work.queries.take(rows), work.goal.take(rows)
            Chunk(work.victim, queries, goal, spec, kept.keep, told).attack(runtime)
            start += len(rows)


def batches(pending: list[int], queries: Queries, runtime: Runtime) -> Iterator[list[int]]:
    """The queries that are on the device together; if deterministic whole batches, always alike."""
    if runtime.deterministic:
        size, missing = runtime.batch_size or 1, set(pending)
        for start in range(0, len(queries), size):
            rows = list(range(start, min(start + size, len(queries))))
            if missing.intersection(rows):
                yield rows
        return
    fit = min(TOGETHER, CHUNK_BYTES // (4 * queries.pixels[0].numel()))
    size = max(runtime.batch_size or 1, fit)
    if runtime.executor is not None:  # every worker gets some
        size = min(size, -(-len(pending) // runtime.executor.width) or 1)
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
            done = count_finished(kept.out, kept.ids, kept.size)
            note_kept(stop, done > 0, f"{done} of {len(kept.ids)} queries")
        raise


def shared_out(tick: Tick, before: int, here: int, queries: int) -> Tick:
    """A tick for the query steps of one chunk, which passes them on as those of all queries."""
    return lambda step, most: tick(before * most // here + step, queries * most // here)


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
    own = goal.own_codes
    if own is not None and (len(own), own.bits) != (len(queries), victim.bits):
        raise HashprobeError(
            f"a goal's own codes are those of the clean queries, {len(queries)} of {victim.bits} "
            f"bits; got {len(own)} of {own.bits}"
        )
    check_target_images(queries, goal, spec)
    check_known(victim, goal, spec)
    if "generator" in spec.attack.needs and not isinstance(goal.generator, Generator):
        raise HashprobeError(
            f"attack {spec.name} needs a generator that was trained for the victim: give the goal "
            "one, generator=hashprobe.attacks.train_generator(...)"
        )
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
