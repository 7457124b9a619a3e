"""A file of weights and the name of the network that they are of: torchvision, timm, Lite."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hashprobe.checked import shown
from hashprobe.errors import HashprobeError, missing_extra
from hashprobe.victims.backbones import check_name, first_line, last_linear, torchvision_contract
from hashprobe.victims.foreign import VictimOptions
from hashprobe.victims.weights import match_weights, read_state_dict


LITE = tuple(f"efficientnet_lite{number}" for number in range(5))
"""Networks of the package efficientnet-lite-pytorch, and the sizes that they were made for."""
LITE_SIZES = dict(zip(LITE, (224, 240, 260, 280, 300), strict=True))
PREFIXES = ("module.", "_orig_mod.", "model.")
"""What DataParallel, torch.compile and Lightning put before the names of weights."""
TIMM = "timm/"
"""What stands before the name of a network of timm whose name torchvision has, too."""
FEATURES = "features"
"""The output that asks for what the last layer is given."""


@dataclass(frozen=True)
class Recipe:
    """How a named network is built, and what it expects."""

    build: Callable[[int | None], nn.Module]
    """From a number of outputs to a network with random weights; None for the usual number."""
    told: VictimOptions


def load_backbone(
    path: Path, name: str, size: int | None = None, output: int | str | None = None
) -> tuple[nn.Module, VictimOptions]:
    """The network of a file of weights, whole with its last layer, and what its name says of it.

    The width of the last layer is that of the file; where the file has none, its place is empty and
    the network gives what the layer would be given.

    Args:
        path: a .safetensors file or a torch file that holds tensors only.
        name: of a network of torchvision or timm (extra `timm`; `timm/resnet18` where torchvision
            has the name, too), or efficientnet_lite0 to 4 (extra `lite`).
        size: height and width of its pictures; None for its usual ones.
        output: `features` for what the last layer is given; None for what it gives.

    Raises:
        HashprobeError: an unknown name, a file that cannot be read, weights that are missing, left
            over or of another shape, or another output.

    Example:
        >>> load_backbone(Path("no/such/weights.pth"), "resnet18")
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no weights file no/such/weights.pth: ...
    """
    if output not in (None, FEATURES):
        raise HashprobeError(
            f"output of a file of weights is {FEATURES}, what its last layer is given, or left "
            f"out; got {shown(output)}"
        )
    state = without_prefix(read_state_dict(path, nested=True))
    recipe = recipe_of(name, size)
    network = built(recipe, name, None)
    head, layer = last_linear(network)
    weight = state.get(f"{head}.weight")
    if weight is None:
        empty(network, head)
    elif weight.ndim and weight.shape[0] != len(layer.state_dict()["weight"]):
        network = built(recipe, name, int(weight.shape[0]))
    match_weights(network, state, str(path))
    if output == FEATURES and weight is not None:
        empty(network, last_linear(network)[0])
    return network.eval(), recipe.told


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without what a wrapper put before all of their names.

    Example:
        >>> import torch
        >>> list(without_prefix({"module.fc.weight": torch.zeros(1)}))
        ['fc.weight']
    """
    names = dict(state)
    for prefix in PREFIXES:
        if names and all(name.startswith(prefix) for name in names):
            names = {name.removeprefix(prefix): value for name, value in names.items()}
    return names


def recipe_of(name: str, size: int | None) -> Recipe:
    """How a network of some name is built.

    Raises:
        HashprobeError: nobody knows the name.
    """
    from torchvision import models

    if name in LITE:
        return lite_recipe(name, size)
    known, own = models.list_models(module=models), name.removeprefix(TIMM)
    if name in known:
        return torchvision_recipe(name, size)
    try:
        import timm
    except ImportError as error:
        try:
            check_name(name, known)
        except HashprobeError as unknown:
            raise HashprobeError(
                f"{unknown}; names of timm need pip install 'hashprobe[timm]'"
            ) from error
    if not timm.is_model(own.partition(".")[0]):
        check_name(own, list(dict.fromkeys([*known, *LITE, *timm.list_models()])))
    return timm_recipe(own, size)


def torchvision_recipe(name: str, size: int | None) -> Recipe:
    """A classifier of torchvision."""
    from torchvision import models

    contract = torchvision_contract(models.get_model_weights(name), size)
    more: dict[str, Any] = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        more |= {"aux_logits": False, "init_weights": False, "transform_input": True}
    if name.startswith("vit_"):
        more["image_size"] = contract.size
    if name.startswith("maxvit_"):
        more["input_size"] = (contract.size, contract.size)

    def build(outputs: int | None) -> nn.Module:
        classes = {} if outputs is None else {"num_classes": outputs}
        network: nn.Module = models.get_model(name, **more, **classes)
        return network

    told = VictimOptions(
        size=contract.size, mean=contract.mean, std=contract.std, filter=contract.filter
    )
    return Recipe(build, told)


def timm_recipe(name: str, size: int | None) -> Recipe:
    """A network of timm."""
    import timm

    config = timm.get_pretrained_cfg(name)
    given: Any = config.to_dict() if config is not None else {}  # type: ignore[no-untyped-call]
    usual = (given.get("input_size") or (3, 224, 224))[-1]
    filters = ("bilinear", "bicubic")

    def build(outputs: int | None) -> nn.Module:
        more: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
        if size not in (None, usual):
            with suppress(TypeError):  # networks of fixed size must know it; others do not take it
                sized: nn.Module = timm.create_model(name, pretrained=False, img_size=size, **more)
                return sized
        network: nn.Module = timm.create_model(name, pretrained=False, **more)
        return network

    told = VictimOptions(
        size=size or usual,
        mean=given.get("mean"),
        std=given.get("std"),
        filter=given.get("interpolation") if given.get("interpolation") in filters else None,
    )
    return Recipe(build, told)


def lite_recipe(name: str, size: int | None) -> Recipe:
    """EfficientNet-Lite: its input is (255 x - 127) / 128, resized by the bicubic filter."""
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing_extra("efficientnet-lite-pytorch", "lite", f"backbone {name}") from error
    side = size or LITE_SIZES[name]

    def build(outputs: int | None) -> nn.Module:
        classes = {} if outputs is None else {"num_classes": outputs}
        # Padding is fixed when the network is built, so it must know the size.
        network: nn.Module = EfficientNet.from_name(
            name.replace("_", "-"), image_size=side, **classes
        )
        return network

    return Recipe(
        build, VictimOptions(size=side, mean=127, std=128, range="0..255", filter="bicubic")
    )


def built(recipe: Recipe, name: str, outputs: int | None) -> nn.Module:
    """A network with random weights."""
    try:
        return recipe.build(outputs)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise HashprobeError(f"backbone {name} cannot be built: {first_line(error)}") from error


def empty(network: nn.Module, layer: str) -> None:
    """Takes a layer out of a network: it gives what it is given."""
    path, _, leaf = layer.rpartition(".")
    setattr(network.get_submodule(path), leaf, nn.Identity())
