"""Attacks some queries at a time, and judges what comes back: the attack itself never does."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.crafting.record import Crafted
from hashprobe.errors import HashprobeError
from hashprobe.optim.box import project, round_to_bytes
from hashprobe.optim.encoding import encode, encode_both
from hashprobe.optim.session import Session
from hashprobe.tensors import Images, Images8
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher


PATIENCE = 20.0
"""Seconds after which finished queries are kept even if they are few."""
JUDGED = 32
"""Queries encoded at once: plenty for a processor, little for a memory."""


LEVEL_SLACK = 1e-6
"""What grey levels may be off in float32, of 1."""


@dataclass(frozen=True, eq=False)
class Job:
    """The queries of one chunk."""

    clean8: Images8
    labels: np.ndarray
    codes: np.ndarray
    ids: list[int]
    target_images8: Tensor | None = None
    """For attacks that steer to images: one for each query."""
    target_lengths: Int64[Tensor, " n"] | None = None
    """Frames of each of these, where they are clips."""
    lengths: Int64[Tensor, " n"] | None = None
    """Frames of each query, where they are clips."""


def attack_chunk(
    hasher: Hasher,
    job: Job,
    run: Callable[..., Images],
    budget: Budget,
    options: Any,
    seed: int,
    session: Session,
    keep: Callable[[list[tuple[int, Crafted]]], None],
) -> None:
    """Attacks some queries; judges and keeps them as they finish, many at a time."""
    device = device_of(hasher)
    more: dict[str, Tensor] = {}
    if job.target_images8 is not None:
        more["target_images"] = job.target_images8.to(device).float() / 255
    if job.target_lengths is not None:
        more["target_lengths"] = job.target_lengths.to(device)
    session.lengths = None if job.lengths is None else job.lengths.to(device)
    clean = job.clean8.to(device).float() / 255
    codes = torch.from_numpy(job.codes).to(clean)
    waiting: dict[int, Images] = {}
    kept: set[int] = set()
    last = time.perf_counter()

    def flush() -> None:
        nonlocal last
        # The attack's own time so far, shared out among the queries that it has finished.
        seconds = (time.perf_counter() - last) / len(waiting)
        rows = list(waiting)
        for start in range(0, len(rows), JUDGED):
            some = rows[start : start + JUDGED]
            images = torch.stack([waiting.pop(row) for row in some])
            judged = judge_images(hasher, job, some, images, budget, session)
            kept.update(some)
            keep([(job.ids[row], one._replace(seconds=seconds)) for row, one in judged])
        last = time.perf_counter()

    def on_done(rows: list[int], images: Images) -> None:
        if kept.union(waiting).intersection(rows):
            raise HashprobeError(
                "the attack finished a query twice: it may hand its session to one call of "
                "minimise with all queries, and must not to several"
            )
        waiting.update(zip(rows, images.detach().clone(), strict=True))
        full = min(JUDGED, session.largest)
        if len(waiting) >= full or time.perf_counter() - last > PATIENCE:
            flush()

    session.on_done = on_done
    try:
        with session.counting(hasher, len(clean)):
            moved = run(
                hasher,
                clean,
                codes,
                budget=budget,
                options=options,
                seed=seed,
                query_ids=job.ids,
                session=session,
                **more,
            )
        if moved.shape != clean.shape:
            raise HashprobeError(
                f"the attack returned shape {tuple(moved.shape)} for {tuple(clean.shape)}"
            )
        # What an attack has handed over early counts; of the others this is the first we see.
        waiting.update((row, moved[row].detach()) for row in range(len(clean)) if row not in kept)
        if waiting:
            flush()
    except torch.OutOfMemoryError as error:
        raise HashprobeError(
            f"{device} is out of memory with {session.largest} queries at once: "
            "choose a smaller batch size"
        ) from error


def judge_images(
    hasher: Hasher,
    job: Job,
    rows: list[int],
    images: Images,
    budget: Budget,
    session: Session,
) -> list[tuple[int, Crafted]]:
    """Projects, rounds to 8 bits and encodes again, in float32 by the hard sign."""
    clean8 = job.clean8[rows].to(images.device)
    clean = clean8.float() / 255
    more = session.more(rows)
    adversarial = project(images.to(clean), clean, budget, hasher.contract, *more)
    adversarial8 = round_to_bytes(adversarial, clean8, budget, hasher.contract, *more)
    with session.attend([]):
        shown = adversarial8.float() / 255
        clean_code, code = encode_both(hasher, clean, shown, *more)
        # An attack that rounds by itself leaves nothing to round.
        if (adversarial - shown).abs().amax() <= LEVEL_SLACK:
            adversarial, code_float = shown, code
        else:
            code_float = encode(hasher, adversarial, *more)
    pixels = zip(adversarial.cpu().numpy(), adversarial8.cpu().numpy(), strict=True)
    return [
        (
            row,
            Crafted(
                target_label=job.labels[row],
                target_code=job.codes[row],
                image=image,
                image8=image8,
                code_float=code_float.data[i],
                code=code.data[i],
                clean_code=clean_code.data[i],
                forwards=int(session.forwards[row]),
                backwards=int(session.backwards[row]),
                seconds=0.0,
                length=0 if job.lengths is None else int(job.lengths[row]),
            ),
        )
        for i, (row, (image, image8)) in enumerate(zip(rows, pixels, strict=True))
    ]


def device_of(hasher: Hasher) -> torch.device:
    """Where a hasher's weights are."""
    for tensor in (*hasher.parameters(), *hasher.buffers()):
        return tensor.device
    return torch.device("cpu")
