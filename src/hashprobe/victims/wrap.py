"""Any torch module as a victim."""

from collections.abc import Mapping
from copy import copy
from typing import Any

import torch
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.codes.packed import check_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Lengths, Logits
from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher, Normalising, frozen_eval
from hashprobe.victims.checks import check_logits, naming_pixels
from hashprobe.victims.foreign import Activation, options_of


BELOW = 1e-30
"""What is subtracted from an output of exactly 0 that counts as negative."""
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
        mean: what the network expects to be subtracted, one number or one a channel, in the units
            of range and in the order of its channels. By default nothing is changed: the network
            normalises inside, or not at all.
        std: what it expects its pixels to be divided by, in the same units and order.
        output: which of several outputs holds the logits: a place in a tuple or list, or a key of a
            mapping; None for a network that gives one tensor.
        activation: what its outputs have been through, `sigmoid` or `tanh`: it is undone, so that
            the code is the sign of what was there before; `none` for logits.
        more: what it expects besides, see `VictimOptions`: range (`0..1`, `0..255` or `-1..1`),
            bgr, layout (`nchw` or `nhwc`), fit (`squash`, `crop` or `pad`), resize_to, filter,
            frames, zero_bit.

    Raises:
        HashprobeError: a code length that does not fit, a std that is not above 0, no network, an
            unknown activation or option.

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
        output: int | str | None = None,
        activation: Activation = "none",
        **more: Any,
    ) -> None:
        if isinstance(network, torch.export.ExportedProgram):
            network = network.module()
        if not callable(network):
            raise HashprobeError(
                f"a victim needs a torch module or a function; got {type(network).__name__}"
            )
        for name in ("backbone", "binarise"):
            if name in more:
                raise HashprobeError(f"{name} is an option of load_victim: Victim(...) has it not")
        options = options_of({"size": size, "mean": mean, "std": std, **more}, "Victim(...)")
        super().__init__(bits, options.contract())
        self.network, self.output, self.activation = network, output, activation
        self.zero_bit = 1 if options.zero_bit is None else options.zero_bit

    @property
    def reading(self) -> dict[str, Any]:
        """How outputs are read, as far as it is not by default: part of an attack's recipe."""
        said: dict[str, Any] = {"output": self.output, "activation": self.activation}
        said = {name: value for name, value in said.items() if value not in (None, "none")}
        return said if self.zero_bit else {**said, "zero_bit": 0}

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
        logits = self.raw(images, lengths)
        check_logits(logits, len(images), self.bits)
        logits = before(logits, self.activation)
        return logits if self.zero_bit else zeros_below(logits)

    def raw(self, images: Images, lengths: Lengths | None = None) -> Any:
        """What the network gives for images or clips, as it is: the output that was asked for."""
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
        return outputs if self.output is None else picked(outputs, self.output)

    def with_contract(self, contract: InputContract) -> "Victim":
        """The same network with the same weights that expects another input.

        Args:
            contract: what it expects.

        Example:
            >>> victim = Victim(nn.Flatten(), bits=12, size=2)
            >>> grey = torch.full((1, 3, 2, 2), 0.5)
            >>> victim.with_contract(InputContract(2, (0.5,) * 3, (1.0,) * 3))(grey).abs().sum()
            tensor(0.)
        """
        twin = copy(self)
        twin._buffers = dict(self._buffers)
        twin.contract = contract
        for name, values in (("mean", contract.mean), ("std", contract.std)):
            like: Tensor = getattr(self, name)
            twin._buffers[name] = torch.tensor(values).view(1, 3, 1, 1).to(like)
        return twin


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


def zeros_below(logits: Logits) -> Logits:
    """Logits with zeros moved below 0, where the sign rule says that they are no +1.

    Example:
        >>> zeros_below(torch.tensor([[0.0, 1.0]])) >= 0
        tensor([[False,  True]])
    """
    return torch.where(logits == 0, logits - BELOW, logits)


def looked_up(victim: Victim) -> int:
    """How many outputs a network has, by one pass of a grey picture.

    Raises:
        HashprobeError: the network fails on it, or its outputs are no (N, K) tensor.

    Example:
        >>> looked_up(Victim(nn.Flatten(), bits=1, size=4))
        48
    """
    size, frames = victim.contract.size, victim.contract.frames
    grey = torch.full((1, frames, 3, size, size) if frames else (1, 3, size, size), 0.5)
    lengths = torch.tensor([frames]) if frames else None
    with frozen_eval(victim), torch.no_grad(), naming_pixels(grey, victim):
        outputs = victim.raw(grey, lengths)
    check_logits(outputs, 1, None)
    check_bits(outputs.shape[1])
    return int(outputs.shape[1])


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
