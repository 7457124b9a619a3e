"""Encode the queries and the database of a trained run."""

from pathlib import Path

import numpy as np

from hashprobe.attacks import encode as codes_of
from hashprobe.codes import PackedCodes
from hashprobe.data import Split, stream
from hashprobe.evaluation import Measurement, mean_average_precision
from hashprobe.files import write_npz
from hashprobe.models import ImageHasher
from hashprobe.runs import Run
from hashprobe.workflow.opening import CODES, check_work, load_codes, pick_device, reopen, say_bad
from hashprobe.workflow.screen import Screen, Silence


def encode_run(
    path: Path,
    *,
    batch_size: int = 256,
    device: str = "auto",
    workers: int | None = None,
    skip_bad: bool = False,
    top: int | None = None,
    screen: Screen | None = None,
) -> Measurement:
    """Encode queries and database of a trained run, and measure its MAP.

    Args:
        path: the run folder.
        batch_size: images encoded at once.
        device: where; `auto` is the GPU if there is one.
        workers: decoding processes; by default one a core.
        skip_bad: go on without images that cannot be had.
        top: list length of the MAP; by default the whole database.
        screen: where to say what happens.

    Returns:
        MAP of all queries, normalised by hits, stable ties.

    Raises:
        HashprobeError: the run is not trained, its data have changed, or images are bad.

    Example:
        >>> import tempfile
        >>> from hashprobe.data import DataOptions
        >>> from hashprobe.models import TrainOptions
        >>> from hashprobe.workflow import Network, train_run
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> encode_run(folder, top=100).signature.split("|v:")[0]
        'MAP@100|norm:hits|ties:stable|empty:zero|rel:any|q:200|db:1347|bits:8'
    """
    screen = screen or Silence()
    check_work(batch_size, workers)
    where = pick_device(device)
    run = Run.open(path)
    missing = [role for role, name in CODES.items() if not run.finished(name)]
    if missing:
        data, hasher, _ = reopen(run)
        hasher.to(where)
        for role in missing:
            encode_split(
                run, data.splits()[role], role, hasher, batch_size, workers, skip_bad, screen
            )
            run.seal(CODES[role])
    else:
        screen.say(f"{path} is encoded already")
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
    """Write the codes of one split."""
    parts, positions, bad = [], [], list[str]()
    device = next(hasher.parameters()).device
    with screen.bar(f"encoding {role}") as tick:
        for batch in stream(
            split,
            hasher.contract,
            batch_size=batch_size,
            workers=workers,
            skip_bad=skip_bad,
            on_progress=tick,
            on_bad=lambda failure: bad.append(str(failure)),
        ):
            parts.append(codes_of(hasher, batch.images.to(device).float() / 255))
            positions.append(batch.positions)
    say_bad(screen, role, tuple(bad))
    kept = np.concatenate(positions)
    write_npz(
        run.path / CODES[role],
        {
            "codes": PackedCodes.concatenate(parts).data,
            "bits": np.array(hasher.bits),
            "labels": split.labels[kept],
            "positions": kept,
        },
    )
