"""The contract of a victim: pixels to logits, and what every victim shares."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.codes.labelled import Codes
from hashprobe.codes.packed import PackedCodes, check_bits
from hashprobe.errors import HashprobeError
from hashprobe.types import InputContract


@checked
class Hasher(nn.Module):
    """Images in [0, 1] -> (N, K) real logits; the code is their sign (DHTA, section 3.1, eq. 1).

    Whatever derives from it can be trained, attacked and encoded. It normalises inside. One whose
    real code is not the sign of what carries gradients overrides `codes`, by which it is judged.

    Example:
        >>> class Mean(Hasher):
        ...     def forward(self, images):
        ...         return images.mean((2, 3)).repeat(1, 3)[:, :8] - 0.5
        >>> Mean(bits=8, contract=InputContract(size=4))(torch.ones(1, 3, 4, 4)).shape
        torch.Size([1, 8])
    """

    bits: int
    """Code length K, 1 to 4096."""
    contract: InputContract
    """Size, normalisation and resize filter of the input."""
    query_only: str = ""
    """Why there are no gradients, for a victim that can only be asked; empty for others."""
    title: str = ""
    """What it is called in tables, such as the file that it was loaded from."""

    def __init__(self, bits: int, contract: InputContract) -> None:
        super().__init__()
        check_bits(bits)
        self.bits = bits
        self.contract = contract
        self.title = type(self).__name__

    def codes(self, *given: Tensor) -> PackedCodes:
        """The codes by which queries are judged: by default the signs of the logits.

        Args:
            given: what the victim is called with: pixels and, of clips, their lengths.

        Raises:
            HashprobeError: logits that are no numbers, or no (N, K) tensor.

        Example:
            >>> from hashprobe.victims import ImageHasher
            >>> ImageHasher("small", 16).eval().codes(torch.rand(2, 3, 32, 32))
            PackedCodes(2 x 16 bits)
        """
        return PackedCodes.from_logits(self(*given))

    def operator_logits(self, images: Tensor) -> Tensor:
        """The logits that the operator gets, such as for a detector: by default the forward pass.

        Args:
            images: (N, 3, H, W) pixels in [0, 1].

        Example:
            >>> from hashprobe.defenses import defended
            >>> from hashprobe.victims import ImageHasher
            >>> victim = defended(ImageHasher("small", 16).eval(), "smoothing", attack_draws=1)
            >>> pixels = torch.rand(2, 3, 32, 32)
            >>> bool((victim.operator_logits(pixels) == victim(pixels)).all())  # other draws
            False
        """
        logits: Tensor = self(images)
        return logits

    @checked
    def encode(self, images: Any, labels: Any = None, *, batch_size: int = 64) -> Codes:
        """Codes of a database's images, by the hard sign in float32.

        Args:
            images: (N, 3, size, size) pixels, uint8 or floating in [0, 1]: an array, a tensor or a
                list of pictures. They are kept by reference, so that reports can show them. A
                victim that takes pictures of their own size is given a list with several sizes,
                too; such pictures are not kept.
            labels: (N,) classes from 0, or (N, C) multi-hot; None where they are not known.
            batch_size: images in the network at once.

        Returns:
            N codes with their labels.

        Raises:
            HashprobeError: pixels or labels that do not fit, or logits that are not numbers.

        Example:
            >>> from hashprobe.victims import ImageHasher
            >>> ImageHasher("small", 16).encode(torch.rand(2, 3, 32, 32), labels=[0, 1])
            Codes(2 x 16 bits, 2 classes)
        """
        from hashprobe.victims.encoding import encode_all

        return encode_all(self, images, labels, batch_size)


def check_range(pixels: Tensor, what: str) -> None:
    """Refuse pixels that are not in [0, 1].

    The iterates of an attack carry a gradient; it checks at its own door, once.
    """
    if pixels.requires_grad or not pixels.numel():
        return
    low, high = (bound.item() for bound in torch.aminmax(pixels))
    if not (low >= 0 and high <= 1):
        raise HashprobeError(
            f"{what} must lie in [0, 1]; got {low:.3g} to {high:.3g}: "
            "already normalised, or 8-bit values?"
        )


def dtype_of(victim: nn.Module) -> torch.dtype | None:
    """What pixels a victim takes: float64 if it holds such values, else float32; None if none.

    Example:
        >>> dtype_of(nn.Linear(2, 2))
        torch.float32
    """
    held = {each.dtype for each in (*victim.parameters(), *victim.buffers())}
    if not any(dtype.is_floating_point for dtype in held):
        return None
    return torch.float64 if torch.float64 in held else torch.float32


def in_own_dtype(victim: nn.Module, pixels: Tensor) -> Tensor:
    """Pixels as a victim takes them; as they are for one that holds no values.

    Example:
        >>> in_own_dtype(nn.Linear(2, 2), torch.zeros(1, 2, dtype=torch.float64)).dtype
        torch.float32
    """
    return pixels.to(dtype_of(victim) or pixels.dtype)


def check_clips(
    clips: Tensor, lengths: Int64[Tensor, " n"] | None, contract: InputContract
) -> Int64[Tensor, " n"]:
    """Refuse clips that break a contract; the lengths, filled in."""
    size, most = contract.size, contract.frames
    if clips.ndim != 5 or clips.shape[2] != 3 or clips.shape[-2:] != (size, size):
        raise HashprobeError(
            f"clips must have shape (N, T, 3, {size}, {size}); got {tuple(clips.shape)}"
        )
    if not 1 <= clips.shape[1] <= most:
        raise HashprobeError(f"clips must have 1 to {most} frames; got {clips.shape[1]}")
    if lengths is None:
        lengths = torch.full((len(clips),), clips.shape[1], device=clips.device)
    if lengths.shape != (len(clips),) or not ((lengths >= 1) & (lengths <= clips.shape[1])).all():
        raise HashprobeError(
            f"lengths must be one for each of {len(clips)} clips, from 1 to {clips.shape[1]}"
        )
    check_range(clips, "clips")
    return lengths


def lay_channels_last(network: nn.Module) -> None:
    """Lays out the filters of 2-D convolutions channels last, the faster layout on any device.

    `Module.to` would do the same, and refuses networks with 3-D convolutions.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv3d(3, 4, 3))
        >>> lay_channels_last(network)
        >>> network[0].weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    for weight in network.parameters():
        if weight.ndim == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)


