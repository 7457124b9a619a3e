"""Reads a binary index of faiss and writes its ids and codes; runs as a process of its own.

It is called by its path and imports nothing of hashprobe. On standard output it writes one line of
JSON, then N ids of 8 bytes, then N codes.
"""

import json
import os
import sys
from typing import Any

import numpy as np


SPARE = 1 << 30
"""Bytes of memory beside a multiple of the file's own."""
TIMES = 8


def limit_memory(size: int) -> None:
    """Limits the memory of this process, where the system can."""
    try:
        import resource
    except ImportError:
        return
    try:
        with open("/proc/self/statm") as stream:
            used = int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return
    most = used + TIMES * size + SPARE
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def rows_of(index: Any, faiss: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids and codes of an index, in the order of insertion where it is known."""
    kind, count, size = type(index).__name__, index.ntotal, index.code_size
    if index.d != 8 * size:
        raise ValueError(f"{index.d} bits in codes of {size} bytes")
    if kind in ("IndexBinaryIDMap", "IndexBinaryIDMap2"):
        ids = faiss.vector_to_array(index.id_map)
        inner, codes = rows_of(faiss.downcast_IndexBinary(index.index), faiss)
        if len(ids) != len(codes) or not np.array_equal(inner, np.arange(len(ids))):
            raise ValueError("its ids do not fit its codes")
        return ids, codes
    if kind in ("IndexBinaryHNSW", "IndexBinaryHNSWCagra", "IndexBinaryMultiHash"):
        return rows_of(faiss.downcast_IndexBinary(index.storage), faiss)
    if kind == "IndexBinaryFlat":
        codes = faiss.vector_to_array(index.xb)
        if len(codes) != count * size:
            raise ValueError(f"{len(codes)} bytes for {count} codes of {size}")
        return np.arange(count), codes.reshape(count, size)
    if kind == "IndexBinaryIVF":
        return rows_of_lists(index, faiss)
    raise ValueError(f"codes of {kind} cannot be read")


def rows_of_lists(index: Any, faiss: Any) -> tuple[np.ndarray, np.ndarray]:
    """Ids and codes of inverted lists, by id."""
    lists, size = faiss.downcast_InvertedLists(index.invlists), index.code_size
    if type(lists).__name__ != "ArrayInvertedLists":
        raise ValueError(f"lists of kind {type(lists).__name__} lie outside the file")
    if lists.code_size != size or lists.nlist != index.nlist:
        raise ValueError("its lists do not fit its codes")
    ids, codes = [np.zeros(0, np.int64)], [np.zeros((0, size), np.uint8)]
    for number in range(lists.nlist):
        length = lists.list_size(number)
        if length:
            ids.append(faiss.rev_swig_ptr(lists.get_ids(number), length).copy())
            some = faiss.rev_swig_ptr(lists.get_codes(number), length * size)
            codes.append(some.copy().reshape(length, size))
    every = np.concatenate(ids)
    if len(every) != index.ntotal:
        raise ValueError(f"{len(every)} codes in its lists, {index.ntotal} in its header")
    order = np.argsort(every, kind="stable")
    return every[order], np.concatenate(codes)[order]


def main(path: str) -> None:
    """Reads one index."""
    import faiss

    limit_memory(os.path.getsize(path))
    try:
        index = faiss.read_index_binary(path, faiss.IO_FLAG_READ_ONLY)
        ids, codes = rows_of(index, faiss)
        said: dict[str, Any] = {"count": len(ids), "code_size": codes.shape[1]}
    except Exception as error:
        text = str(error).strip().splitlines()
        # faiss puts the place in its own source before what it says.
        said = {"error": (text[0] if text else type(error).__name__).split(": ")[-1][:200]}
        ids = codes = np.zeros(0)
    output = sys.stdout.buffer
    output.write(json.dumps(said).encode() + b"\n")
    if "error" not in said:
        output.write(np.ascontiguousarray(ids, np.int64).tobytes())
        output.write(np.ascontiguousarray(codes, np.uint8).tobytes())
    output.flush()


if __name__ == "__main__":
    main(sys.argv[1])
