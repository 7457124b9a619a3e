"""Encode the queries and the database of a trained run."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from hashprobe.audit.log import Screen, Silence
from hashprobe.audit.run_io import (
    CODES,
    check_work,
    load_codes,
    pick_device,
    reopen,
    say_bad,
    say_precision,
)
from hashprobe.audit.shards import Part, Parts
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.chunk import device_of
from hashprobe.crafting.provenance import sha256_weights
from hashprobe.data.cache import ClipCache
from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.loader import stream
from hashprobe.data.sources import ArraySource, BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.optim.encoding import encode as codes_of
from hashprobe.optim.session import Precision, Session
from hashprobe.storage.environment import cores
from hashprobe.storage.files import fingerprint, write_npz
from hashprobe.storage.runs import Run
from hashprobe.victims.base import Hasher, lay_channels_last


PART_SECONDS = 30.0
"""How long a stretch of a split is encoded before it is kept."""


def encode_run(
    path: Path,
    *,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    skip_bad: bool = False,
    cache: ClipCache | None = None,
    precision: Precision = "float32",
    top: int | None = None,
    screen: Screen | None = None,
) -> Measurement:
    """Encode queries and database of a trained run, and measure its MAP.

    Memory does not grow with the pictures. Stopped, it goes on where it was by the same command.

    Args:
        path: the run folder.
        batch_size: images, or frames of clips, encoded at once.
        device: where; `auto` is the GPU if there is one.
        workers: decoding processes; by default one a core beside a GPU, one for four cores where
            the network needs the cores itself, and none for data in memory.
        skip_bad: go on without images that cannot be had.
        cache: keeps decoded clips of files for the next time.
        precision: what the network computes in. Bits whose logit is near 0 may turn over in
            bfloat16; attacked queries are always judged in float32.
        top: list length of the MAP; by default the whole database.
        screen: where to say what happens.

    Returns:
        MAP of all queries, normalised by hits, stable ties.

    Raises:
        HashprobeError: the run is not trained, its data have changed, or images are bad.

    Example:
        >>> import tempfile
        >>> from hashprobe.data.datasets.registry import DataOptions
        >>> from hashprobe.training.options import TrainOptions
        >>> from hashprobe.audit.train_step import Network, train_run
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> encode_run(folder, top=100).signature.split("|v:")[0]
        'MAP@100|norm:hits|ties:stable|empty:zero|rel:any|q:200|db:1347|bits:8'
    """
    screen = screen or Silence()
    check_work(batch_size, workers)
    where = pick_device(device)
    say_precision(screen, precision, where)
    run = Run.open(path)
    missing = [role for role, name in CODES.items() if not run.finished(name)]
    if missing:
        check_precision(run, missing, precision)
        data, hasher, _ = reopen(run)
        hasher.eval().to(where)
        lay_channels_last(hasher)
        made_by = fingerprint({"weights": sha256_weights(hasher), "precision": precision})
        fast = Session(precision=precision).fast(hasher)
        for role, name in CODES.items():
            parts = Parts(run.path / "codes" / f"{role}.parts", made_by, hasher.bits)
            if role in missing:
                split = data.splits()[role]
                files = not isinstance(split.source, ArraySource | ClipArraySource)
                few = cores() // 4 if workers is None and files and where.type == "cpu" else workers
                encode_split(
                    run, split, role, fast, parts, batch_size, few, skip_bad, cache, screen
                )
                run.log("encoded split", role=role, precision=precision)
                run.seal(name)
            parts.remove()
    else:
        screen.say(f"{path} is encoded already")
    query, database = load_codes(run, "query"), load_codes(run, "database")
    result = mean_average_precision(
        query.codes, database.codes, query.labels, database.labels, top=top
    )
    run.log("encoded", queries=len(query), database=len(database), map=result.to_json())
    return result


def check_precision(run: Run, missing: list[str], precision: Precision) -> None:
    """Refuses to encode the rest of a run in another precision than what is finished of it."""
    # What was encoded anew has several events: the last one is about the file that is there.
    made_in = {event["role"]: event["precision"] for event in run.events("encoded split")}
    for role, before in made_in.items():
        if role not in missing and before != precision:
            raise HashprobeError(
                f"the {role} split of {run.path} is encoded in {before}: go on with --precision "
                f"{before}, or remove {run.path / 'codes'} first"
            )


def encode_split(
    run: Run,
    split: Split,
    role: str,
    hasher: Hasher,
    parts: Parts,
    batch_size: int,
    workers: int | None,
    skip_bad: bool,
    cache: ClipCache | None,
    screen: Screen,
) -> None:
    """Write the codes of one split, from where an earlier call was stopped."""
    done = list(parts.read())
    if not skip_bad and any(part.bad for part in done):
        done = []
    start = done[-1].stop if done else 0
    if start:
        screen.say(f"{start} of {len(split)} {role} items are encoded already")
    with screen.bar(f"encoding {role}") as tick:
        for part in encode_parts(hasher, split, start, batch_size, workers, skip_bad, cache, tick):
            parts.write(start, part)
            done.append(part)
            start = part.stop
    bad = tuple(failure for part in done for failure in part.bad)
    kept = np.concatenate([part.positions for part in done])
    if not len(kept):
        raise HashprobeError(f"no {role} item can be had; the first is {bad[0]}")
    say_bad(screen, role, bad)
    write_npz(
        run.path / CODES[role],
        {
            "codes": PackedCodes.concatenate([part.codes for part in done]).data,
            "bits": np.array(hasher.bits),
            "labels": split.labels[kept],
            "positions": kept,
        },
    )


def encode_parts(
    hasher: Hasher,
    split: Split,
    start: int,
    batch_size: int,
    workers: int | None,
    skip_bad: bool,
    cache: ClipCache | None,
    tick: Callable[[int, int], None],
) -> Iterator[Part]:
    """Encode a split from a position on, in stretches of some seconds each."""
    if start == len(split):
        return
    device = device_of(hasher)
    none = PackedCodes(np.zeros((0, hasher.bits // 8), np.uint8), hasher.bits)
    codes, positions, bad = [none], [np.zeros(0, np.int64)], list[str]()
    reached, last = start, time.monotonic()

    def on_bad(failure: BadImage) -> None:
        nonlocal reached
        reached += 1
        bad.append(str(failure))

    def part() -> Part:
        made = Part(reached, PackedCodes.concatenate(codes), np.concatenate(positions), tuple(bad))
        del codes[1:], positions[1:], bad[:]
        return made

    for batch in stream(
        split.take(np.arange(start, len(split))) if start else split,
        hasher.contract,
        batch_size=max(1, batch_size // max(1, hasher.contract.frames)),
        workers=workers,
        skip_bad=skip_bad,
        rest=start > 0,
        cache=cache,
        on_progress=lambda done, _: tick(start + done, len(split)),
        on_bad=on_bad,
    ):
        if batch.lengths is None:
            # Turned round while a pixel is still one byte.
            bytes8 = batch.images.to(device, memory_format=torch.channels_last)
            codes.append(codes_of(hasher, bytes8.float().div_(255)))
        else:
            lengths = torch.from_numpy(batch.lengths).to(device)
            codes.append(codes_of(hasher, batch.images.to(device).float().div_(255), lengths))
        positions.append(batch.positions + start)
        reached += len(batch.positions)
        # Without skip_bad one bad image ends it all: nothing after it is kept.
        if time.monotonic() - last > PART_SECONDS and (skip_bad or not bad):
            yield part()
            last = time.monotonic()
    if len(codes) > 1 or bad:
        yield part()
