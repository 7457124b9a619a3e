"""Files of weights and of networks with damaged bytes, hostile headers and planted code."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Case, Wanted
from stage import Stage, train_words

from families.archives import Planted, unplanted
from families.mangle import mangled


def saved(value: Any, **options: Any) -> bytes:
    """A value as torch saves it."""
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def safe(head: Any, data: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with a header of one's own."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + data


def tensor(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    """A header of one tensor."""
    return {"hash.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def program(path: str) -> Callable[[bytes], bytes]:
    """A zip that looks like one of TorchScript."""

    def make(_: bytes) -> bytes:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(f"{path}/data.pkl", pickle.dumps(Planted()))
            archive.writestr(f"{path}/version", "3\n")
        return stream.getvalue()

    return make


SAFE = "weights.safetensors"
KNOWN: tuple[tuple[str, str, Callable[[bytes], bytes], Wanted], ...] = (
    ("empty", SAFE, lambda d: b"", "refused"),
    ("text", SAFE, lambda d: b"weights\n" * 9, "refused"),
    ("header of 2^64-1 bytes", SAFE, lambda d: safe({}, size=2**64 - 1), "refused"),
    ("header of 2^40 bytes", SAFE, lambda d: safe({}, size=2**40), "refused"),
    ("no tensors", SAFE, lambda d: safe({}), "refused"),
    ("a header that is a list", SAFE, lambda d: safe([]), "refused"),
    ("a header that is null", SAFE, lambda d: safe(None), "refused"),
    ("an open header", SAFE, lambda d: safe(b"{"), "refused"),
    ("a header of brackets", SAFE, lambda d: safe(b"[" * 5000), "refused"),
    ("an unknown type", SAFE, lambda d: safe(tensor("F31"), bytes(8)), "refused"),
    ("a negative shape", SAFE, lambda d: safe(tensor(shape=(-2,)), bytes(8)), "refused"),
    ("a huge shape", SAFE, lambda d: safe(tensor(shape=(2**40, 2**40)), bytes(8)), "refused"),
    ("offsets beyond the end", SAFE, lambda d: safe(tensor(offsets=(0, 2**40)), bytes(8)), "refused"),
    ("offsets backwards", SAFE, lambda d: safe(tensor(offsets=(8, 0)), bytes(8)), "refused"),
    ("tensors that overlap", SAFE, lambda d: safe({**tensor(), "b": tensor()["hash.weight"]}, bytes(8)), "refused"),
    ("another shape", SAFE, lambda d: safe(tensor(), bytes(8)), "refused"),
    ("integers", SAFE, lambda d: saved_safe(torch.int32), "refused"),
    ("complex numbers", SAFE, lambda d: saved_safe(torch.complex64), "refused"),
    ("NaN", SAFE, lambda d: saved_safe(torch.float32, float("nan")), "refused"),
    ("infinity", SAFE, lambda d: saved_safe(torch.float32, float("inf")), "refused"),
    ("a planted pickle", "weights.pt", lambda d: saved({"a": Planted()}), "refused"),
    ("a bare planted pickle", "weights.pt", lambda d: pickle.dumps(Planted()), "refused"),
    ("a planted old file", "weights.pt", lambda d: saved(Planted(), _use_new_zipfile_serialization=False), "refused"),
    ("a list", "weights.pt", lambda d: saved([torch.zeros(2)]), "refused"),
    ("a number", "weights.pt", lambda d: saved(7), "refused"),
    ("a tensor", "weights.pt", lambda d: saved(torch.zeros(2)), "refused"),
    ("keys that are numbers", "weights.pt", lambda d: saved({1: torch.zeros(2)}), "refused"),
    ("nothing inside", "weights.pt", lambda d: saved({}), "refused"),
    ("empty", "weights.pt", lambda d: b"", "refused"),
    ("text", "weights.pt", lambda d: b"weights\n" * 9, "refused"),
    ("a planted program", "network.pt", program("archive"), "refused"),
    ("a planted pickle", "network.pt", lambda d: pickle.dumps(Planted()), "refused"),
    ("text", "network.pt", lambda d: b"network\n" * 9, "refused"),
    ("empty", "network.pt", lambda d: b"", "refused"),
    ("text", "network.pt2", lambda d: b"network\n" * 9, "refused"),
    ("a planted program", "network.pt2", program("archive"), "refused"),
    ("empty", "network.pt2", lambda d: b"", "refused"),
    ("empty", "network.onnx", lambda d: b"", "refused"),
    ("text", "network.onnx", lambda d: b"network\n" * 9, "refused"),
)  # fmt: skip
"""What a file holds, and whether it may be accepted."""


def saved_safe(dtype: torch.dtype, value: float = 0.0) -> bytes:
    """Tensors of the right shapes, but of another type or value."""
    from safetensors.torch import save

    from hashprobe.victims.image import ImageHasher

    state = ImageHasher("small", 8, size=8).state_dict()
    return save({name: torch.full(t.shape, value).to(dtype) for name, t in state.items()})


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One file of weights, or of a network."""
    wanted: Wanted = "either"
    if number < len(KNOWN):
        title, name, change, wanted = KNOWN[number]
    else:
        name = str(rng.choice([SAFE, SAFE, "weights.pt", "network.pt"]))
        whole = good(stage, name)
        # Headers are small: half of the damage goes there.
        head = whole[:600] if rng.random() < 0.5 else whole
        spoilt, title = mangled(head, rng)
        data = spoilt + whole[len(head) :]
        change = lambda _: data  # noqa: E731

    def prepare(work: Path) -> None:
        (work / name).write_bytes(change(b""))

    title = f"{name}: {title}"
    if name.startswith("network"):
        return Case(
            title, call=lambda: load(name), wanted=wanted, names=(name,), prepare=prepare,
            check=unplanted,
        )  # fmt: skip
    words = train_words(stage.photos, "run", "--weights", name)
    return Case(title, (words,), wanted=wanted, names=(name,), prepare=prepare, check=unplanted)


def load(name: str) -> None:
    """Loads a network from a file and encodes a picture by it."""
    import hashprobe

    hashprobe.load_victim(name, bits=4, size=8).encode(torch.zeros(1, 3, 8, 8))


def good(stage: Stage, name: str) -> bytes:
    """A good file of each kind."""
    if name == SAFE:
        return (stage / name).read_bytes()
    if name == "weights.pt":
        from safetensors.torch import load_file

        return saved(load_file(stage / SAFE))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4))
        stream = io.BytesIO()
        torch.jit.save(torch.jit.script(net), stream)
    return stream.getvalue()
