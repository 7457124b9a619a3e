"""Attack queries of an encoded run and measure how far its results move."""

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from hashprobe.attacks.registry import AttackSpec
from hashprobe.codes.packed import PackedCodes, paired_hamming
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.crafting.deterministic import fixed_batches
from hashprobe.crafting.query_shards import count_finished
from hashprobe.crafting.runner import craft
from hashprobe.data.codec import check_h264
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AfterCodec, AttackCodes, Evaluation
from hashprobe.evaluation.perceptibility import compare_twins
from hashprobe.evaluation.scoring import evaluate_attack
from hashprobe.evaluation.spread import between_runs
from hashprobe.storage.files import remove
from hashprobe.storage.lock import hold, refuse_held
from hashprobe.storage.runs import Run
from hashprobe.storage.schema import AttackRecord, Cost
from hashprobe.types import Budget, Runtime, check_whole
from hashprobe.victims.base import Hasher, lay_channels_last
from hashprobe.victims.encoding import device_of, encode
from hashprobe.victims.memory import keep_freed_memory
from hashprobe.workflow.after_codec import Film, film
from hashprobe.workflow.drawing import draw_queries
from hashprobe.workflow.encode_step import SplitEvent
from hashprobe.workflow.expected import attack_seconds, say_expected
from hashprobe.workflow.protocol import Protocol as Protocol
from hashprobe.workflow.reading import Drawn, Reader, draw
from hashprobe.workflow.replaced import let_go, set_aside
from hashprobe.workflow.results import RESULT
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device, say_precision


PROBED = 16
"""Queries whose stored codes are compared with those that the network gives."""
OTHER = 0.05
"""Bits of these that may differ: in bfloat16, or on another machine, logits near 0 turn over."""
RUN_SEED = 1_000_003
"""What the seeds of repeated runs are apart."""


def attack_run(
    run: Path | EncodedRun,
    spec: AttackSpec = AttackSpec(),
    *,
    protocol: Protocol = Protocol(),
    name: str | None = None,
    runtime: Runtime = Runtime(),
    overwrite: bool = False,
    repeats: int = 1,
) -> Evaluation:
    """Attack queries of an encoded run, keep the adversarial queries, and measure.

    Of an adversarial clip an mp4 file is kept, too, where PyAV is installed.

    Args:
        run: the run folder; or `open_run` of it, for several attacks in a row.
        spec: which attack, options and budget; its seed is that of the protocol.
        protocol: which queries, which targets, which measures.
        name: of the folder under attacks/; by default from attack, budget, seed and target code.
        runtime: device, precision of gradients, batch size, decoding, who is told.
        overwrite: whether to throw away another attack of the same name.
        repeats: runs of the attack on the same queries and targets, each in another batch size and
            with other random numbers of its own; from two on the evaluation says how far they
            spread. They are kept below attacks/NAME/runs.

    Returns:
        The evaluation, also in attacks/NAME/evaluation.json.

    Raises:
        HashprobeError: the run is not encoded, a target label is unknown or has too few items,
            the folder holds another attack, another process holds the run, or images are to be
            judged after a video codec.

    Example:
        >>> import tempfile
        >>> from hashprobe.workflow import Network, encode_run, train_run
        >>> from hashprobe.data import DataOptions
        >>> from hashprobe.training import TrainOptions
        >>> folder = Path(tempfile.mkdtemp())
        >>> run = train_run(folder, DataOptions("digits"), Network("small", 8, size=8),
        ...                 TrainOptions(epochs=1, batch_size=125))
        >>> clean = encode_run(folder)
        >>> spec = AttackSpec("noise", budget=Budget(8 / 255))
        >>> result = attack_run(folder, spec, protocol=Protocol(queries=3))
        >>> result.perceptibility.linf_255 <= 8, [p.name for p in folder.glob("attacks/*")]
        (True, ['noise-8of255-seed0'])
    """
    check_whole("repeats", repeats)
    spec = replace(spec, seed=protocol.seed)
    device, progress = pick_device(runtime.device), runtime.progress
    say_precision(progress, runtime.precision, device)
    keep_freed_memory()
    aimed = "".join(f"-{part}" for part in (protocol.target_code, protocol.knows) if part)
    default = default_name(spec.name, spec.budget, spec.seed) + aimed
    name = checked_name(default if name is None else name)
    victim = run if isinstance(run, EncodedRun) else open_run(run)
    refuse_held(victim.run.path)
    hasher, folder = victim.hasher, victim.run.path / "attacks" / name
    check_codec(protocol, hasher, victim.run.path)
    rows = draw_queries(len(victim.query), protocol)
    with ExitStack() as scratch:
        # What is on the disk while it is attacked goes when the block ends.
        scratch.enter_context(hold(victim.run.path))
        drawn = draw(rows, spec, protocol, Reader(victim, runtime, scratch))
        clean = drawn.clean
        both = spec.budget.both_readings(hasher.contract.std)
        progress.log(f"{spec.name} at {both}; {len(clean)} queries -> {folder}")
        level = protocol.level(spec.attack, spec.options)
        progress.log(f"known of the database: {level or 'nothing'}")
        if overwrite:
            set_aside(folder, spec, protocol)
            # Numbers of what is being replaced must not outlive it.
            remove(folder / RESULT)
        hasher.to(device)
        lay_channels_last(hasher)
        goal = replace(drawn.goal, own_codes=own_codes(victim, clean, rows))
        finished = 0 if overwrite else finished_in(folder, clean.ids)
        seconds = attack_seconds(hasher, clean, spec.options, finished)
        say_expected(progress, f"{spec.name}, if it takes all of its steps,", seconds)
        attacked = craft(
            hasher, clean, goal, spec, runtime=runtime, out=folder, overwrite=overwrite
        )
        plan = Film(protocol.crf, judged=protocol.codec != "none")
        clips = clean.lengths is not None
        seen = film(attacked, clean, hasher, folder, plan, progress) if clips else None
        runs = [measure(attacked, victim, drawn, protocol, seen)]
        for number in range(2, repeats + 1):
            progress.log(f"run {number} of {repeats}")
            again = repeat(hasher, drawn, spec, runtime, folder, number)
            runs.append(measure(again, victim, drawn, protocol))
        result = with_spread(runs)
        keep(victim, attacked, protocol, folder, result)
        let_go(folder)
    return result


