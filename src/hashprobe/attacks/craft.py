"""The runner: attacks in batches, projects, rounds to 8 bits, re-encodes, saves and resumes."""

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from hashprobe.attacks.attacked import (
    Attacked,
    Crafted,
    clear,
    read_index,
    read_query,
    repair_png,
    write_index,
    write_query,
)
from hashprobe.attacks.box import Box, round_to_bytes
from hashprobe.attacks.checks import check_images8, check_targets
from hashprobe.attacks.contract import Attack, AttackFunction, OnStep, QueryIds, checked_ids
from hashprobe.attacks.encoding import encode
from hashprobe.attacks.recipe import differences, recipe_of
from hashprobe.attacks.targets import TargetCodes
from hashprobe.errors import HashprobeError
from hashprobe.models.hasher import Hasher
from hashprobe.tensors import Images8
from hashprobe.types import Budget


OnProgress: TypeAlias = Callable[[int, int], None]
"""Called with (queries finished, queries in all)."""


def craft(
    hasher: Hasher,
    images8: Images8,
    query_ids: QueryIds,
    targets: TargetCodes,
    *,
    attack: str | AttackFunction,
    budget: Budget,
    options: Any = None,
    seed: int = 0,
    batch_size: int = 32,
    out: Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    on_step: OnStep | None = None,
) -> Attacked:
    """Attacks queries and says what a search engine would be sent.

    Whatever the attack returns is projected onto the budget and [0, 1], rounded to 8 bits within
    the budget, and encoded again in float32 by the hard sign: an attack never decides that it
    won. With `out`, each finished batch is on the disk, one file and one PNG per query; the same
    call with the same folder, in any batch size, goes on where it stopped and attacks again only
    what is missing or damaged.

    Args:
        hasher: the victim, in float32; left as it was. Queries go to its device.
        images8: (Q, 3, H, W) clean queries, uint8.
        query_ids: (Q,) distinct whole numbers from 0; they name files and decide on chance.
        targets: target labels and codes of the Q queries, from `draw_target_codes`.
        attack: a name from `ATTACKS`, or a function with the signature of one.
        budget: l-infinity radius and the space it counts in.
        options: the attack's options; by default those of its name.
        seed: 0 or above; goes to the attack.
        batch_size: queries attacked at once; plays no part in the result beyond the rounding of
            the network's own kernels.
        out: folder to keep results in and to resume from.
        overwrite: throw away what another attack left in `out`.
        on_progress: called with (queries finished, Q) at the start and after each batch is kept.
        on_step: goes to the attack: called with (steps done, steps) within each batch.

    Returns:
        Float and 8-bit adversarial queries with their codes, in the order of `query_ids`.

    Raises:
        HashprobeError: input that does not fit, an unknown attack or options of another, a folder
            that holds another attack or cannot be written, a device out of memory.

    Example:
        >>> from hashprobe.attacks import NoiseOptions
        >>> from hashprobe.models import ImageHasher
        >>> images8 = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
        >>> targets = TargetCodes(
        ...     np.eye(2, dtype=bool), np.ones((2, 16), np.int8), np.zeros((2, 1), np.int64))
        >>> result = craft(ImageHasher("small", 16), images8, [7, 9], targets, attack="noise",
        ...                budget=Budget(8 / 255), options=NoiseOptions())
        >>> len(result), int((result.images8.int() - images8.int()).abs().max()) <= 8
        (2, True)
    """
    ids = list(checked_ids(query_ids, len(images8)))
    run, options, name = resolve(attack, options)
    check_work(hasher, images8, ids, targets, batch_size)
    recipe = recipe_of(hasher, images8, ids, targets, name, budget, options, seed)
    done = open_folder(out, recipe, ids, overwrite) if out is not None else {}
    pending = [row for row, query_id in enumerate(ids) if query_id not in done]
    if on_progress is not None:
        on_progress(len(done), len(ids))
    for start in range(0, len(pending), batch_size):
        rows = pending[start : start + batch_size]
        job = Job(
            clean8=images8[rows],
            labels=targets.labels[rows],
            codes=targets.codes[rows],
            ids=[ids[row] for row in rows],
        )
        for query_id, one in zip(
            job.ids, attack_batch(hasher, job, run, budget, options, seed, on_step), strict=True
        ):
            if out is not None:
                write_query(out, recipe, query_id, one)
            done[query_id] = one
        if on_progress is not None:
            on_progress(len(done), len(ids))
    return Attacked.collect(ids, [done[query_id] for query_id in ids], recipe)


