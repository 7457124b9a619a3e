"""The last whole result of an attack, which readers see until its successor is whole."""

import os
import shutil
from pathlib import Path

from hashprobe.attacks.registry import AttackSpec
from hashprobe.storage.files import os_error
from hashprobe.storage.guards import refuse_special
from hashprobe.storage.schema import AttackRecord
from hashprobe.workflow.protocol import Protocol
from hashprobe.workflow.results import RESULT, aside


def set_aside(folder: Path, spec: AttackSpec, protocol: Protocol) -> None:
    """Keeps a second link to every file of a whole result that another attack replaces.

    The same attack, on the same queries and measured alike, stays where it is and is used again.

    Args:
        folder: attacks/NAME of a run.
        spec: the attack that comes.
        protocol: its queries, targets and measures.

    Raises:
        HashprobeError: the disk refuses.
    """
    if not (folder / RESULT).is_file():
        return
    record = AttackRecord.read(folder)
    asked = spec.to_json()
    known = {} if record is None else {name: record.recipe.get(name) for name in asked}
    if record is not None and known == asked and record.protocol == protocol.to_json():
        return
    let_go(folder)
    part = aside(folder).with_suffix(".part")
    try:
        drop(part)
        shutil.copytree(folder, part, symlinks=True, copy_function=linked)
        os.rename(part, aside(folder))
    except OSError as error:
        raise os_error(error, folder) from error


def linked(source: str, target: str) -> None:
    """A second link to a file; a copy where the file system has none."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def let_go(folder: Path) -> None:
    """Removes what was set aside, once its successor is whole.

    Args:
        folder: attacks/NAME of a run.
    """
    drop(aside(folder))


def drop(place: Path) -> None:
    """Removes a folder of links; what they lead to stays where it has other names."""
    refuse_special(place)
    if place.is_dir():
        shutil.rmtree(place)
