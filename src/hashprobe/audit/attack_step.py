"""Attack queries of an encoded run and measure how far its results move."""

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hashprobe.attacks.registry import ATTACKS
from hashprobe.attacks.targets import TargetCodes, draw_target_codes, draw_target_labels
from hashprobe.audit.after_codec import film
from hashprobe.audit.log import Screen, Silence
from hashprobe.audit.results import CARD, RESULT
from hashprobe.audit.run_io import (
    Encoded,
    Victim,
    check_work,
    open_victim,
    pick_device,
    say_precision,
)
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.record import Attacked
from hashprobe.crafting.runner import craft
from hashprobe.data.cache import ClipCache
from hashprobe.data.codec import CRF, check_crf, check_h264
from hashprobe.data.loader import Pixels, decode
from hashprobe.data.retrieval import RetrievalData
from hashprobe.data.sources import Split
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AfterCodec, Evaluation, evaluate_attack
from hashprobe.evaluation.perceptibility import compare_pixels
from hashprobe.evaluation.ranking import Empty, Normaliser, Ties
from hashprobe.optim.session import Precision
from hashprobe.storage.files import write_json
from hashprobe.types import Budget
from hashprobe.victims.base import Hasher, lay_channels_last


CLEAN_BYTES = 1 << 28
"""Clean queries larger than this are held in a file while they are attacked."""


