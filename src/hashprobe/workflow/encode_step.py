"""Encode the queries and the database of a trained run."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.clip_sources import ClipArraySource
from hashprobe.data.loader import Batch, decode, stream
from hashprobe.data.queries import Queries
from hashprobe.data.sources import ArraySource, BadImage, Split
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.measurement import Measurement
from hashprobe.evaluation.measures import mean_average_precision
from hashprobe.progress import Tick, note_kept
from hashprobe.storage.environment import cores
from hashprobe.storage.files import fingerprint, write_npz
from hashprobe.storage.lock import hold
from hashprobe.storage.runs import Run
from hashprobe.types import Precision, Runtime
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.digest import sha256_weights
from hashprobe.victims.encoding import device_of, encode
from hashprobe.victims.memory import keep_freed_memory
from hashprobe.victims.precision import in_precision
from hashprobe.victims.preflight import preflight
from hashprobe.workflow.expected import encoding_seconds, say_expected
from hashprobe.workflow.run_io import (
    CODES,
    check_trained,
    load_codes,
    pick_device,
    reopen,
    say_bad,
    say_precision,
)
from hashprobe.workflow.shards import Part, Parts


PROBED = 4
"""Queries that the network is probed on."""
CPU_BYTES = 20 << 20
"""Pixels in float32 that a CPU's network takes at once, 34 images of 224 x 224: activations of more
leave its caches."""
PART_SECONDS = 30.0
"""Seconds of encoding after which finished codes are saved."""


class SplitEvent(TypedDict):
    """What the log says of a split that was encoded.

    Example:
        >>> SplitEvent(role="query", precision="float32")["role"]
        'query'
    """

    role: str
    precision: str


def encode_run(
    path: Path,
    *,
    top: int | None = None,
    runtime: Runtime = Runtime(),
) -> Measurement:
    """Encode queries and database of a trained run, and measure its MAP.

    Memory does not grow with the number of pictures. The same call resumes an encoding that was
    stopped.

    Args:
        path: the run folder.
        top: list length of the MAP; by default the whole database.
        runtime: `batch_size` is images, or frames of clips, decoded and encoded at once, by default
            256; the network of a CPU takes at most 20 MiB of them at a time.
            `workers` are decoding processes, by default one a core beside a GPU, one for four cores
            if the network needs the cores itself, and none for data in memory. In bfloat16, bits
            whose logit is near 0 may differ; attacked queries are always judged in float32.

    Returns:
        MAP of all queries, normalised by hits, stable ties.

    Raises:
        HashprobeError: the run is not trained, its data have changed, another process holds it, or
            images are bad.

    Example:
        >>> import tempfile
        >>> from hashprobe.data.datasets.registry import DataOptions
        >>> from hashprobe.training.options import TrainOptions
        >>> from hashprobe.workflow.network import Network
        >>> from hashprobe.workflow.train_step import train_run
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> encode_run(folder, top=100).signature.split("|v:")[0]
        'MAP@100|norm:hits|ties:stable|empty:zero|rel:any|q:200|db:1347|bits:8|ci:gaffke'
    """
    where = pick_device(runtime.device)
    say_precision(runtime.progress, runtime.precision, where)
    keep_freed_memory()
    run = Run.open(path)
    check_trained(run)
    with hold(path):
        return encode_held(run, top, runtime, where)


def encode_held(run: Run, top: int | None, runtime: Runtime, where: torch.device) -> Measurement:
    """Encodes what is missing of a run that this process holds, and measures its MAP."""
    progress, precision, path = runtime.progress, runtime.precision, run.path
    missing = [role for role, name in CODES.items() if not run.finished(name)]
    if missing:
        check_precision(run, missing, precision)
        data, hasher, _ = reopen(run)
        hasher.eval().to(where)
        lay_channels_last(hasher)
        probe(hasher, data.query, runtime)
        made_by = fingerprint({"weights": sha256_weights(hasher), "precision": precision})
        fast = in_precision(hasher, precision)
        seconds = 0.0
        for role in missing:
            split, parts = data.splits()[role], Parts(parts_of(run, role), made_by, hasher.bits)
            done = max((part.stop for part in parts.read()), default=0) / len(split)
            few = few_workers(runtime, split, where)
            seconds += (1 - done) * encoding_seconds(fast, split, few)
        say_expected(progress, "encoding", seconds)
        for role, name in CODES.items():
            parts = Parts(parts_of(run, role), made_by, hasher.bits)
            if role in missing:
                split = data.splits()[role]
                encode_split(run, role, split, fast, parts, few_workers(runtime, split, where))
                run.log("encoded split", role=role, precision=precision)
                run.seal(name)
            parts.remove()
    else:
        progress.log(f"{path} is encoded already")
    query, database = load_codes(run, "query"), load_codes(run, "database")
    result = mean_average_precision(
        query.codes, database.codes, query.labels, database.labels, top=top
    )
    run.log("encoded", queries=len(query), database=len(database), map=result.to_json())
    return result


def probe(hasher: Hasher, split: Split, runtime: Runtime) -> None:
    """Refuses a network whose codes cannot be trusted, before anything is encoded."""
    rows = np.unique(np.linspace(0, len(split) - 1, PROBED).astype(int))
    some = replace(runtime, workers=0, skip_bad=True)
    try:
        pixels = decode(split.take(rows), hasher.contract, some)
    except HashprobeError:
        return  # none of them can be decoded: which, is said where all are
    lengths = None if pixels.lengths is None else torch.from_numpy(pixels.lengths)
    queries = Queries(pixels.images, lengths=lengths)
    for note in preflight(hasher, queries, batch_size=runtime.batch_size).notes:
        runtime.progress.log(note)


def parts_of(run: Run, role: str) -> Path:
    """Where the finished parts of a split's codes are kept."""
    return run.path / "codes" / f"{role}.parts"


