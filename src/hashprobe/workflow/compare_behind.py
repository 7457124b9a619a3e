"""Runs behind preprocessors, as a comparison is given them: RUN+NAME."""

from dataclasses import replace
from pathlib import Path

from hashprobe.checked import shown
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.defended import Defended, defended
from hashprobe.defenses.preprocessors._comdefend import ComDefend, comdefend_of
from hashprobe.defenses.preprocessors.registry import (
    COMDEFEND,
    PREPROCESSORS,
    preprocessor_named,
)
from hashprobe.errors import HashprobeError
from hashprobe.types import Runtime
from hashprobe.victims.encoding import device_of, encode
from hashprobe.workflow.compare_attacks import CHUNK, Bench
from hashprobe.workflow.comparison import CompareOptions
from hashprobe.workflow.drawing import TRAINED
from hashprobe.workflow.run_io import EncodedRun, open_run, pick_device


def split_name(path: Path) -> tuple[Path, str]:
    """A run's folder, and the name of the preprocessor in front of it; none is "".

    A folder that has the whole name is a run by itself.

    Raises:
        HashprobeError: two preprocessors, or an unknown one before a run that exists.

    Example:
        >>> split_name(Path("runs/plain+jpeg"))
        (PosixPath('runs/plain'), 'jpeg')
        >>> split_name(Path("runs/plain"))
        (PosixPath('runs/plain'), '')
    """
    _, plus, name = path.name.rpartition("+")
    if not plus or path.exists():
        return path, ""
    run = Path(str(path).removesuffix(f"+{name}"))
    if name in (*PREPROCESSORS, COMDEFEND):
        if split_name(run)[1]:
            raise HashprobeError(
                f"{path} names two preprocessors: a run takes one, such as +{name}"
            )
        return run, name
    if run.exists():
        choices = ", ".join((*PREPROCESSORS, COMDEFEND))
        raise HashprobeError(f"unknown preprocessor {shown(name)}: choose from {choices}")
    return path, ""


def open_behind(path: Path) -> EncodedRun:
    """A run, or one whose queries go through a preprocessor; the database stays as it is stored.

    Args:
        path: its folder, or RUN+NAME with a name from `PREPROCESSORS`, or comdefend, whose weights
            are in RUN/trained/comdefend.safetensors.

    Raises:
        HashprobeError: as `open_run`, an unknown preprocessor, one in front of clips, or no
            weights of comdefend.

    Example:
        >>> open_behind(Path("no/such/run+jpeg"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/run does not exist
    """
    folder, name = split_name(path)
    victim = open_run(folder)
    if not name:
        return victim
    remedy = kept_comdefend(folder) if name == COMDEFEND else preprocessor_named(name)
    return replace(victim, hasher=defended(victim.hasher, remedy))


def kept_comdefend(run: Path) -> ComDefend:
    """The autoencoder that was trained for a run."""
    weights = run / TRAINED / f"{COMDEFEND}.safetensors"
    if not weights.is_file():
        raise HashprobeError(
            f"{run} has no {weights.relative_to(run)}: comdefend is trained first, by "
            "hashprobe.defenses.fit_comdefend(pictures, FILE)"
        )
    return comdefend_of(weights)


def with_own_codes(victim: EncodedRun, options: CompareOptions, runtime: Runtime) -> EncodedRun:
    """A run with the codes that the drawn queries have behind its preprocessor, if it has one."""
    if not isinstance(victim.hasher, Defended):
        return victim
    drawn = Bench(victim, options, runtime).drawn
    victim.hasher.to(pick_device(runtime.device))
    device, data = device_of(victim.hasher), victim.query.codes.data.copy()
    for begin in range(0, len(drawn.rows), CHUNK):
        part = slice(begin, begin + CHUNK)
        data[drawn.rows[part]] = encode(victim.hasher, drawn.clean.take(part).on(device)).data
    codes = PackedCodes(data, victim.hasher.bits)
    return replace(victim, query=replace(victim.query, codes=codes))
