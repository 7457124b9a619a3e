"""The runner: attacks in chunks, keeps what is finished, and resumes."""

import inspect
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.attacks.contract import Attack, AttackFunction, QueryIds, checked_ids
from hashprobe.attacks.registry import ATTACKS, DEFAULT
from hashprobe.attacks.targets import TargetCodes
from hashprobe.crafting.chunk import Job, attack_chunk
from hashprobe.crafting.provenance import differences, recipe_of
from hashprobe.crafting.record import (
    Attacked,
    Crafted,
    clear,
    read_index,
    read_query,
    repair_png,
    without_pixels,
    write_index,
    write_query,
)
from hashprobe.errors import HashprobeError
from hashprobe.optim.frames import check_frame_rule
from hashprobe.optim.session import OnStep, Precision, Session
from hashprobe.tensors import Images, Images8
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher
from hashprobe.victims.checks import check_images8, check_targets


OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with (queries finished, queries in all)."""

CHUNK_BYTES = 64 << 20
"""Pixels of the queries that are on the device together, in float32."""


def craft(
    hasher: Hasher,
    images8: Images8,
    query_ids: QueryIds,
    targets: TargetCodes,
    *,
    attack: str | AttackFunction = DEFAULT,
    budget: Budget,
    options: Any = None,
    seed: int = 0,
    batch_size: int | None = None,
    precision: Precision = "float32",
    target_images8: Tensor | None = None,
    target_lengths: Int64[Tensor, " n"] | None = None,
    lengths: Int64[Tensor, " n"] | None = None,
    out: Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_step: OnStep | None = None,
) -> Attacked:
    """Attacks queries and says what a search engine would be sent.

    Whatever the attack returns is projected onto the budget and [0, 1], rounded to 8 bits within
    the budget, and encoded again in float32 by the hard sign: an attack never decides that it
    won. With `out`, finished queries are soon on the disk, one file and one PNG each, and their
    pixels leave the memory; the same call with the same folder, in any batch size, goes on where
    it stopped and attacks again only what is missing or damaged.

    Args:
        hasher: the victim, in float32; left as it was. Queries go to its device.
        images8: (Q, 3, H, W) clean queries, uint8; or clips, (Q, T, 3, H, W).
        query_ids: (Q,) distinct whole numbers from 0; they name files and decide on chance.
        targets: target labels and codes of the Q queries, from `draw_target_codes`.
        attack: a name from `ATTACKS`, or a function with the signature of one.
        budget: l-infinity radius and the space it counts in.
        options: the attack's options; by default those of its name.
        seed: 0 or above; goes to the attack.
        batch_size: queries in the network at once; None chooses by the memory of the machine. It
            plays no part in the result beyond the rounding of the network's own kernels.
        precision: what gradients are computed in, `float32` or `bfloat16`; judgement is float32.
        target_images8: (Q, 3, H, W) uint8, for attacks that steer to an image: a database item with
            the target label for each query.
        target_lengths: (Q,) frames of each of these, where they are clips.
        lengths: (Q,) frames of each clip, from 1 to T; None for images.
        out: folder to keep results in and to resume from.
        overwrite: throw away what another attack left in `out`.
        on_progress: called with (queries finished, Q) at the start and after some are kept.
        on_step: called with (query steps done, query steps at most) of all Q queries that were
            not finished before.

    Returns:
        Float and 8-bit adversarial queries with their codes, in the order of `query_ids`.

    Raises:
        HashprobeError: input that does not fit, an unknown attack or options of another, a folder
            that holds another attack or cannot be written, a device out of memory.

    Example:
        >>> import numpy as np
        >>> from hashprobe.victims import ImageHasher
        >>> images8 = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> targets = TargetCodes(
        ...     np.eye(2, dtype=bool), np.ones((2, 16), np.int8), np.zeros((2, 1), np.int64))
        >>> result = craft(ImageHasher("small", 16), images8, [7, 9], targets, attack="noise",
        ...                budget=Budget(8 / 255))
        >>> len(result), int((result.images8.int() - images8.int()).abs().max()) <= 8
        (2, True)
    """
    ids = list(checked_ids(query_ids, len(images8)))
    run, options, name = resolve(attack, options)
    check_work(hasher, images8, ids, targets)
    check_target_images(attack, images8, target_images8)
    check_lengths(images8, lengths)
    if target_images8 is not None:
        check_lengths(target_images8, target_lengths, "target clips")
    check_frame_rule(budget, images8)
    session = Session(precision=precision, batch_size=batch_size)
    recipe = recipe_of(
        hasher, images8, ids, targets, name, budget, options, seed, precision, target_images8,
        lengths, target_lengths,
    )  # fmt: skip
    done = open_folder(out, recipe, ids, overwrite) if out is not None else {}
    pending = [row for row, query_id in enumerate(ids) if query_id not in done]
    if on_progress is not None:
        on_progress(len(done), len(ids))

    def keep(finished: list[tuple[int, Crafted]]) -> None:
        for query_id, one in finished:
            if out is not None:
                write_query(out, recipe, query_id, one)
                one = without_pixels(one)
            done[query_id] = one
        if on_progress is not None:
            on_progress(len(done), len(ids))

    each = 4 * images8[0].numel()
    size = max(batch_size or 1, CHUNK_BYTES // each)
    for start in range(0, len(pending), size):
        rows = pending[start : start + size]
        job = Job(
            clean8=images8[rows],
            labels=targets.labels[rows],
            codes=targets.codes[rows],
            ids=[ids[row] for row in rows],
            target_images8=None if target_images8 is None else target_images8[rows],
            target_lengths=None if target_lengths is None else target_lengths[rows],
            lengths=None if lengths is None else lengths[rows],
        )
        if on_step is not None:
            session.on_step = partial(report, on_step, start, len(rows), len(pending))
        attack_chunk(hasher, job, run, budget, options, seed, session, keep)
    return Attacked.collect(ids, [done[query_id] for query_id in ids], recipe, out)


def report(on_step: OnStep, before: int, here: int, queries: int, step: int, most: int) -> None:
    """Passes the query steps of one chunk on as those of all queries."""
    on_step(before * most // here + step, queries * most // here)


def resolve(attack: str | AttackFunction, options: Any) -> tuple[Callable[..., Images], Any, str]:
    """The function, the options and the name of an attack."""
    if not isinstance(attack, str):
        inner = inspect.unwrap(getattr(attack, "func", attack))
        where = getattr(inner, "__qualname__", type(inner).__qualname__)
        return attack, options, f"{inner.__module__}.{where}"
    if attack not in ATTACKS:
        raise HashprobeError(f"unknown attack {attack!r}: choose from {', '.join(sorted(ATTACKS))}")
    known: Attack = ATTACKS[attack]
    if options is None:
        options = known.options()
    if not isinstance(options, known.options):
        raise HashprobeError(
            f"attack {attack} takes {known.options.__name__}; got {type(options).__name__}"
        )
    return known.run, options, attack


def check_work(hasher: Hasher, images8: Images8, ids: list[int], targets: TargetCodes) -> None:
    """Refuses input that does not fit before anything is computed or written."""
    check_images8(images8)
    check_targets(torch.from_numpy(targets.codes).float(), len(images8), hasher.bits)
    twice, times = Counter(ids).most_common(1)[0]
    if times > 1:
        raise HashprobeError(f"query id {twice} appears more than once: ids name files")
    for weight in hasher.parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise HashprobeError(
                f"the hasher's weights are {str(weight.dtype).removeprefix('torch.')} but attacks "
                "are judged in float32: call hasher.float() first"
            )


def check_target_images(
    attack: str | AttackFunction, images8: Images8, target_images8: Tensor | None
) -> None:
    """Refuses target images that are missing, not wanted, or of another shape than the queries."""
    if isinstance(attack, str) and ATTACKS[attack].wants_images != (target_images8 is not None):
        verb = "steers to images: give" if target_images8 is None else "takes no"
        raise HashprobeError(f"attack {attack} {verb} target images")
    if target_images8 is not None:
        check_images8(target_images8)
        # Clips of the database may be longer than all queries.
        if target_images8.shape[:1] + target_images8.shape[-3:] != (
            images8.shape[:1] + images8.shape[-3:]
        ):
            raise HashprobeError(
                f"target images have shape {tuple(target_images8.shape)}, the queries "
                f"{tuple(images8.shape)}"
            )


def check_lengths(
    images8: Images8, lengths: Int64[Tensor, " n"] | None, name: str = "clips"
) -> None:
    """Refuses clips without lengths, images with them, and lengths out of range."""
    if (images8.ndim == 5) != (lengths is not None):
        raise HashprobeError(
            f"{name} need their lengths"
            if lengths is None
            else "images have no lengths: only clips"
        )
    if lengths is not None:
        most = images8.shape[1]
        if lengths.shape != (len(images8),) or not ((lengths >= 1) & (lengths <= most)).all():
            raise HashprobeError(
                f"lengths must be one for each of {len(images8)} {name}, from 1 to {most}"
            )


def open_folder(
    out: Path, recipe: dict[str, Any], ids: list[int], overwrite: bool
) -> dict[int, Crafted]:
    """Claims a folder for this attack and reads what is finished in it."""
    found = None
    try:
        found = read_index(out)
    except HashprobeError:
        if not overwrite:
            raise
    if found is not None and found[0] != recipe and not overwrite:
        raise HashprobeError(
            f"{out} holds another attack ({'; '.join(differences(found[0], recipe))}): "
            "use another folder or overwrite"
        )
    if found is None or found[0] != recipe:
        clear(out)
        write_index(out, recipe, ids)
    done = {}
    for query_id in ids:
        try:
            one = read_query(out, recipe, query_id)
        except HashprobeError:
            # Missing, cut off or somebody else's: it is attacked again and replaced.
            continue
        repair_png(out, query_id, one)
        done[query_id] = without_pixels(one)
    return done