@contextmanager
def frozen_eval(hasher: nn.Module) -> Iterator[None]:
    """Puts a hasher into evaluation mode, without gradients for its weights, for a while.

    The mode of every submodule and every weight's `requires_grad` are restored however the block
    ends.

    Args:
        hasher: any hasher, or a part of one, in any mode.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> hasher = ImageHasher("small", 16).train()
        >>> with frozen_eval(hasher):
        ...     print(hasher.training, any(p.requires_grad for p in hasher.parameters()))
        False False
        >>> hasher.training, all(p.requires_grad for p in hasher.parameters())
        (True, True)
    """
    modes = [(module, module.training) for module in hasher.modules()]
    flags = [(weight, weight.requires_grad) for weight in hasher.parameters()]
    try:
        for module, _ in modes:
            # A program of torch.export refuses eval(): it is in the mode that it was exported in.
            module.training = False
        for weight, _ in flags:
            weight.requires_grad_(False)
        yield
    finally:
        for weight, flag in flags:
            weight.requires_grad_(flag)
        for module, mode in modes:
            module.training = mode


class Normalising(Hasher):
    """A hasher that brings its pixels to the mean and the deviation of its contract by itself.

    Args:
        bits: code length K.
        contract: what it expects; its mean and std are kept as buffers, and not in checkpoints.

    Example:
        >>> from hashprobe.types import InputContract
        >>> hasher = Normalising(8, InputContract(mean=(0.5,) * 3, std=(0.25,) * 3))
        >>> hasher.normalised(torch.ones(1, 3, 1, 1)).flatten()
        tensor([2., 2., 2.])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, bits: int, contract: InputContract) -> None:
        super().__init__(bits, contract)
        for name, values in (("mean", contract.mean), ("std", contract.std)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def normalised(self, pixels: Tensor) -> Tensor:
        """Pixels of images, (N, 3, H, W), or clips, (N, T, 3, H, W), less mean, over deviation.

        They are in the order of channels and in the layout of the contract.
        """
        pixels = (pixels - self.mean).div_(self.std)
        if self.contract.bgr:
            pixels = pixels.flip(-3)
        return pixels.movedim(-3, -1) if self.contract.layout == "nhwc" else pixels
