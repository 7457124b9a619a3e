"""What outputs say of a network that cannot be attacked, or whose code says nothing."""

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from hashprobe.errors import HashprobeError


Outputs = Float64[Tensor, "n k"]
"""Outputs of some pictures, finite."""

END = 1e-3
"""How near to the largest |output|, as a share of it, an output counts as saturated."""
SATURATED = 0.75
"""Share of saturated outputs above which attacks lose: at .56 they reach what they reach on the
logits (t-MAP .91 of .92, DHTA on digits), at .88 they lose .08, at .96 half of it."""
SHARES = 1e-3
"""How far the outputs of a softmax are from adding up to 1, in half precision."""
ONE_SIZE = 1e-6
"""Difference of two sizes, as a share of them, that is none."""
MANY_BITS = 16
"""Bits from which a code of +1 alone is no accident."""
REAL = "hand over the real outputs that they are made of"
SAY = "or say hashprobe.Victim(..., activation="
SIGMOID = f"hand over the logits before the sigmoid, {SAY}'sigmoid')"
TANH = f"hand over what is before the tanh, {SAY}'tanh')"


def is_suspicious(outputs: Outputs) -> bool:
    """Whether all pictures have one code, the negatives and the noise too."""
    ones = outputs >= 0
    return bool((ones == ones[:1]).all())


def check_bits_turn(outputs: Outputs, pushed: Outputs | None, gradients: bool = False) -> list[str]:
    """Refuses outputs that give every picture one code because of how they are made.

    Args:
        outputs: those of pictures that all have one code.
        pushed: those of the same pictures after a long step against their bits; None where no
            gradient says which way that is.
        gradients: whether the network will be attacked by gradients.

    Returns:
        A line on bits of both signs that are constant, where there will be no attack by gradients:
        such a network is trained too little, but encodes.

    Raises:
        HashprobeError: outputs that are never negative, or that say nothing of the picture.

    Example:
        >>> check_bits_turn(torch.tensor([[0.0, 1.0], [1.0, 1.0]]).double(), None)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the network's outputs are 0 and 1, so that every bit is...
    """
    if pushed is not None:
        # One code, and a long step that turns no bit over: it is not the choice of pictures.
        if ((pushed >= 0) != (outputs[:1] >= 0)).any():
            return []
    elif not constant(outputs) and not values_in(outputs, (0, 1)):
        positive = (outputs >= 0).all() and outputs.shape[1] >= MANY_BITS
        if not (positive and (outputs.amax() <= 1 or (outputs == 0).any())):
            return []
    if gradients or constant(outputs) or (outputs >= 0).all():
        raise HashprobeError(f"the network's outputs {one_code(outputs)}")
    return [f"warning: the network's outputs {one_code(outputs)}"]


def one_code(outputs: Outputs) -> str:
    """Why all pictures have one code, and what to do about it."""
    if constant(outputs):
        return (
            "are the same for all pictures: does it look at its input, and are its weights loaded?"
        )
    if values_in(outputs, (0, 1)):
        return f"are 0 and 1, so that every bit is +1: {REAL}"
    if sum_to_one(outputs):
        return "add up to 1, so that every bit is +1: hand over what is before the softmax"
    # A rectifier gives exact zeros, a sigmoid almost never; one that is saturated gives ones, too.
    rectified = (outputs == 0).any() and outputs.amax() < 1
    if (outputs >= 0).all() and outputs.amax() <= 1 and not rectified:
        return f"lie in [0, 1], as those of a sigmoid, so that every bit is +1: {SIGMOID}"
    if (outputs >= 0).all():
        also = "" if (outputs == 0).any() else ", softplus or exp, or subtract the mean of each"
        return (
            "are never negative, so that every bit is +1: hand over what is before the last ReLU"
            f"{also}, or fit a binariser to this embedding (hashprobe fit-binariser)"
        )
    return (
        f"never change sign: all {outputs.shape[1]} bits are constant, whatever the picture: "
        "subtract the mean of each output, or train the network further"
    )


