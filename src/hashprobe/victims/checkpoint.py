"""A trained network as a folder: model.safetensors beside model.json, nothing that runs code."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NotRequired, TypeAlias, TypedDict

import msgspec
from safetensors.torch import save

from hashprobe.checked import checked
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import read_json, write_bytes, write_json
from hashprobe.storage.records import Name, as_record
from hashprobe.storage.strict_json import shown_short
from hashprobe.types import Filter, Fit, InputContract, Layout
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.clip3d import Conv3dHasher, clip_hasher
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.weights import check_tensors, load_matching


AnyHasher: TypeAlias = ImageHasher | VideoHasher | Conv3dHasher
"""The networks that a checkpoint can hold."""

FORMAT = 1
WEIGHTS, CARD = "model.safetensors", "model.json"


@checked
@dataclass(frozen=True)
class ModelCard:
    """What a checkpoint says about itself.

    Example:
        >>> ModelCard("small", 32, InputContract(size=32)).bits
        32
    """

    backbone: str
    """Name of the backbone."""
    bits: int
    """Code length K."""
    contract: InputContract
    """Size, normalisation and resize filter of the input."""
    batch_norm: bool = True
    """Whether the hash layer's outputs are normalised."""
    label_names: tuple[str, ...] = ()
    """Names of the labels it was trained on."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Options of the training, as JSON."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Name and checksum of the data it was trained on, as JSON."""
    hidden: int = 0
    """Width of the LSTM's state of a network for clips; 0 for one without."""


Side = Annotated[int, msgspec.Meta(ge=1, le=16_384)]
"""Pixels of a picture's side."""
Span = Annotated[float, msgspec.Meta(gt=0)]
"""A standard deviation, above 0."""


class Contract(TypedDict):
    """What model.json says of the input.

    Example:
        >>> sorted(Contract.__required_keys__)
        ['mean', 'size', 'std']
    """

    size: Side
    mean: tuple[float, float, float]
    std: tuple[Span, Span, Span]
    filter: NotRequired[Filter]
    fit: NotRequired[Fit]
    frames: NotRequired[Annotated[int, msgspec.Meta(ge=0, le=65_536)]]
    bgr: NotRequired[bool]
    layout: NotRequired[Layout]
    resize_to: NotRequired[Annotated[int, msgspec.Meta(ge=0, le=16_384)]]


class Training(TypedDict, total=False):
    """What the package itself reads of the training in model.json.

    Example:
        >>> Training(loss="dph", epochs=30)["loss"]
        'dph'
    """

    loss: str
    epochs: int
    seconds: float


class TrainedOn(TypedDict, total=False):
    """What model.json says of the data.

    Example:
        >>> TrainedOn(name="digits")["name"]
        'digits'
    """

    name: str
    checksum: str


class CardFile(TypedDict):
    """What model.json holds.

    Example:
        >>> sorted(CardFile.__optional_keys__)
        ['hidden']
    """

    format: int
    backbone: Name
    bits: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    contract: Contract
    batch_norm: bool
    label_names: list[str]
    training: Training
    data: TrainedOn
    hidden: NotRequired[Annotated[int, msgspec.Meta(ge=0, le=65_536)]]


@checked
def save_checkpoint(folder: Path, hasher: AnyHasher, card: ModelCard) -> None:
    """Write model.safetensors and model.json, each whole or not at all.

    Args:
        folder: made if needed.
        hasher: the network.
        card: what to say about it.

    Raises:
        HashprobeError: the folder cannot be written, or the network holds more than tensors.

    Example:
        >>> import tempfile
        >>> hasher, folder = ImageHasher("small", 16), Path(tempfile.mkdtemp())
        >>> save_checkpoint(folder, hasher, ModelCard("small", 16, hasher.contract))
        >>> load_checkpoint(folder)[1].bits
        16
    """
    state = hasher.state_dict()
    check_tensors(state, f"the network for {folder}")
    weights = {k: v.detach().cpu().contiguous() for k, v in state.items()}
    write_bytes(folder / WEIGHTS, save(weights))
    said = asdict(card) | {"contract": card.contract.to_json()}
    write_json(folder / CARD, {"format": FORMAT, "hashprobe": version("hashprobe"), **said})


@checked
def load_checkpoint(folder: Path) -> tuple[AnyHasher, ModelCard]:
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
    if not isinstance(content, dict):
        seen = shown_short(content)
        raise HashprobeError(f"{folder / CARD} is damaged: it must be an object; got {seen}")
    if content.get("format") != FORMAT:
        seen = shown_short(content.get("format"))
        raise HashprobeError(
            f"{folder / CARD} has checkpoint format {seen}; this version reads {FORMAT}"
        )
    if not (folder / WEIGHTS).is_file():
        raise HashprobeError(f"{folder / WEIGHTS} is missing")
    try:
        known: CardFile = as_record(content, CardFile)
        contract: InputContract = as_record(known["contract"], InputContract, "contract")
    except HashprobeError as error:
        raise HashprobeError(f"{folder / CARD} is damaged: {error}") from error
    card = ModelCard(
        known["backbone"],
        known["bits"],
        contract,
        known["batch_norm"],
        tuple(known["label_names"]),
        content["training"],
        content["data"],
        known.get("hidden", 0),
    )
    try:
        hasher = build(card)
    except HashprobeError as error:
        raise HashprobeError(f"{folder / CARD}: {error}") from error
    if hasher.contract != contract:
        raise HashprobeError(
            f"{folder / CARD} states another input than backbone {card.backbone} has here: "
            f"{contract} there, {hasher.contract} here"
        )
    load_matching(hasher, folder / WEIGHTS)
    return hasher.eval(), card


def build(card: ModelCard) -> AnyHasher:
    """The network that a card names, with random weights."""
    size, norm = card.contract.size, card.batch_norm
    if not card.contract.frames:
        return ImageHasher(card.backbone, card.bits, size=size, batch_norm=norm)
    return clip_hasher(
        card.backbone,
        card.bits,
        size=size,
        frames=card.contract.frames,
        batch_norm=norm,
        hidden=card.hidden,
    )
