"""Any torch module as a victim."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor, nn

from hashprobe.checked import checked, shown
from hashprobe.codes.packed import as_numpy
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Lengths, Logits
from hashprobe.types import MAX_SIDE, Filter, Fit, InputContract, check_whole
from hashprobe.victims.base import Hasher, Normalising, frozen_eval
from hashprobe.victims.checks import check_logits, naming_pixels


Activation: TypeAlias = Literal["none", "sigmoid", "tanh"]
"""What outputs have been through."""

TINY, CLOSE = 1e-300, 2.0**-26
"""How near to 0 and to 1 outputs count as saturated: beyond float32."""


@checked
class Victim(Normalising):
    """A network of one's own as a victim: pixels in [0, 1] to (N, K) logits, whose signs are bits.

    Args:
        network: any torch module or function from normalised pixels, (N, 3, size, size), to real
            outputs (N, K); of clips, from pixels (N, T, 3, size, size) and lengths (N,).
        bits: code length K, 1 to 4096.
        size: height and width of its input in pixels.
        mean: per channel, in [0, 1] units; what the network expects to be subtracted.
        std: per channel; what it expects its pixels to be divided by. By default nothing is
            changed: the network normalises inside, or not at all.
        filter: how pictures of another size are resized: bilinear, bicubic or nearest.
        fit: `squash` both sides to size, or `crop` the centre of the resized picture.
        frames: most frames of a clip; 0 for a network of images.
        output: which of several outputs holds the logits: a place in a tuple or list, or a key of a
            mapping; None for a network that gives one tensor.
        activation: what its outputs have been through, `sigmoid` or `tanh`: it is undone, so that
            the code is the sign of what was there before; `none` for logits.

    Raises:
        HashprobeError: a code length that does not fit, a std that is not above 0, no network, an
            unknown activation.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 12))
        >>> victim = Victim(net, bits=12, size=8, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
        >>> victim.encode(torch.rand(2, 3, 8, 8), labels=[0, 1])
        Codes(2 x 12 bits, 2 classes)
    """

    def __init__(
        self,
        network: Any,
        *,
        bits: int,
        size: int = 224,
        mean: Any = (0.0, 0.0, 0.0),
        std: Any = (1.0, 1.0, 1.0),
        filter: Filter = "bilinear",
        fit: Fit = "squash",
        frames: int = 0,
        output: int | str | None = None,
        activation: Activation = "none",
    ) -> None:
        if isinstance(network, torch.export.ExportedProgram):
            network = network.module()
        if not callable(network):
            raise HashprobeError(
                f"a victim needs a torch module or a function; got {type(network).__name__}"
            )
        check_whole("size", size, 1, MAX_SIDE)
        contract = InputContract(
            size, per_channel(mean, "mean"), per_channel(std, "std"), filter, fit, frames
        )
        if min(contract.std) <= 0:
            raise HashprobeError(f"std must be above 0 in every channel; got {contract.std}")
        if activation not in get_args(Activation):
            known = ", ".join(get_args(Activation))
            raise HashprobeError(f"activation must be one of {known}; got {activation!r}")
        super().__init__(bits, contract)
        self.network, self.output, self.activation = network, output, activation

    @property
    def reading(self) -> dict[str, Any]:
        """How outputs are read, as far as it is not by default: part of an attack's recipe."""
        said = {"output": self.output, "activation": self.activation}
        return {name: value for name, value in said.items() if value not in (None, "none")}

    def train(self, mode: bool = True) -> "Victim":
        """Switches the mode, of programs of `torch.export` too, which refuse `train` and `eval`.

        Args:
            mode: whether to train.
        """
        try:
            super().train(mode)
        except NotImplementedError:
            for module in self.modules():
                module.training = mode
        return self

    def forward(self, images: Images, lengths: Lengths | None = None) -> Logits:
        """Logits of images or clips in [0, 1].

        Args:
            images: (N, 3, size, size), or (N, T, 3, size, size), in [0, 1].
            lengths: (N,) frames of each clip; None for images.

        Returns:
            (N, K) real logits.

        Raises:
            HashprobeError: pixels of another size, or outputs of another kind than (N, K).
        """
        size = self.contract.size
        if images.shape[-2:] != (size, size):
            height, width = images.shape[-2:]
            raise HashprobeError(
                f"the victim takes {size}x{size} pixels; got {height}x{width}: resize the pictures "
                "or say size="
            )
        # Both are fresh: the network may write into them.
        given = [self.normalised(images)] + ([] if lengths is None else [lengths.clone()])
        outputs = self.network(*given)
        logits = outputs if self.output is None else picked(outputs, self.output)
        check_logits(logits, len(images), self.bits)
        return before(logits, self.activation)


def picked(outputs: Any, which: int | str) -> Any:
    """One of several outputs.

    Raises:
        HashprobeError: there is only one, or none of that place or name.
    """
    if isinstance(outputs, Tensor):
        raise HashprobeError(
            f"output={which!r} picks one of several outputs and the network gave one tensor: leave "
            "output out"
        )
    try:
        return outputs[which]
    except (IndexError, KeyError, TypeError) as error:
        there = list(outputs) if isinstance(outputs, Mapping) else range(len(outputs))
        known = ", ".join(map(repr, there))
        raise HashprobeError(
            f"the network gave a {type(outputs).__name__} without output={which!r}: it has {known}"
        ) from error


def before(outputs: Tensor, activation: Activation) -> Logits:
    """What outputs were before an activation; those that are saturated get no gradient.

    Example:
        >>> before(torch.tensor([[0.5, 1.0]]), "sigmoid")
        tensor([[ 0.0000, 18.0218]])
    """
    if activation == "none":
        return outputs
    low = 0.0 if activation == "sigmoid" else -1.0
    if outputs.numel() and not (outputs.amin() >= low and outputs.amax() <= 1):
        raise HashprobeError(
            f"activation={activation!r} and outputs outside [{low:.0f}, 1] (from "
            f"{float(outputs.detach().amin()):.3g} to {float(outputs.detach().amax()):.3g}): say "
            "activation='none'?"
        )
    # float64: next to 1 the gradient is that of one part in 2^24.
    wide = outputs.double()
    if activation == "sigmoid":
        return torch.logit(wide.clamp(TINY, 1 - CLOSE)).to(outputs.dtype)
    return torch.atanh(wide.clamp(CLOSE - 1, 1 - CLOSE)).to(outputs.dtype)


def per_channel(values: Any, name: str) -> tuple[float, float, float]:
    """One number a channel; one number for all three is taken, too."""
    array = as_numpy(values, name).astype(np.float64).ravel()
    if array.size not in (1, 3) or not np.isfinite(array).all():
        raise HashprobeError(
            f"{name} must be one number, or one for each of 3 channels; got {shown(values)}"
        )
    first, second, third = np.broadcast_to(array, 3).tolist()
    return (first, second, third)


def as_victim(network: Any, pixels: Tensor) -> Hasher:
    """A victim as it is, or a plain module that needs nothing said: its code length is looked up.

    Args:
        network: a `Hasher`, or a module from pixels in [0, 1] to logits.
        pixels: some queries, whose size it takes.

    Raises:
        HashprobeError: no module, or outputs that are no (N, K) tensor.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 12))
        >>> as_victim(net, torch.rand(2, 3, 8, 8)).bits
        12
    """
    if isinstance(network, Hasher):
        return network
    if isinstance(network, torch.export.ExportedProgram):
        network = network.module()
    if not isinstance(network, nn.Module):
        raise HashprobeError(
            f"a victim is a torch module, or hashprobe.Victim(...) around it; got "
            f"{type(network).__name__}"
        )
    if pixels.ndim != 4:
        raise HashprobeError("a network of clips needs hashprobe.Victim(..., frames=T) around it")
    one = pixels[:1].float() / (1 if pixels.is_floating_point() else 255)
    weight = next((w for w in network.parameters() if w.is_floating_point()), None)
    with frozen_eval(network), torch.no_grad(), naming_pixels(one, network):
        logits = network(one if weight is None else one.to(weight.device))
    check_logits(logits, 1, None)
    return Victim(network, bits=logits.shape[1], size=pixels.shape[-1])