def check_gradient(outputs: Outputs, slope: Tensor | None, clean: int) -> list[str]:
    """Refuses outputs without a gradient to the pixels.

    Args:
        outputs: those of the pictures.
        slope: gradients of a sum of them, one a picture; None where there is no graph.
        clean: how many pictures, the first ones, are queries.

    Returns:
        A line on signs that have a gradient of their own, if these are.

    Raises:
        HashprobeError: no gradient, one that is 0 at all pictures, or one that is not finite.

    Example:
        >>> check_gradient(torch.tensor([[1.0, -1.0]]).double(), None, 1)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: the network's outputs are signs without a gradient: ...
    """
    if slope is None or not slope.any():
        raise HashprobeError(f"the network's outputs {flat(outputs, slope)}")
    if not slope[:clean].isfinite().all():
        raise HashprobeError(
            "the gradient of the network's outputs is infinite or NaN at a clean query: look for a "
            "root, a logarithm or a division at 0"
        )
    if not signs(outputs):
        return []
    return [
        "note: the network's outputs are signs with a gradient of their own (straight through): "
        "attacks follow that gradient; the logits before the sign may give a stronger attack"
    ]


def flat(outputs: Outputs, slope: Tensor | None) -> str:
    """Why outputs carry no gradient, and what to do about it."""
    if signs(outputs):
        return "are signs without a gradient: hand over the logits before the sign"
    if values_in(outputs, (0, 1)):
        return f"are 0 and 1 without a gradient: {REAL}"
    if bool((outputs == outputs.round()).all()):
        return f"are whole numbers without a gradient: {REAL}"
    if slope is None:
        return (
            "carry no gradient to the pixels: look for no_grad(), detach(), numpy or quantised "
            "weights in its forward, and hand over the float network; attacks that need no "
            "gradient (noise) do without"
        )
    return (
        "have a gradient of 0 at every picture: a step function, detach() or a saturated "
        "activation; hand over what is before it"
    )


def check_saturation(outputs: Outputs) -> None:
    """Refuses outputs most of which stand at the ends of their range, where gradients vanish.

    Raises:
        HashprobeError: more than three quarters of them do.

    Example:
        >>> check_saturation(torch.tensor([[40.0, -9.0], [8.0, -0.5], [9.0, 12.0]]).double().tanh())
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: 5 of 6 outputs ...
    """
    size = outputs.abs()
    at_end = size >= (1 - END) * size.amax()
    # One bit of a few pictures may be alike by accident.
    if (
        outputs.shape[0] < 3
        or outputs.numel() < 6
        or int(at_end.sum()) <= SATURATED * outputs.numel()
    ):
        return
    raise HashprobeError(
        f"{int(at_end.sum())} of {outputs.numel()} outputs stand at the ends of their range "
        f"(+-{float(size.amax()):.3g}), where gradients vanish: {TANH}"
    )


def constant(outputs: Outputs) -> bool:
    """Whether all pictures have the same outputs."""
    return bool((outputs == outputs[:1]).all())


def sum_to_one(outputs: Outputs) -> bool:
    """Whether outputs are shares: none is negative, and those of each picture add up to 1."""
    return bool((outputs >= 0).all() and ((outputs.sum(1) - 1).abs() < SHARES).all())


def sign_columns(outputs: Outputs) -> Bool[Tensor, " k"]:
    """Which bits have outputs of one size that is no bias: they may be signs without a gradient.

    Such a bit has both signs, or the size of another such bit. One that does not change and has a
    size of its own is that of a dead unit.

    Example:
        >>> sign_columns(torch.tensor([[0.3, -1.0, 1.0], [0.2, 1.0, 1.0]]).double())
        tensor([False,  True,  True])
    """
    size = outputs.abs()
    top = size.amax(0)
    still = ((size - size[:1]).abs().amax(0) <= ONE_SIZE * top) & (top > 0)
    turned = (outputs > 0).any(0) & (outputs < 0).any(0)
    shared = ((top - top[:, None]).abs() <= ONE_SIZE * top) & still & still[:, None]
    return still & (turned | (shared.sum(0) > 1))


def values_in(outputs: Outputs, known: tuple[float, ...]) -> bool:
    """Whether outputs have no other values than those."""
    return bool(torch.isin(outputs, torch.tensor(known).to(outputs)).all())


def signs(outputs: Outputs) -> bool:
    """Whether outputs are signs: one size, with zeros or without, and both signs."""
    top = outputs.abs().amax()
    return bool(top > 0 and values_in(outputs / top, (-1, 0, 1)) and (outputs < 0).any())
