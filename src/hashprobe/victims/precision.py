"""A victim in bfloat16: one converted copy, for gradients and quick encoding."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Lengths, Logits
from hashprobe.types import Precision
from hashprobe.victims.base import Hasher, lay_channels_last


def in_precision(victim: Hasher, precision: Precision) -> Hasher:
    """The victim itself for float32, a converted copy for bfloat16.

    Args:
        victim: left as it was.
        precision: `float32` or `bfloat16`.

    Raises:
        HashprobeError: bfloat16 for a victim that cannot be copied.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> victim = ImageHasher("small", 16).eval()
        >>> in_precision(victim, "float32") is victim
        True
    """
    return victim if precision == "float32" else Bfloat16Model(victim)


class Bfloat16Model(Hasher):
    """A copy of a hasher that computes in bfloat16, its weights held in it.

    Each module that owns weights is converted and casts what it is given; what a hasher does to
    its pixels before (its normalisation) stays in float32, where grey levels are still told apart.

    Raises:
        HashprobeError: the hasher cannot be copied, or is TorchScript.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> fast = Bfloat16Model(ImageHasher("small", 16).eval())
        >>> fast(torch.rand(2, 3, 32, 32)).dtype
        torch.float32
    """

    def __init__(self, hasher: Hasher) -> None:
        super().__init__(hasher.bits, hasher.contract)
        try:
            self.inner = copy.deepcopy(hasher)
        except (RuntimeError, TypeError) as error:
            raise HashprobeError(
                f"bfloat16 needs a copy of the victim, and it cannot be copied ({error}): "
                "use precision float32"
            ) from error
        for module in self.inner.modules():
            module.training = False  # programs of torch.export refuse eval()
        self.inner.requires_grad_(False)
        if any(isinstance(module, torch.jit.ScriptModule) for module in self.inner.modules()):
            raise HashprobeError(
                "TorchScript cannot be computed in bfloat16: use precision float32"
            )
        # A program of torch.export runs as a whole: modules inside it are not called.
        graphs = torch.fx.GraphModule
        programs = [module for module in self.inner.modules() if isinstance(module, graphs)]
        inside = {each for program in programs for each in program.modules()}
        for module in self.inner.modules():
            if module in inside:
                convert(module)
            elif holds_weights(module):
                convert(module)
                module.register_forward_pre_hook(cast_inputs, with_kwargs=True)
        for program in programs:
            program.register_forward_pre_hook(cast_inputs, with_kwargs=True)
        lay_channels_last(self.inner)

    def features(self, frames: Images) -> Tensor:
        """What a `FramewiseHasher` makes of single frames, given back in float32."""
        return self.part("features", frames.float())

    def code(self, features: Tensor, lengths: Lengths) -> Logits:
        """What a `FramewiseHasher` makes of the features of frames, given back in float32."""
        return self.part("code", features.float(), lengths)

    def part(self, name: str, *given: Tensor) -> Tensor:
        """One half of a `FramewiseHasher`; hooks only run for whole passes."""
        if holds_weights(self.inner):
            given = cast(given)
        made: Tensor = getattr(self.inner, name)(*given)
        return made.float()

    def forward(self, images: Images, *more: Tensor) -> Logits:
        """Logits of images or clips in [0, 1], given back in float32."""
        try:
            logits: Tensor = self.inner(images.float(), *more)
        except RuntimeError as error:
            if "BFloat16" not in str(error) and "bfloat16" not in str(error):
                raise
            raise HashprobeError(
                f"the network cannot be computed in bfloat16 ({str(error).splitlines()[0]}): use "
                "precision float32"
            ) from error
        return logits.float()


def holds_weights(module: nn.Module) -> bool:
    """Whether a module has floating weights of its own, beside those of its children."""
    return any(weight.is_floating_point() for weight in module.parameters(recurse=False))


def convert(module: nn.Module) -> None:
    """Holds a module's own weights and buffers, and not those of its children, in bfloat16."""
    for weight in module.parameters(recurse=False):
        if weight.is_floating_point():
            weight.data = weight.data.to(torch.bfloat16)
    for name, buffer in module.named_buffers(recurse=False):
        if buffer.is_floating_point():
            setattr(module, name, buffer.to(torch.bfloat16))


def cast_inputs(
    _: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a converted module is given, in its own precision."""
    return cast(inputs), {name: cast(value) for name, value in named.items()}


def cast(given: Any) -> Any:
    """Tensors in bfloat16 where they are floating, those inside sequences too.

    Example:
        >>> state, places = cast((torch.zeros(1), torch.tensor([1])))
        >>> state.dtype, places.dtype
        (torch.bfloat16, torch.int64)
    """
    if isinstance(given, Tensor | PackedSequence):
        floating = (given if isinstance(given, Tensor) else given.data).is_floating_point()
        return given.to(torch.bfloat16) if floating else given
    if isinstance(given, list):
        return [cast(each) for each in given]
    return tuple(cast(each) for each in given) if isinstance(given, tuple) else given


def imitates_bfloat16(device: torch.device) -> bool:
    """Whether a device is a processor that only imitates bfloat16: many times slower than float32.

    Example:
        >>> imitates_bfloat16(torch.device("cuda"))
        False
    """
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if device.type != "cpu" or not there:
        return False
    return not torch.ops.mkldnn._is_mkldnn_bf16_supported()