def own_codes(victim: EncodedRun, clean: Queries, rows: np.ndarray) -> PackedCodes | None:
    """Stored codes of queries; None where they may not be those that the network gives here."""
    stored = victim.query.codes[rows]
    equal = check_stored(victim.hasher, clean, stored, victim.run.path)
    return stored if equal and in_float32(victim.run) else None


def finished_in(folder: Path, ids: tuple[int, ...]) -> int:
    """How many of some queries a folder holds already; 0 where its record cannot be read."""
    try:
        record = AttackRecord.read(folder)
    except HashprobeError:
        return 0
    return 0 if record is None else count_finished(folder, ids, record.shard)


def checked_name(name: str) -> str:
    """The name of an attack, refused if it is not that of one folder."""
    if name in ("", "..") or "\0" in name or Path(name).name != name:
        raise HashprobeError(f"the name of an attack is that of one folder; got {name!r}")
    return name


def repeat(
    hasher: Hasher, drawn: Drawn, spec: AttackSpec, runtime: Runtime, folder: Path, number: int
) -> AttackResult:
    """One more run of an attack, in another batch size and with other random numbers."""
    return craft(
        hasher,
        drawn.clean,
        drawn.goal,
        replace(spec, seed=spec.seed + number * RUN_SEED),
        runtime=another_batch(runtime, drawn.clean, number),
        out=folder / "runs" / str(number),
        overwrite=True,
    )


def in_float32(run: Run) -> bool:
    """Whether the codes of a run's queries were computed in float32, as codes are judged."""
    made_in = [
        e["precision"] for e in run.events("encoded split", SplitEvent) if e["role"] == "query"
    ]
    return made_in[-1:] == ["float32"]


def check_stored(hasher: Hasher, clean: Queries, codes: PackedCodes, path: Path) -> bool:
    """Refuses a network that gives other codes for some queries than those that are stored.

    Returns:
        Whether no bit differs.
    """
    some = min(PROBED, len(clean))
    here = encode(hasher, clean.take(slice(some)).on(device_of(hasher)))
    wrong, bits = int(paired_hamming(here, codes[:some]).sum()), some * here.bits
    if wrong > max(1, OTHER * bits):
        raise HashprobeError(
            f"the codes of {path} are not those that its network gives here: {wrong} of {bits} "
            f"bits of {some} queries differ: remove {path / 'codes'} and run hashprobe encode again"
        )
    return wrong == 0


