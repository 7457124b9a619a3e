"""Files that are written together, so that the disk is waited for once."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from hashprobe.storage.files import flush_to_disk, naming, part_of
from hashprobe.storage.guards import refuse_special


FLUSHES = 16
"""Files that the disk is asked to hold at a time; it writes what comes together in one go."""


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Writes files, each whole or not at all; they appear in order, once all are on the disk.

    Args:
        contents: the files to make or replace, and what each holds.

    Raises:
        HashprobeError: no space, no permission, or a folder is in the way of one of them. Those
            before it may have appeared.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_together({folder / "a.bin": b"1234", folder / "deep" / "b.bin": b"56"})
        >>> (folder / "deep" / "b.bin").read_bytes()
        b'56'
    """
    if not contents:
        return
    parts = {final: part_of(final) for final in contents}
    try:
        for final, content in contents.items():
            with naming(final, parts[final]):
                final.parent.mkdir(parents=True, exist_ok=True)
                refuse_special(final)
                parts[final].write_bytes(content)
        with ThreadPoolExecutor(FLUSHES) as pool:
            list(pool.map(flush_part, parts, parts.values()))
        for final, part in parts.items():
            with naming(final, part):
                refuse_special(final)
                os.replace(part, final)
        for folder in dict.fromkeys(final.parent for final in parts if os.name != "nt"):
            with naming(folder, folder):
                flush_to_disk(folder)
    finally:
        for part in parts.values():
            with suppress(OSError):
                part.unlink()


def flush_part(final: Path, part: Path) -> None:
    """Waits until what a file will hold is on the disk."""
    with naming(final, part):
        flush_to_disk(part)
