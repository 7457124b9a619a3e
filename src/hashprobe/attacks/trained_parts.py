"""Networks that attacks train for a victim, kept in a folder so that they are trained once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashprobe.errors import HashprobeError
from hashprobe.progress import Progress, Silent
from hashprobe.storage.files import fingerprint, remove, sha256_array, write_bytes
from hashprobe.tensors import Tensor


if TYPE_CHECKING:
    from torch import nn


class TrainedParts:
    """A folder of trained networks, each under everything that decides on it.

    Args:
        folder: made when something is kept; it may be one that cannot be written to, and then
            nothing is kept.
        progress: is told what was read, and what was trained anew because its file is damaged.

    Example:
        >>> import tempfile, torch
        >>> parts = TrainedParts(Path(tempfile.mkdtemp()))
        >>> trained = []
        >>> for _ in range(2):
        ...     net = parts.get("net", {"seed": 0}, torch.nn.Linear(2, 2), trained.append)
        >>> len(trained)
        1
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder, self.progress = folder, progress or Silent()

    def get(
        self, name: str, key: Mapping[str, Any], net: nn.Module, train: Callable[[nn.Module], Any]
    ) -> nn.Module:
        """A network with its trained weights, read if they are kept, else trained and kept.

        Args:
            name: what kind of network it is; the file's name begins with it.
            key: everything that decides on the weights, as JSON can hold it.
            net: made, and not trained.
            train: trains it in place.

        Returns:
            `net`, or a copy of it with the weights that are kept.
        """
        known = fingerprint({"name": name, **key})
        file = self.folder / f"{name}-{known[:16]}.safetensors"
        if file.is_file():
            try:
                kept = read_into(deepcopy(net), file, known)
            except HashprobeError as error:
                self.progress.log(f"{error}: trained anew")
            else:
                self.progress.log(f"{name}: as trained before, from {file}")
                return kept
        train(net)
        try:
            write_bytes(file, packed(net, known))
            remove(self.unfinished(name, key).file)
        except HashprobeError as error:
            self.progress.log(f"{name} is not kept: {error}")
        return net

    def unfinished(self, name: str, key: Mapping[str, Any]) -> Unfinished:
        """Where a training that was interrupted is kept, for the same arguments as of `get`."""
        known = fingerprint({"name": name, **key})
        return Unfinished(self.folder / f"{name}-{known[:16]}.part", known, self.progress)


@dataclass(frozen=True)
class Unfinished:
    """What an interrupted training has reached: named tensors, and how many steps are taken."""

    file: Path
    known: str
    progress: Progress

    def write(self, tensors: Mapping[str, Tensor], done: int) -> None:
        """Keeps it; a folder that cannot be written to keeps nothing."""
        from safetensors.torch import save

        state = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
        said = {"key": self.known, "done": str(done), "sha256": sha256_tensors(state)}
        try:
            write_bytes(self.file, save(state, said))
        except HashprobeError as error:
            self.progress.log(f"an unfinished training is not kept: {error}")

    def read(self) -> tuple[dict[str, Tensor], int] | None:
        """Tensors and steps; None where nothing is kept, or it is damaged or of something else."""
        if not self.file.is_file():
            return None
        try:
            said, tensors = opened_tensors(self.file)
            done = int(said.get("done", "0"))
        except (HashprobeError, ValueError) as error:
            self.progress.log(f"{self.file} is not read: {error}")
            return None
        if said.get("key") != self.known:
            return None
        if said.get("sha256") != sha256_tensors(tensors):
            self.progress.log(f"{self.file} is not read: it is damaged (its checksum is another)")
            return None
        self.progress.log(f"training goes on after step {done}, from {self.file}")
        return tensors, done


def sha256_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The SHA-256 of named tensors on the CPU."""
    return fingerprint({name: sha256_array(each.numpy()) for name, each in tensors.items()})


def packed(net: nn.Module, known: str) -> bytes:
    """The weights as a safetensors file with the key and a checksum."""
    from safetensors.torch import save

    from hashprobe.victims.digest import sha256_weights

    state = {name: value.detach().cpu().contiguous() for name, value in net.state_dict().items()}
    return save(state, {"key": known, "sha256": sha256_weights(net)})


def read_into(net: nn.Module, file: Path, known: str) -> nn.Module:
    """The network with the weights of a file.

    Raises:
        HashprobeError: the file is damaged, of another key, or of another network.
    """
    from hashprobe.victims.digest import sha256_weights
    from hashprobe.victims.weights import match_weights

    said, state = opened_tensors(file)
    if said.get("key") != known:
        raise HashprobeError(f"{file} is damaged (it is of something else)")
    match_weights(net, state, str(file))
    if sha256_weights(net) != said.get("sha256"):
        raise HashprobeError(f"{file} is damaged (its checksum is another)")
    return net


def opened_tensors(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The metadata and tensors of a safetensors file.

    Raises:
        HashprobeError: the file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), "pt") as opened:
            said = opened.metadata() or {}
            return said, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:
        raise HashprobeError(f"{file} is damaged ({str(error).splitlines()[0]})") from error