def another_batch(runtime: Runtime, clean: Queries, number: int) -> Runtime:
    """The runtime of a repeated run: its batch is smaller than that of the run before it."""
    size = fixed_batches(replace(runtime, deterministic=True), clean.pixels).batch_size or 1
    # Sizes repeat where batches are small; seeds do not.
    return replace(runtime, batch_size=1 + (size - number) % size)


def with_spread(runs: list[Evaluation]) -> Evaluation:
    """The evaluation of the first run, with the spread of t-MAP and MAP if there are several."""
    if len(runs) < 2:
        return runs[0]
    achieved = [run.achieved for run in runs if run.achieved is not None]
    attacked = [run.map_attacked for run in runs if run.map_attacked is not None]
    return replace(
        runs[0],
        achieved_runs=between_runs(achieved) if achieved else None,
        map_runs=between_runs(attacked) if attacked else None,
    )


def keep(
    victim: EncodedRun, attacked: AttackResult, protocol: Protocol, folder: Path, result: Evaluation
) -> None:
    """Writes what was asked, what it took and what it achieved."""
    cost = Cost(attacked.seconds, float(attacked.forwards.mean()), float(attacked.backwards.mean()))
    record = AttackRecord(
        attacked.recipe,
        tuple(int(i) for i in attacked.query_ids),
        protocol=protocol.to_json(),
        cost=cost,
        shard=attacked.shard,
    )
    # A kill between the two must not leave the numbers of other settings.
    remove(folder / RESULT)
    record.write(folder)
    result.save(folder / RESULT)
    said = {"attack": record.attack, "budget": record.recipe["budget"], "options": record.options}
    said |= {"protocol": record.protocol, "precision": record.precision, **asdict(cost)}
    tmap = None if result.achieved is None else result.achieved.to_json()
    victim.run.log("attacked", folder=folder.name, **said, tmap=tmap)


def check_codec(protocol: Protocol, hasher: Hasher, path: Path) -> None:
    """Refuses a codec where it makes no sense or is not available, before anything is attacked."""
    if protocol.codec == "none":
        return
    if not hasher.contract.frames:
        raise HashprobeError(f"codec {protocol.codec} is for videos: {path} is a run of images")
    check_h264()


def measure(
    attacked: AttackResult,
    victim: EncodedRun,
    drawn: Drawn,
    protocol: Protocol,
    after_codec: AfterCodec | None = None,
) -> Evaluation:
    """The evaluation of one attack, from its codes and pictures."""
    assert attacked.clean is not None and attacked.target_codes is not None
    clean, lengths = attacked.clean.pixels, attacked.clean.lengths
    frames = None if lengths is None else lengths.numpy()
    rounded, exact = compare_twins(clean, (attacked.images8, attacked.images), frames)
    return evaluate_attack(
        AttackCodes(
            query=victim.query.codes[drawn.rows],
            attacked=attacked.codes,
            target=PackedCodes.from_logits(attacked.target_codes),
            attacked_float=attacked.codes_float,
            after_codec=after_codec,
        ),
        victim.database.labelled,
        query_labels=victim.query.labels[drawn.rows],
        target_labels=attacked.target_labels,
        options=protocol.measures(),
        perceptibility=rounded,
        perceptibility_float=exact,
        exclusion=drawn.left_out,
        knowledge=protocol.knowledge(None if attacked.spec is None else attacked.spec.options),
    )


def default_name(attack: str, budget: Budget, seed: int) -> str:
    """Folder name of an attack.

    Example:
        >>> default_name("dhta", Budget(8 / 255), 0)
        'dhta-8of255-seed0'
        >>> default_name("dhta", Budget(8 / 255, frames=4, shared=True), 0)
        'dhta-8of255-4frames-shared-seed0'
    """
    return f"{attack}-{size_name(budget)}-seed{seed}"


def size_name(budget: Budget) -> str:
    """A budget in the name of a folder."""
    whole = round(budget.eps * 255)
    if budget.space == "pixel" and abs(budget.eps * 255 - whole) < 1e-6:
        size = f"{whole}of255"
    else:
        size = f"{budget.eps:g}" + ("-normalised" if budget.space == "normalised" else "")
    size += "" if budget.frames is None else f"-{budget.frames}frames"
    return size + "-shared" * budget.shared