@dataclass(frozen=True, eq=False)
class Job:
    """The queries of one batch."""

    clean8: Images8
    labels: np.ndarray
    codes: np.ndarray
    ids: list[int]


def attack_batch(
    hasher: Hasher,
    job: Job,
    run: AttackFunction,
    budget: Budget,
    options: Any,
    seed: int,
    on_step: OnStep | None,
) -> list[Crafted]:
    """Attacks one batch and judges what comes back."""
    device = device_of(hasher)
    clean8 = job.clean8.to(device)
    clean = clean8.float() / 255
    codes = torch.from_numpy(job.codes).to(clean)
    started = time.perf_counter()
    try:
        with counted(hasher) as passes:
            moved = run(
                hasher,
                clean,
                codes,
                budget=budget,
                options=options,
                seed=seed,
                query_ids=job.ids,
                on_step=on_step,
            )
        if moved.shape != clean.shape:
            raise HashprobeError(
                f"the attack returned shape {tuple(moved.shape)} for {tuple(clean.shape)}"
            )
        moved = moved.detach().to(clean)
        adversarial = Box.around(clean, budget, hasher.contract).clamp(moved)
        adversarial8 = round_to_bytes(adversarial, clean8, budget, hasher.contract)
        seconds = (time.perf_counter() - started) / len(clean)
        code_float = encode(hasher, adversarial).data
        code = encode(hasher, adversarial8.float() / 255).data
        clean_code = encode(hasher, clean).data
    except torch.OutOfMemoryError as error:
        raise HashprobeError(
            f"{device} is out of memory with {len(clean)} queries at once: "
            "choose a smaller batch size"
        ) from error
    return [
        Crafted(
            target_label=job.labels[i],
            target_code=job.codes[i],
            image=image,
            image8=image8,
            code_float=code_float[i],
            code=code[i],
            clean_code=clean_code[i],
            forwards=passes.forwards,
            backwards=passes.backwards,
            seconds=seconds,
        )
        for i, (image, image8) in enumerate(
            zip(adversarial.cpu().numpy(), adversarial8.cpu().numpy(), strict=True)
        )
    ]


@dataclass
class Passes:
    """Passes through a hasher, counted from outside."""

    forwards: int = 0
    backwards: int = 0


@contextmanager
def counted(hasher: Hasher) -> Iterator[Passes]:
    """Counts passes through a hasher, whatever the attack says of itself."""
    passes = Passes()

    def backward(_: Tensor) -> None:
        passes.backwards += 1

    def forward(module: nn.Module, inputs: Any, logits: Tensor) -> None:
        passes.forwards += 1
        if logits.requires_grad:
            logits.register_hook(backward)  # type: ignore[no-untyped-call]

    handle = hasher.register_forward_hook(forward)
    try:
        yield passes
    finally:
        handle.remove()


def device_of(hasher: Hasher) -> torch.device:
    """Where a hasher's weights are."""
    for tensor in (*hasher.parameters(), *hasher.buffers()):
        return tensor.device
    return torch.device("cpu")


def resolve(attack: str | AttackFunction, options: Any) -> tuple[AttackFunction, Any, str]:
    """The function, the options and the name of an attack."""
    # `ATTACKS` is put together one level up, from the modules beside this one.
    from hashprobe.attacks import ATTACKS

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


def check_work(
    hasher: Hasher, images8: Images8, ids: list[int], targets: TargetCodes, batch_size: int
) -> None:
    """Refuses input that does not fit before anything is computed or written."""
    check_images8(images8)
    check_targets(torch.from_numpy(targets.codes).float(), len(images8), hasher.bits)
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise HashprobeError(f"query id {twice} appears more than once: ids name files")
    if batch_size < 1:
        raise HashprobeError(f"batch size must be at least 1; got {batch_size}")
    for weight in hasher.parameters():
        if weight.is_floating_point() and weight.dtype != torch.float32:
            raise HashprobeError(
                f"the hasher's weights are {str(weight.dtype).removeprefix('torch.')} but attacks "
                "are judged in float32: call hasher.float() first"
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
        done[query_id] = one
    return done
