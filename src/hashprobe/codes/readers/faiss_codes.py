"""Codes in a binary index that faiss wrote, read by faiss in a process of its own.

faiss trusts what it reads: a damaged or hostile file may make it ask for any amount of memory, or
end the process. So the kind is checked first, and the file is read by a child process with a limit
on its memory (where the system has one), which hands over bytes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hashprobe.codes.packed import PackedCodes, bytes_of
from hashprobe.codes.readers.base import Columns, StoredCodes
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import os_error, regular_size
from hashprobe.text import visible


KINDS = {
    b"IBxF": "flat",
    b"IBwF": "IVF",
    b"IBMp": "ID map",
    b"IBM2": "ID map",
    b"IBHf": "HNSW",
    b"IBHc": "HNSW",
    b"IBHm": "multi-hash",
}
"""Kinds of binary indexes whose codes are kept whole, by their first four bytes."""
CHILD = Path(__file__).with_name("faiss_child.py")


def read(path: Path, bits: int | None, _: Columns) -> StoredCodes:
    """Codes of a binary index of faiss; see `read_codes`."""
    check_head(path)
    said, data = in_child(path)
    count, size = said["count"], said["code_size"]
    if len(data) != count * (8 + size):
        raise HashprobeError(f"{path} is damaged: its codes could not be read whole")
    if not count:
        raise HashprobeError(f"{path} is a faiss index without codes")
    ids = np.frombuffer(data, np.int64, count)
    codes = np.frombuffer(data, np.uint8, count * size, 8 * count).reshape(count, size)
    try:
        packed = PackedCodes(codes, bits if bits and bytes_of(bits) == size else 8 * size)
        if bits not in (None, packed.bits):
            raise HashprobeError(f"these codes have {packed.bits} bits; asked for were {bits}")
    except HashprobeError as error:
        raise HashprobeError(f"{path}: {error}") from error
    return StoredCodes(packed, tuple(map(str, ids.tolist())))


def check_head(path: Path) -> None:
    """Refuses an index of floats, of a kind without whole codes, or of an impossible size."""
    size = regular_size(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(20)
    except OSError as error:
        raise os_error(error, path) from error
    if head[:2] != b"IB":
        raise HashprobeError(
            f"{path} is a faiss index of floats: codes are in binary indexes (IndexBinaryFlat, "
            "IndexBinaryIVF, IndexBinaryIDMap)"
        )
    if head[:4] not in KINDS:
        known = ", ".join(dict.fromkeys(KINDS.values()))
        kind = ascii(head[:4].decode("latin-1"))
        raise HashprobeError(f"{path} is a binary faiss index of kind {kind}: {known} can be read")
    if len(head) < 20:
        raise HashprobeError(f"{path} was cut off: a faiss index is longer")
    width, code_size = (int.from_bytes(head[i : i + 4], "little", signed=True) for i in (4, 8))
    count = int.from_bytes(head[12:20], "little", signed=True)
    if width < 1 or width != 8 * code_size:
        raise HashprobeError(f"{path} is damaged: {width} bits in codes of {code_size} bytes")
    if count < 0 or count * code_size > size:
        raise HashprobeError(
            f"{path} is damaged or was cut off: {count:,} codes of {code_size} bytes do not fit "
            f"into {size:,} bytes"
        )


def in_child(path: Path) -> tuple[dict[str, Any], bytes]:
    """What the child process says of the index, and its ids and codes."""
    command = [sys.executable, "-P", str(CHILD), str(path.absolute())]
    # One thread: what threads reserve would count against the limit.
    limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    searched = os.pathsep.join(each for each in sys.path if each)
    environment = {**os.environ, **limits, "PYTHONPATH": searched}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    line, _, data = done.stdout.partition(b"\n")
    try:
        said = json.loads(line)
    except ValueError:
        said = {}
    if "error" in said:
        raise HashprobeError(f"{path} cannot be read by faiss: {visible(said['error'])}")
    if done.returncode or "count" not in said:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
        raise HashprobeError(
            f"{path} is damaged or was cut off: faiss ended with {how} when it read it"
        )
    return said, data
