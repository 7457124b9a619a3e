"""Any torch module as a victim."""

from typing import Any

import torch
from torch import Tensor, nn

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Lengths, Logits
from hashprobe.types import Filter, Fit, InputContract
from hashprobe.victims.base import Hasher, Normalising, frozen_eval


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

    Raises:
        HashprobeError: a code length that does not fit, a std that is not above 0, no network.

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
    ) -> None:
        if not callable(network):
            raise HashprobeError(
                f"a victim needs a torch module or a function; got {type(network).__name__}"
            )
        contract = InputContract(
            size, per_channel(mean, "mean"), per_channel(std, "std"), filter, fit, frames
        )
        if min(contract.std) <= 0:
            raise HashprobeError(f"std must be above 0 in every channel; got {contract.std}")
        super().__init__(bits, contract)
        self.network = network

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
        given = (
            (self.normalised(images),) if lengths is None else (self.normalised(images), lengths)
        )
        logits = self.network(*given)
        self.check_logits(logits, len(images))
        return logits  # type: ignore[no-any-return]

    def check_logits(self, logits: Any, count: int) -> None:
        """Refuses outputs that are no (N, K) real tensor."""
        if not isinstance(logits, Tensor):
            raise HashprobeError(
                f"the network gave a {type(logits).__name__}, not a tensor of logits: wrap it in a "
                "function that picks the (N, K) outputs"
            )
        if logits.ndim != 2 or tuple(logits.shape) != (count, self.bits):
            raise HashprobeError(
                f"the network gave outputs of shape {tuple(logits.shape)}; wanted is "
                f"({count}, {self.bits}): say bits={logits.shape[-1]}?"
            )
        if not logits.is_floating_point():
            kind = str(logits.dtype).removeprefix("torch.")
            raise HashprobeError(f"the network gave {kind}, not real logits: attack what is before")


def per_channel(values: Any, name: str) -> tuple[float, float, float]:
    """One number a channel; one number for all three is taken, too."""
    numbers = torch.as_tensor(values, dtype=torch.float64).flatten().tolist()
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(number == number for number in numbers):
        raise HashprobeError(
            f"{name} must be one number, or one for each of 3 channels; got {values}"
        )
    return (numbers[0], numbers[1], numbers[2])


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
    if not isinstance(network, nn.Module):
        raise HashprobeError(
            f"a victim is a torch module, or hashprobe.Victim(...) around it; got "
            f"{type(network).__name__}"
        )
    if pixels.ndim != 4:
        raise HashprobeError("a network of clips needs hashprobe.Victim(..., frames=T) around it")
    one = pixels[:1].float() / (1 if pixels.is_floating_point() else 255)
    weight = next((w for w in network.parameters() if w.is_floating_point()), None)
    with frozen_eval(network), torch.no_grad():
        logits = network(one if weight is None else one.to(weight.device))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise HashprobeError(
            f"the network gave a {type(logits).__name__}, not (N, K) logits: wrap it in "
            "hashprobe.Victim with a function that picks them"
        )
    return Victim(network, bits=logits.shape[1], size=pixels.shape[-1])