def check_precision(run: Run, missing: list[str], precision: Precision) -> None:
    """Refuses to encode one split in another precision than the other."""
    # A split that was encoded again has several events: the last one is about the present file.
    events = run.events("encoded split", SplitEvent)
    made_in = {event["role"]: event["precision"] for event in events}
    for role, before in made_in.items():
        if role not in missing and before != precision:
            raise HashprobeError(
                f"the {role} split of {run.path} is encoded in {before}: go on with --precision "
                f"{before}, or remove {run.path / 'codes'} first"
            )


def few_workers(runtime: Runtime, split: Split, device: torch.device) -> Runtime:
    """A runtime whose decoding processes leave most cores to a network on the CPU.

    Videos are always decoded in a process of their own: a fault in FFmpeg ends that process alone.
    """
    in_memory = isinstance(split.source, ArraySource | ClipArraySource)
    if runtime.workers is not None or in_memory or device.type != "cpu":
        return runtime
    return replace(runtime, workers=max(cores() // 4, int(split.video)))


def encode_split(
    run: Run, role: str, split: Split, hasher: Hasher, parts: Parts, runtime: Runtime
) -> None:
    """Writes the codes of one split; resumes an earlier call that was stopped."""
    done = whole(role, split, hasher, parts, runtime)
    write_npz(
        run.path / CODES[role],
        {
            "codes": done.codes.data,
            "bits": np.array(hasher.bits),
            "labels": split.labels[done.positions],
            "positions": done.positions,
        },
    )


def whole(role: str, split: Split, hasher: Hasher, parts: Parts | None, runtime: Runtime) -> Part:
    """The codes of a whole split, as one part; finished parts are kept and used again.

    Args:
        role: what the split is called.
        split: the items.
        hasher: what encodes them.
        parts: where finished parts are kept; None keeps none.
        runtime: decoding processes, and who is told.

    Raises:
        HashprobeError: items cannot be decoded and `skip_bad` is off, or none can.
    """
    from hashprobe.workflow.encode_shards import encode_elsewhere

    progress = runtime.progress
    done = [] if parts is None else list(parts.read())
    if not runtime.skip_bad and any(part.bad for part in done):
        done = []
    if done and done[-1].stop > len(split):
        done = []  # of other data
    start = done[-1].stop if done else 0
    if start:
        progress.log(f"{start} of {len(split)} {role} items are encoded already")
    try:
        with progress.bar(f"encoding {role}") as tick:
            encoding = encode_parts if runtime.executor is None else encode_elsewhere
            for part in encoding(hasher, split, start, runtime, tick):
                if parts is not None:
                    parts.write(start, part)
                done.append(part)
                start = part.stop
    except KeyboardInterrupt as stop:
        if parts is not None:
            note_kept(stop, start > 0, f"{start} of {len(split)} {role} items")
        raise
    bad = tuple(failure for part in done for failure in part.bad)
    kept = np.concatenate([part.positions for part in done])
    if not len(kept):
        raise HashprobeError(f"no {role} item can be decoded; the first is {bad[0]}")
    say_bad(progress, role, bad)
    return Part(start, PackedCodes.concatenate([part.codes for part in done]), kept, bad)


def encode_parts(
    hasher: Hasher, split: Split, start: int, runtime: Runtime, tick: Tick
) -> Iterator[Part]:
    """Encodes a split from a position on, in parts of some seconds each."""
    if start == len(split):
        return
    device = device_of(hasher)
    none = PackedCodes(np.zeros((0, -(-hasher.bits // 8)), np.uint8), hasher.bits)
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
        runtime,
        rest=start > 0,
        on_progress=lambda done, _: tick(start + done, len(split)),
        on_bad=on_bad,
    ):
        step = len(batch.images)
        if device.type == "cpu" and batch.lengths is None:
            step = max(1, CPU_BYTES // (4 * batch.images[0].numel()))
        for first in range(0, len(batch.images), step):
            rows = slice(first, first + step)
            codes.append(encode(hasher, queries_of(batch, rows, device)))
        positions.append(batch.positions + start)
        reached += len(batch.positions)
        # Without skip_bad a bad image ends the encoding: nothing after it is kept.
        if time.monotonic() - last > PART_SECONDS and (runtime.skip_bad or not bad):
            yield part()
            last = time.monotonic()
    if len(codes) > 1 or bad:
        yield part()


def queries_of(batch: Batch, rows: slice, device: torch.device) -> Queries:
    """Some items of a decoded batch on a device, with pixels in [0, 1]."""
    images = batch.images[rows]
    if batch.lengths is None:
        # The layout is changed while a pixel is one byte.
        pixels = images.to(device, memory_format=torch.channels_last)
        return Queries(pixels.float().div_(255))
    lengths = torch.from_numpy(batch.lengths[rows]).to(device)
    return Queries(images.to(device).float().div_(255), lengths=lengths)
