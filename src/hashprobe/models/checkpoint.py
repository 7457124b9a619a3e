"""A trained network as a folder: model.safetensors beside model.json, nothing that runs code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from hashprobe.errors import HashprobeError
from hashprobe.files import atomic_path, read_json, write_json
from hashprobe.models.hasher import ImageHasher
from hashprobe.types import InputContract


FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "model.json"


@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says about itself.

    Example:
        >>> ModelCard("small", 32, InputContract(size=32), ("cat", "dog")).bits
        32
    """

    backbone: str
    """Name of the backbone."""
    bits: int
    """Code length K."""
    contract: InputContract
    """Size, normalisation and resize filter of the input."""
    label_names: tuple[str, ...] = ()
    """Names of the labels it was trained on."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training, as JSON."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Name and checksum of the data it was trained on, as JSON."""


def save_checkpoint(folder: Path, hasher: ImageHasher, card: ModelCard) -> None:
    """Write model.safetensors and model.json, each whole or not at all.

    Args:
        folder: made if needed.
        hasher: the network.
        card: what to say about it.

    Raises:
        HashprobeError: the folder cannot be written.

    Example:
        >>> import tempfile
        >>> hasher, folder = ImageHasher("small", 16), Path(tempfile.mkdtemp())
        >>> save_checkpoint(folder, hasher, ModelCard("small", 16, hasher.contract))
        >>> load_checkpoint(folder)[1].bits
        16
    """
    weights = {k: v.detach().cpu().contiguous() for k, v in hasher.state_dict().items()}
    with atomic_path(folder / WEIGHTS) as part:
        save_file(weights, part)
    write_json(folder / CARD, {"format": FORMAT, "hashprobe": version("hashprobe"), **asdict(card)})


def load_checkpoint(folder: Path) -> tuple[ImageHasher, ModelCard]:
    """The network of a checkpoint, in eval mode on the CPU, and what it says about itself.

    Args:
        folder: where model.safetensors and model.json are.

    Raises:
        HashprobeError: a file is missing or damaged, of another format version, or the weights do
            not fit the network that the card names.

    Example:
        >>> load_checkpoint(Path("no/such/folder"))
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no/such/folder holds no checkpoint: it has no model.json
    """
    if not (folder / CARD).is_file():
        raise HashprobeError(f"{folder} holds no checkpoint: it has no {CARD}")
    content = read_json(folder / CARD)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        seen = content.get("format") if isinstance(content, dict) else None
        raise HashprobeError(
            f"{folder / CARD} has checkpoint format {seen!r}; this version reads {FORMAT}"
        )
    try:
        shape = content["contract"]
        contract = InputContract(
            **{**shape, "mean": tuple(shape["mean"]), "std": tuple(shape["std"])}
        )
        card = ModelCard(
            content["backbone"],
            content["bits"],
            contract,
            tuple(content["label_names"]),
            content["training"],
            content["data"],
        )
    except (KeyError, TypeError) as error:
        raise HashprobeError(f"{folder / CARD} is damaged: {error} is missing or wrong") from error
    hasher = ImageHasher(card.backbone, card.bits, size=contract.size)
    if hasher.contract != contract:
        raise HashprobeError(
            f"{folder / CARD} states another input than backbone {card.backbone} has here: "
            f"{contract} there, {hasher.contract} here"
        )
    load_weights(hasher, folder / WEIGHTS)
    return hasher.eval(), card


def load_weights(hasher: ImageHasher, path: Path) -> None:
    """Load a checkpoint's tensors; every one must be there and fit."""
    if not path.is_file():
        raise HashprobeError(f"{path} is missing")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise HashprobeError(f"{path} is damaged or no safetensors file: {error}") from error
    own = hasher.state_dict()
    for key in sorted(set(own) | set(weights)):
        if key not in weights or key not in own:
            where = "lacks" if key not in weights else "holds unknown"
            raise HashprobeError(f"{path} {where} {key}: it is of another network")
        if own[key].shape != weights[key].shape:
            raise HashprobeError(
                f"{path}: {key} has shape {tuple(weights[key].shape)}, "
                f"the network needs {tuple(own[key].shape)}"
            )
    hasher.load_state_dict(weights)
