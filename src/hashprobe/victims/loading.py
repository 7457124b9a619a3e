"""Victims from files."""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.text import shortened
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import load_checkpoint
from hashprobe.victims.checks import LINE
from hashprobe.victims.embedding import binarised
from hashprobe.victims.foreign import VictimOptions, beside, options_of
from hashprobe.victims.onnx_file import read_onnx
from hashprobe.victims.onnx_victim import OnnxVictim
from hashprobe.victims.perceptual.registry import PERCEPTUAL_HASHES, perceptual_hash
from hashprobe.victims.state_dict import load_backbone
from hashprobe.victims.wrap import Victim, looked_up


@checked
def load_victim(source: str | Path, options: VictimOptions | None = None, **more: Any) -> Hasher:
    """Loads a victim from a file, a run folder, a factory or the name of a perceptual hash.

    A `.pt2` or TorchScript file and a factory are code of the user's own, which runs when they are
    loaded: open only what you trust. Nothing in a state dict or an ONNX file is executed.

    Args:
        source: a run folder or model folder of hashprobe; a `.pt2` file of `torch.export`; a
            TorchScript file; with `backbone=`, a state dict in a `.safetensors` or torch file; an
            `.onnx` file (extra `onnx`), with gradients where onnx2torch converts it;
            `package.module:factory`, a function without arguments that returns a module or a
            victim, the module on Python's path or in the current folder; or `pdq`, `phash`,
            `dhash` or `ahash`, where there is no file of this name.
        options: how the network is used; a folder of hashprobe and a perceptual hash know it by
            themselves. A file net.yaml beside net.pt2 may say the same; what is given here comes
            first.
        more: the same by name: bits, size, mean, std, ..., see `VictimOptions`.

    Returns:
        The victim, in evaluation mode.

    Raises:
        HashprobeError: nothing there, another kind of file, options that do not fit it, or an
            unknown option.

    Example:
        >>> load_victim("no/such/file.pt2", bits=32)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no victim at no/such/file.pt2: there is no such file
    """
    asked = options_of(more, "load_victim").over(options or VictimOptions())
    text, path = str(source), Path(os.path.expanduser(source))
    if not text.strip():
        raise HashprobeError("an empty path names no victim")
    victim = found(text, path, asked)
    victim.title = path.name
    return victim


def found(text: str, path: Path, asked: VictimOptions) -> Hasher:
    """The victim at a path, or of a name."""
    if text in PERCEPTUAL_HASHES and not path.exists():
        return knowing(perceptual_hash(text), asked, text)
    if ":" in text and not path.exists():
        network = from_factory(text)
        if isinstance(network, Hasher):
            return knowing(network.eval(), asked, text)
        return finished(network, without_backbone(asked, text))
    if path.is_dir():
        folder = path / "model" if (path / "model").is_dir() else path
        return knowing(load_checkpoint(folder)[0].eval(), asked, text)
    if not path.is_file():
        raise HashprobeError(f"no victim at {path}: there is no such file{meant(text)}")
    asked = asked.over(beside(path))
    if path.suffix.lower() == ".onnx":
        return from_onnx(path, without_backbone(asked, text))
    if asked.backbone is not None:
        network, known = load_backbone(path, asked.backbone, asked.size, asked.output)
        return finished(network, replace(asked.over(known), backbone=None, output=None))
    network = from_file(path)
    return finished(network, asked.over(VictimOptions(size=exported_size(network))))


def without_backbone(options: VictimOptions, source: str) -> VictimOptions:
    """Options of something that holds its network; a backbone is refused."""
    if options.backbone is not None:
        raise HashprobeError(
            f"{source} holds a whole network: leave backbone out, it is of files of weights alone"
        )
    return options


def knowing(victim: Hasher, options: VictimOptions, source: str) -> Hasher:
    """A victim that knows its own contract, after a binariser if one is given; more is refused."""
    names = ", ".join(name for name in options.said() if name != "binarise")
    if names:
        raise HashprobeError(f"{source} knows its own contract: leave out {names}")
    return binarised(victim, options.binarise, None).eval()


def finished(network: Any, options: VictimOptions) -> Hasher:
    """A network with its options as a victim, in evaluation mode."""
    known = inner_options(options).said()
    return with_bits(Victim(network, **{"bits": 1, **known}), options)


