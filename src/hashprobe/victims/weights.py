"""Weights from a file into a network; nothing that runs code is loaded."""

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hashprobe.errors import HashprobeError
from hashprobe.text import UNDECODABLE, shortened


QUANTISED = "save the float network, before it is quantised"


NESTED = ("state_dict", "model_state_dict", "model", "net", "network")
"""Entries under which files of training keep a state dict."""


def read_state_dict(path: Path, *, nested: bool = False) -> dict[str, Tensor]:
    """A state dict from a .safetensors file or a torch file that holds tensors only.

    Args:
        path: the file.
        nested: whether it may be an entry of the file, beside others that are left out.

    Raises:
        HashprobeError: no such file, not a state dict, or a pickle that would run code.
    """
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        raise HashprobeError(
            f"no weights file {path}: weights are none, imagenet, kinetics or the path of a state "
            "dict"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load, load_file

            # The library opens names in UTF-8 alone.
            return load(path.read_bytes()) if UNDECODABLE.search(str(path)) else load_file(path)
        with warnings.catch_warnings():
            # It warns of pickles that others wrote, and then reads or refuses them.
            warnings.simplefilter("ignore")
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch says the same of a file that is no pickle and of one that calls what it must not.
        if isinstance(error, pickle.UnpicklingError) and "nsupported" in str(error):
            raise HashprobeError(
                f"{path} holds more than tensors and could run code: refused; save its state_dict()"
            ) from error
        reason = "it is no such file, or was cut off"
        if isinstance(error, OSError | RuntimeError | SafetensorError):
            reason = str(error).splitlines()[0]
        raise HashprobeError(f"{path} is no readable state dict: {reason}") from error
    if not isinstance(state, dict):
        raise HashprobeError(
            f"{path} is no state dict: it holds a {type(state).__name__}, and a dict from names to "
            "tensors is expected"
        )
    if nested:
        inner = (state[name] for name in NESTED if isinstance(state.get(name), Mapping))
        state = dict(next(inner, state))
    check_tensors(state, str(path))
    return state


def check_tensors(state: Mapping[Any, Any], where: str) -> None:
    """Refuses a state dict whose entries are not all plain tensors.

    Args:
        state: from names to tensors.
        where: what an error calls it.

    Raises:
        HashprobeError: an entry of another type, such as the packed weights of a quantised network.

    Example:
        >>> check_tensors({"head": torch.zeros(2), "epoch": 3}, "model.pt")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: model.pt: entry epoch is an int, not a tensor: ...
    """
    for name, value in state.items():
        if not isinstance(name, str):
            kind = type(name).__name__
            raise HashprobeError(
                f"{where}: the name of entry {shortened(repr(name))} is no text but {kind}: "
                "a dict from names to tensors is expected"
            )
        if isinstance(value, Tensor) and not value.is_quantized:
            continue
        kind = type(value).__name__
        if isinstance(value, Tensor):
            kind, hint = f"tensor in {str(value.dtype).removeprefix('torch.')}", QUANTISED
        elif "_packed_params" in name or isinstance(value, torch.dtype):
            hint = QUANTISED
        else:
            inner = [key for key, each in state.items() if isinstance(each, Mapping)]
            alone = f"the entry {inner[0]!r}" if inner else "network.state_dict()"
            hint = f"save {alone} by itself"
        article = "an" if kind[0] in "aeiouAEIOU" else "a"
        raise HashprobeError(f"{where}: entry {name} is {article} {kind}, not a tensor: {hint}")


def load_matching(network: nn.Module, path: Path, *, head: str | None = None) -> None:
    """Load a file's tensors into a network; every one must be there and fit.

    Args:
        network: where to.
        path: a .safetensors file or a torch file that holds tensors only.
        head: name of a layer that is left as it is, because it is replaced anyway.

    Raises:
        HashprobeError: the file cannot be read, or a tensor is missing, left over, of another
            shape, or not of finite floating numbers.
    """
    match_weights(network, read_state_dict(path), str(path), head=head)


def match_weights(
    network: nn.Module, state: Mapping[str, Tensor], path: str, *, head: str | None = None
) -> None:
    """Load tensors into a network; see `load_matching`."""
    # Auxiliary classifiers serve the training of classifiers alone, and no hasher has them.
    ignored = ("aux", "AuxLogits", *([f"{head}."] if head else []))
    given = {k: v for k, v in state.items() if not k.startswith(ignored)}
    own = {k: v for k, v in network.state_dict().items() if not k.startswith(ignored)}
    for key in sorted(own.keys() | given.keys()):
        if key.endswith("num_batches_tracked"):
            continue
        if key not in given:
            raise HashprobeError(f"{path} lacks {key}: is it of another network?")
        if key not in own:
            raise HashprobeError(f"{path} holds {key}, which the network does not know")
        if own[key].shape != given[key].shape:
            raise HashprobeError(
                f"{key} has shape {tuple(given[key].shape)} in {path} and "
                f"{tuple(own[key].shape)} in the network"
            )
        if own[key].is_floating_point() and not given[key].is_floating_point():
            kind = str(given[key].dtype).removeprefix("torch.")
            raise HashprobeError(
                f"{key} has dtype {kind} in {path}; weights are floating numbers: was the network "
                "quantised?"
            )
        if own[key].is_floating_point() and not given[key].isfinite().all():
            raise HashprobeError(f"{key} in {path} holds NaN or infinite weights")
    network.load_state_dict(given, strict=False)
