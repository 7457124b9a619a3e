"""Encode the queries and the database of a trained run."""

from pathlib import Path

import numpy as np
import torch

from hashprobe.codes import PackedCodes
from hashprobe.data import Split, stream
from hashprobe.evaluation import Measurement, mean_average_precision
from hashprobe.files import write_npz
from hashprobe.models import ImageHasher
from hashprobe.runs import Run
from hashprobe.workflow.opening import load_codes, reopen, say_bad
from hashprobe.workflow.screen import Screen, Silence


def encode_run(
    path: Path,
    *,
    batch_size: int = 256,
    workers: int | None = None,
    skip_bad: bool = False,
    top: int | None = None,
    screen: Screen | None = None,
) -> Measurement:
    """Encode queries and database of a trained run, and measure its MAP.

    Args:
        path: the run folder.
        batch_size: images encoded at once.
        workers: decoding processes; by default one a core.
        skip_bad: go on without images that cannot be had.
        top: list length of the MAP; by default the whole database.
        screen: where to say what happens.

    Returns:
        MAP of all queries, normalised by hits, stable ties.

    Raises:
        HashprobeError: the run is not trained, its data have changed, or images are bad.
    """
    screen = screen or Silence()
    run = Run.open(path)
    names = ("codes/query.npz", "codes/database.npz")
    if not set(names) <= set(run.seals()):
        data, hasher, _ = reopen(run, screen)
        for role in ("query", "database"):
            encode_split(
                run, data.splits()[role], role, hasher, batch_size, workers, skip_bad, screen
            )
        run.seal(*names)
    query, database = load_codes(run, "query"), load_codes(run, "database")
    result = mean_average_precision(
        query.codes, database.codes, query.labels, database.labels, top=top
    )
    run.log("encoded", queries=len(query), database=len(database), map=result.to_json())
    return result


def encode_split(
    run: Run,
    split: Split,
    role: str,
    hasher: ImageHasher,
    batch_size: int,
    workers: int | None,
    skip_bad: bool,
    screen: Screen,
) -> None:
    """Write codes/<role>.npz."""
    parts, positions, bad = [], [], list[str]()
    with screen.bar(f"encoding {role}") as tick, torch.no_grad():
        for batch in stream(
            split,
            hasher.contract,
            batch_size=batch_size,
            workers=workers,
            skip_bad=skip_bad,
            on_progress=tick,
            on_bad=lambda failure: bad.append(str(failure)),
        ):
            parts.append(PackedCodes.from_logits(hasher(batch.images.float() / 255)))
            positions.append(batch.positions)
    say_bad(screen, role, tuple(bad))
    kept = np.concatenate(positions)
    write_npz(
        run.path / "codes" / f"{role}.npz",
        {
            "codes": PackedCodes.concatenate(parts).data,
            "bits": np.array(hasher.bits),
            "labels": split.labels[kept],
            "positions": kept,
        },
    )