def inner_options(options: VictimOptions) -> VictimOptions:
    """What a victim of floats is told: its binariser, if there is one, decides on zeros."""
    if options.binarise in (None, "sign"):
        return replace(options, binarise=None)
    return replace(options, binarise=None, zero_bit=None)


def with_bits(victim: Victim, options: VictimOptions) -> Hasher:
    """A victim with as many bits as its options say, or its network has, after its binariser."""
    from_file = options.binarise not in (None, "sign", "median")
    victim.bits = looked_up(victim) if options.bits is None or from_file else options.bits
    made = binarised(victim, options.binarise, options.zero_bit)
    if options.bits not in (None, made.bits):
        raise HashprobeError(
            f"{options.binarise} gives {made.bits} bits; asked for were {options.bits}: leave "
            "bits out"
        )
    for module in (made, victim):
        module.training = False
    return made


def from_onnx(path: Path, options: VictimOptions) -> Hasher:
    """The victim in an ONNX file."""
    file = read_onnx(path, options.output)
    told = VictimOptions(
        size=file.size, layout=file.layout, range="0..255" if file.dtype == "uint8" else None
    )
    for name in ("size", "layout"):
        wanted, known = getattr(options, name), getattr(told, name)
        if None not in (wanted, known) and wanted != known:
            raise HashprobeError(f"{path} has {name} {known}; asked for was {wanted}: leave it out")
    options = options.over(told)
    return with_bits(OnnxVictim(file, inner_options(options)), options)


def meant(text: str) -> str:
    """Which perceptual hash a name without a file may mean."""
    if not text.isidentifier():
        return ""
    known = ", ".join(PERCEPTUAL_HASHES)
    return f", and the perceptual hashes are {known}"


def from_factory(text: str) -> Any:
    """What a factory `package.module:name` returns."""
    module, _, name = text.partition(":")
    try:
        with current_folder():
            factory = getattr(importlib.import_module(module), name)
        network = factory()
    except HashprobeError:
        raise
    except Exception as error:  # a factory is code of the user's own
        first = shortened((str(error) or "no message").splitlines()[0], LINE)
        raise HashprobeError(f"no factory {text}: {type(error).__name__}: {first}") from error
    return network


@contextmanager
def current_folder() -> Iterator[None]:
    """Lets modules in the current folder be imported, after those that are installed."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


@contextmanager
def torch_logs_off() -> Iterator[None]:
    """Keeps torch from logging the traceback of a file that it cannot read; the error says it."""
    loggers = [logging.getLogger(f"torch.export{part}") for part in ("", ".pt2_archive._package")]
    before = [logger.disabled for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def exported_size(network: Any) -> int | None:
    """Height and width that a program of torch.export was made for; None for other networks."""
    # The graph of TorchScript is of another kind.
    known = isinstance(network, torch.fx.GraphModule) and not isinstance(
        network, torch.jit.ScriptModule
    )
    nodes = network.graph.nodes if known else ()
    shapes: list[Any] = [
        getattr(n.meta.get("val"), "shape", ()) for n in nodes if n.op == "placeholder"
    ]
    pictures = [shape for shape in shapes if len(shape) == 4 and shape[1] == 3]
    sides = set(pictures[0][2:]) if len(pictures) == 1 else set()
    size = sides.pop() if len(sides) == 1 else None
    return size if isinstance(size, int) else None


def from_file(path: Path) -> Any:
    """The module in a file of `torch.export` or TorchScript."""
    if path.suffix == ".safetensors":
        raise HashprobeError(
            f"{path} holds weights alone: say backbone=NAME, the network they are of"
        )
    if path.suffix == ".pt2":
        try:
            with torch_logs_off():
                return torch.export.load(path).module()
        except Exception as error:  # torch raises whatever the archive makes it raise
            first = str(error).partition("\n")[0]
            raise HashprobeError(f"{path} is no program of torch.export: {first}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated, and is still read
            return torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise HashprobeError(
            f"{path} is no TorchScript file; accepted are run folders, .pt2 files of torch.export, "
            "TorchScript, .onnx, package.module:factory, and state dicts: say backbone=NAME for one"
        ) from error
