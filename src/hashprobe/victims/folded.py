"""Batch normalisations folded into the layers before them: the same logits in fewer operations."""

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from hashprobe.victims.base import Hasher
from hashprobe.victims.passes import attend


LINEAR = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
"""Layers that can take in the normalisation of their outputs."""
OFF = 1e-4
"""Most by which logits may differ, in units of their mean size; rounding makes about 1e-6."""


def folded(victim: Hasher, *given: Tensor) -> Hasher:
    """A copy of a victim whose batch normalisations are folded into the layers before them.

    Which layer is before which is seen in one pass. Whatever the copy answers otherwise than the
    victim beyond rounding is not taken. It is for gradients alone: codes are judged by the victim.

    Args:
        victim: in evaluation mode; left as it was.
        given: one query, or some, as the victim takes them.

    Returns:
        The copy, or the victim itself where nothing can be folded.

    Example:
        >>> from hashprobe.victims import ImageHasher
        >>> victim, images = ImageHasher("small", 16).eval(), torch.rand(2, 3, 32, 32)
        >>> fast = folded(victim, images)
        >>> sum(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
        0
        >>> torch.allclose(fast(images), victim(images), atol=1e-5)
        True
    """
    if not any(isinstance(module, _BatchNorm) for module in victim.modules()):
        return victim
    with torch.no_grad(), attend([]):
        wanted, pairs = traced(victim, given)
        if not pairs:
            return victim
        try:
            copied = copy.deepcopy(victim)
            for layer, norm in pairs:
                fold(copied, layer, norm)
            logits = copied(*(each.clone() for each in given))
        except Exception:  # a network's own code may raise anything
            return victim
    off = (logits - wanted).abs().max()
    # Not a number is not less than anything.
    return copied if off <= OFF * wanted.abs().mean() else victim


def traced(victim: Hasher, given: tuple[Tensor, ...]) -> tuple[Tensor, list[tuple[str, str]]]:
    """Logits, and the names of each layer and of the normalisation that is given its output."""
    made, pairs, calls = dict[int, tuple[str, Tensor]](), list[tuple[str, str]](), Counter[str]()
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def after(_: nn.Module, __: Any, output: Tensor) -> None:
            calls[name] += 1
            made[id(output)] = name, output  # which keeps it alive, and its id its own

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            calls[name] += 1
            if inputs and id(inputs[0]) in made:
                pairs.append((made[id(inputs[0])][0], name))

        if isinstance(module, LINEAR):
            handles.append(module.register_forward_hook(after))
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            handles.append(module.register_forward_pre_hook(before))

    for name, module in victim.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            watch(name, module)
    try:
        logits: Tensor = victim(*(each.clone() for each in given))
    finally:
        for handle in handles:
            handle.remove()
    return logits, [pair for pair in pairs if all(calls[name] == 1 for name in pair)]


def fold(network: nn.Module, layer: str, norm: str) -> None:
    """Folds one normalisation into the layer before it, in place."""
    first, second = network.get_submodule(layer), network.get_submodule(norm)
    fuse: Any = fuse_linear_bn_eval if isinstance(first, nn.Linear) else fuse_conv_bn_eval
    for name, module in ((layer, fuse(first, second)), (norm, nn.Identity())):
        parent, _, leaf = name.rpartition(".")
        setattr(network.get_submodule(parent), leaf, module.requires_grad_(False).eval())
