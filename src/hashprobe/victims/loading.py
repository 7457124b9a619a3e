"""Victims from files."""

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.text import shortened
from hashprobe.victims.base import Hasher
from hashprobe.victims.checkpoint import load_checkpoint
from hashprobe.victims.checks import LINE
from hashprobe.victims.perceptual.registry import PERCEPTUAL_HASHES, perceptual_hash
from hashprobe.victims.wrap import Victim


@checked
def load_victim(source: str | Path, **contract: Any) -> Hasher:
    """Loads a victim from a file, a run folder, a factory or the name of a perceptual hash.

    A `.pt2` or TorchScript file and a factory are code of the user's own, which runs when they are
    loaded: open only what you trust.

    Args:
        source: a run folder or model folder of hashprobe; a `.pt2` file of `torch.export`; a
            TorchScript file; `package.module:factory`, a function without arguments that returns
            a module or a victim; or `pdq`, `phash`, `dhash` or `ahash`, where there is no file of
            this name.
        contract: how the network is used, as for `Victim`: bits, size, mean, std, ...; a folder of
            hashprobe and a perceptual hash know it by themselves.

    Returns:
        The victim, in evaluation mode.

    Raises:
        HashprobeError: nothing there, another kind of file, or a contract that is missing.

    Example:
        >>> load_victim("no/such/file.pt2", bits=32)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no victim at no/such/file.pt2: there is no such file
    """
    text, path = str(source), Path(os.path.expanduser(source))
    if not text.strip():
        raise HashprobeError("an empty path names no victim")
    if text in PERCEPTUAL_HASHES and not path.exists():
        check_no_contract(text, contract)
        return perceptual_hash(text)
    if ":" in text and not path.exists():
        network = from_factory(text)
        if isinstance(network, Hasher):
            return network.eval()
    elif path.is_dir():
        return from_folder(path, contract)
    elif not path.is_file():
        raise HashprobeError(f"no victim at {path}: there is no such file{meant(text)}")
    else:
        network = from_file(path)
    if "bits" not in contract:
        raise HashprobeError(f"{source} does not say its code length: give bits=K")
    victim = Victim(network, **contract)
    victim.training = False
    return victim


def from_folder(path: Path, contract: dict[str, Any]) -> Hasher:
    """The network of a run folder, or of a model folder."""
    check_no_contract(path, contract)
    folder = path / "model" if (path / "model").is_dir() else path
    return load_checkpoint(folder)[0].eval()


def check_no_contract(source: str | Path, contract: dict[str, Any]) -> None:
    """Refuses a contract for a victim that knows its own."""
    if contract:
        names = ", ".join(contract)
        raise HashprobeError(f"{source} knows its own contract: leave out {names}")


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
        factory = getattr(importlib.import_module(module), name)
        network = factory()
    except HashprobeError:
        raise
    except Exception as error:  # a factory is code of the user's own
        first = shortened((str(error) or "no message").splitlines()[0], LINE)
        raise HashprobeError(f"no factory {text}: {type(error).__name__}: {first}") from error
    return network


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


def from_file(path: Path) -> Any:
    """The module in a file of `torch.export` or TorchScript."""
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
            "TorchScript files and package.module:factory. For a state dict, build the network and "
            "wrap it in hashprobe.Victim"
        ) from error