@dataclass(frozen=True)
class Protocol:
    """Which queries are attacked, where to, and how that is scored; the same for every attack.

    Example:
        >>> Protocol(queries=20).pool
        'differs'
    """

    queries: int = 100
    """Queries drawn at random from the query split; source: DHTA, section 4.2."""
    seed: int = 0
    """Seed of queries, target labels, target codes and noise; the same seed pairs attacks."""
    pool: Literal["differs", "disjoint", "unseen"] = "differs"
    """Target labels that differ from the query's, share none with it, or are of classes that the
    network never saw (data with --unseen)."""
    target: str | None = None
    """Name of one target label for all queries; none draws one for each."""
    minimum: int = 9
    """Fewest database items that a target label must have, so that attacks are paired."""
    top: int | None = None
    """List length T of MAP and t-MAP; none for the whole database."""
    normaliser: Normaliser = "hits"
    """What AP divides by: hits in the list (the field's), min(R, T), or R."""
    ties: Ties | None = None
    """Order at equal distance; none: stable with hits, expected with the others."""
    empty: Empty = "zero"
    """What a query without a hit counts."""
    codec: Literal["none", "h264"] = "none"
    """Judge adversarial clips, beside all else, once they have been through a real video file, and
    untouched clips with them (videos only)."""
    crf: int = CRF
    """How coarse that video is, from 0 to 51: H.264's constant rate factor."""

    def __post_init__(self) -> None:
        for name, least in (("queries", 1), ("seed", 0), ("minimum", 1), ("top", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise HashprobeError(f"{name} must be at least {least}; got {value}")
        check_crf(self.crf)
        if self.codec == "none" and self.crf != CRF:
            raise HashprobeError(f"crf {self.crf} says nothing without codec h264")

    def to_json(self) -> dict[str, Any]:
        """What goes into files: the options by name, those of the codec only where there is one.

        An attack judged without is thus what it was before there were codecs.
        """
        kept = asdict(self)
        if self.codec == "none":
            del kept["codec"], kept["crf"]
        return kept


def attack_run(
    run: Path | Victim,
    attack: str,
    *,
    budget: Budget,
    options: Any,
    protocol: Protocol = Protocol(),
    name: str | None = None,
    batch_size: int | None = None,
    precision: Precision = "float32",
    device: str = "auto",
    workers: int | None = None,
    cache: ClipCache | None = None,
    overwrite: bool = False,
    screen: Screen | None = None,
) -> Evaluation:
    """Attack queries of an encoded run, keep the adversarial queries, and measure.

    Of an adversarial clip an mp4 file is kept, too, where PyAV is installed.

    Args:
        run: the run folder; or `open_victim` of it, for several attacks in a row.
        attack: a name from `ATTACKS`.
        budget: l-infinity radius and the space it counts in.
        options: the attack's options.
        protocol: which queries, which targets, which measures.
        name: of the folder under attacks/; by default from attack, budget and seed.
        batch_size: queries in the network at once; by default what the machine's memory allows.
        precision: what gradients are computed in; judgement is always float32.
        device: where; `auto` is the GPU if there is one.
        workers: decoding processes; by default one a core.
        cache: keeps decoded clips of files for the next time.
        overwrite: throw away another attack of the same name.
        screen: where to say what happens.

    Returns:
        The evaluation, also in attacks/NAME/evaluation.json.

    Raises:
        HashprobeError: the run is not encoded, a target label is unknown or has too few items,
            the folder holds another attack, or images are to be judged after a video codec.

    Example:
        >>> from hashprobe.attacks._noise import NoiseOptions
        >>> import tempfile
        >>> from hashprobe.data.datasets.registry import DataOptions
        >>> from hashprobe.training.options import TrainOptions
        >>> from hashprobe.audit.train_step import Network, train_run
        >>> from hashprobe.audit.encode_step import encode_run
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> clean = encode_run(folder)
        >>> result = attack_run(folder, "noise", budget=Budget(8 / 255), options=NoiseOptions(),
        ...                     protocol=Protocol(queries=3))
        >>> result.perceptibility.linf_255 <= 8, [p.name for p in folder.glob("attacks/*")]
        (True, ['noise-8of255-seed0'])
    """
    screen = screen or Silence()
    if attack not in ATTACKS:
        raise HashprobeError(f"unknown attack {attack!r}: choose from {', '.join(sorted(ATTACKS))}")
    check_work(1 if batch_size is None else batch_size, workers)
    where = pick_device(device)
    say_precision(screen, precision, where)
    name = default_name(attack, budget, protocol.seed) if name is None else name
    if name in ("", "..") or Path(name).name != name:
        raise HashprobeError(f"the name of an attack is that of one folder; got {name!r}")
    victim = run if isinstance(run, Victim) else open_victim(run)
    path, data, hasher = victim.run.path, victim.data, victim.hasher
    query, database = victim.query, victim.database
    check_codec(protocol, hasher, path)
    rows = draw_queries(len(query), protocol)
    ids = query.positions[rows]
    targets = draw_targets(data, query.labels[rows], database, ids, options, protocol)
    folder = path / "attacks" / name
    with ExitStack() as scratch:
        clean = clean_queries(data.query.take(ids), hasher, path, workers, cache, screen, scratch)
        examples = None
        if ATTACKS[attack].wants_images:
            first = data.database.take(database.positions[targets.members[:, 0]])
            examples = clean_queries(first, hasher, path, workers, cache, screen, scratch)
        both = budget.both_readings(hasher.contract.std)
        screen.say(f"{attack} at {both}; {len(ids)} queries -> {folder}")
        if overwrite:
            # Numbers of what is being replaced must not outlive it.
            (folder / RESULT).unlink(missing_ok=True)
        hasher.to(where)
        attacked = run_attack(
            hasher, clean, ids, targets, attack, budget, options, protocol.seed, batch_size,
            precision, examples, folder, overwrite, screen,
        )  # fmt: skip
        seen_after = None
        if clean.lengths is not None:
            seen_after = film(
                attacked, clean.images, clean.lengths, hasher, folder, protocol.crf,
                protocol.codec != "none", screen,
            )  # fmt: skip
        result = measure(attacked, clean, query, database, rows, protocol, seen_after)
    settings = {
        "attack": attack,
        "budget": budget.to_json(),
        "options": asdict(options),
        "protocol": protocol.to_json(),
        "precision": precision,
        "seconds": attacked.seconds,
        "forwards": float(attacked.forwards.mean()),
        "backwards": float(attacked.backwards.mean()),
    }
    # A kill between the two must not leave the numbers of other settings.
    (folder / RESULT).unlink(missing_ok=True)
    write_json(folder / CARD, settings)
    write_json(folder / RESULT, result.to_json())
    victim.run.log("attacked", folder=folder.name, **settings, tmap=result.achieved.to_json())
    return result


def check_codec(protocol: Protocol, hasher: Hasher, path: Path) -> None:
    """Refuses a codec where it has no sense or cannot be had, before anything is attacked."""
    if protocol.codec == "none":
        return
    if not hasher.contract.frames:
        raise HashprobeError(f"codec {protocol.codec} is for videos: {path} is a run of images")
    check_h264()


def clean_queries(
    split: Split,
    hasher: Hasher,
    path: Path,
    workers: int | None,
    cache: ClipCache | None,
    screen: Screen,
    scratch: ExitStack,
) -> Pixels:
    """Pixels of queries or targets; many in a file, so that memory does not grow with them."""
    into = None
    if len(split) * 3 * max(1, hasher.contract.frames) * hasher.contract.size**2 > CLEAN_BYTES:
        folder = scratch.enter_context(TemporaryDirectory(prefix="clean-", dir=path))
        into = Path(folder) / "pixels.npy"
    with screen.bar("decoding queries") as tick:
        return decode(
            split, hasher.contract, workers=workers, cache=cache, on_progress=tick, into=into
        )


def draw_queries(available: int, protocol: Protocol) -> np.ndarray:
    """Rows of the encoded queries to attack, drawn without replacement, in order."""
    if protocol.queries > available:
        raise HashprobeError(
            f"queries must be from 1 to {available}, the encoded ones; got {protocol.queries}"
        )
    rng = np.random.default_rng([protocol.seed, 0])
    return np.sort(rng.choice(available, protocol.queries, replace=False))


def draw_targets(
    data: RetrievalData,
    labels: np.ndarray,
    database: Encoded,
    ids: np.ndarray,
    options: Any,
    protocol: Protocol,
) -> TargetCodes:
    """Target labels and codes, by names for the error texts."""
    target, needed = None, max(protocol.minimum, options.n_t)
    if protocol.target is not None:
        if protocol.target not in data.label_names:
            known = ", ".join(data.label_names[:12]) + (
                ", ..." if len(data.label_names) > 12 else ""
            )
            raise HashprobeError(f"unknown target label {protocol.target!r}: choose from {known}")
        target = data.label_names.index(protocol.target)
        only = np.arange(len(data.label_names)) == target
        count = int((database.labels == only).all(1).sum())
        if count < needed:
            raise HashprobeError(
                f"target label {protocol.target!r} has {count} database items that carry it alone; "
                f"n_t or minimum ask for {needed}"
            )
    among = None
    if protocol.pool == "unseen":
        if not data.unseen:
            raise HashprobeError(
                f"{data.name} holds no class back: pool unseen needs data with unseen classes"
            )
        among = np.isin(data.label_names, data.unseen)
    chosen = draw_target_labels(
        labels,
        database.labels,
        pool="disjoint" if protocol.pool == "unseen" else protocol.pool,
        target=target,
        among=among,
        minimum=needed,
        seed=protocol.seed,
        query_ids=ids,
    )
    return draw_target_codes(
        database.codes,
        database.labels,
        chosen,
        n_t=options.n_t,
        tie=options.tie,
        seed=protocol.seed,
        query_ids=ids,
    )


def run_attack(
    hasher: Hasher,
    clean: Pixels,
    ids: np.ndarray,
    targets: TargetCodes,
    attack: str,
    budget: Budget,
    options: Any,
    seed: int,
    batch_size: int | None,
    precision: Precision,
    examples: Pixels | None,
    folder: Path,
    overwrite: bool,
    screen: Screen,
) -> Attacked:
    """Craft with one bar over the steps of all queries."""
    with screen.bar(f"{attack}: query steps") as tick:

        def on_progress(finished: int, queries: int) -> None:
            if finished and not told:
                screen.say(f"{finished} of {queries} queries are finished already")
            told.append(finished)

        told: list[int] = []
        lay_channels_last(hasher)
        return craft(
            hasher,
            clean.images,
            ids,
            targets,
            attack=attack,
            budget=budget,
            options=options,
            seed=seed,
            batch_size=batch_size,
            precision=precision,
            target_images8=None if examples is None else examples.images,
            target_lengths=None if examples is None else lengths_of(examples),
            lengths=lengths_of(clean),
            out=folder,
            overwrite=overwrite,
            on_progress=on_progress,
            on_step=tick,
        )


def lengths_of(pixels: Pixels) -> Tensor | None:
    """Frames of each clip; None for images."""
    return None if pixels.lengths is None else torch.from_numpy(pixels.lengths)


def measure(
    attacked: Attacked,
    clean: Pixels,
    query: Encoded,
    database: Encoded,
    rows: np.ndarray,
    protocol: Protocol,
    after_codec: AfterCodec | None,
) -> Evaluation:
    """The evaluation of one attack, from its codes and pictures."""
    return evaluate_attack(
        database_codes=database.codes,
        database_labels=database.labels,
        query_codes=query.codes[rows],
        query_labels=query.labels[rows],
        target_labels=attacked.target_labels,
        target_codes=as_codes(attacked.target_codes),
        attacked_codes=attacked.codes,
        attacked_codes_float=attacked.codes_float,
        after_codec=after_codec,
        perceptibility=compare_pixels(clean.images, attacked.images8, clean.lengths),
        perceptibility_float=compare_pixels(clean.images, attacked.images, clean.lengths),
        top=protocol.top,
        normaliser=protocol.normaliser,
        ties=protocol.ties,
        empty=protocol.empty,
    )


def as_codes(targets: np.ndarray) -> PackedCodes:
    """Target codes as codes: a bit left alone by a tied vote counts as +1, as in the paper."""
    return PackedCodes.from_signs(np.where(targets >= 0, 1, -1))


def default_name(attack: str, budget: Budget, seed: int) -> str:
    """Folder name of an attack.

    Example:
        >>> default_name("dhta", Budget(8 / 255), 0)
        'dhta-8of255-seed0'
        >>> default_name("dhta", Budget(8 / 255, frames=4, shared=True), 0)
        'dhta-8of255-4frames-shared-seed0'
    """
    whole = round(budget.eps * 255)
    if budget.space == "pixel" and abs(budget.eps * 255 - whole) < 1e-6:
        size = f"{whole}of255"
    else:
        size = f"{budget.eps:g}" + ("-normalised" if budget.space == "normalised" else "")
    size += "" if budget.frames is None else f"-{budget.frames}frames"
    size += "-shared" if budget.shared else ""
    return f"{attack}-{size}-seed{seed}"
