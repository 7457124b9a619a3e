"""A victim behind a preprocessor, as a victim."""

from typing import Any

import numpy as np
from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import PackedCodes
from hashprobe.defenses.preprocessors.base import Preprocessor, eight_bits
from hashprobe.defenses.preprocessors.registry import preprocessor_named
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Logits
from hashprobe.victims.base import Hasher


class Defended(Hasher):
    """A victim that sees every picture through a preprocessor.

    It is judged by what the operator runs: the picture in 8 bits, `apply`, and the victim's own
    judged code; where the preprocessor makes several copies, by the majority of their bits. Its
    logits are what an attacker knows who attacks adaptively: the victim's mean over
    `differentiable`. One pass counts once, however many draws it takes.

    Args:
        victim: any victim of images.
        preprocessor: what stands in front of it.

    Raises:
        HashprobeError: a victim of clips.

    Example:
        >>> from hashprobe.defenses import Jpeg
        >>> from hashprobe.victims import ImageHasher
        >>> Defended(ImageHasher("small", 16).eval(), Jpeg()).bits
        16
    """

    @checked
    def __init__(self, victim: Hasher, preprocessor: Preprocessor) -> None:
        if victim.contract.frames:
            raise HashprobeError(
                f"{preprocessor.name} stands in front of a victim of images; this one takes clips"
            )
        super().__init__(victim.bits, victim.contract)
        self.victim, self.preprocessor = victim, preprocessor

    @property
    def reading(self) -> dict[str, Any]:
        """The preprocessor, beside how the victim is read: part of an attack's recipe."""
        inner = getattr(self.victim, "reading", {})
        return {**inner, "preprocessors": [*inner.get("preprocessors", []), self.remedy]}

    @property
    def remedy(self) -> dict[str, Any]:
        """The preprocessor as it goes into files."""
        return self.preprocessor.to_json()

    def forward(self, images: Tensor) -> Logits:
        """The victim's logits behind the preprocessor, with gradients.

        Args:
            images: (N, 3, H, W) in [0, 1], as the victim takes them.

        Returns:
            (N, K); of a random preprocessor, the mean over an attacker's draws.
        """
        count = self.preprocessor.draws
        total: Tensor = self.victim(self.preprocessor.differentiable(images, 0))
        for draw in range(1, count):
            total = total + self.victim(self.preprocessor.differentiable(images, draw))
        return total / count if count > 1 else total

    def operator_logits(self, images: Tensor) -> Logits:
        """The victim's mean logits over the copies that are judged.

        Args:
            images: (N, 3, H, W) in [0, 1].
        """
        pictures, count = eight_bits(images), self.preprocessor.copies
        total: Tensor = self.victim.operator_logits(self.preprocessor.apply(pictures, 0))
        for copy in range(1, count):
            total = total + self.victim.operator_logits(self.preprocessor.apply(pictures, copy))
        return total / count if count > 1 else total

    def codes(self, *given: Tensor) -> PackedCodes:
        """The codes that the operator gets.

        Args:
            given: (N, 3, H, W) pixels in [0, 1], or uint8.
        """
        images, count = eight_bits(given[0]), self.preprocessor.copies
        # A victim may write into what it is given; `apply` makes a new picture each time.
        first = self.victim.codes(self.preprocessor.apply(images, 0))
        if count == 1:
            return first
        votes = first.signs().astype(np.int32)
        for copy in range(1, count):
            votes += self.victim.codes(self.preprocessor.apply(images, copy)).signs()
        return PackedCodes.from_signs(votes > 0)


@checked
def defended(victim: Hasher, preprocessor: str | Preprocessor, **options: Any) -> Defended:
    """A victim behind a preprocessor, to be encoded, attacked and judged as any other.

    Codes of the database stay those without the preprocessor, or are computed through it: encode
    them with the victim that the operator uses for them.

    Args:
        victim: any victim of images, a perceptual hash or another defended one, too.
        preprocessor: a `Preprocessor`, or a name from `PREPROCESSORS`.
        options: of the preprocessor of that name.

    Returns:
        The victim, in evaluation mode.

    Raises:
        HashprobeError: an unknown name or option, options beside a preprocessor that has its own,
            or a victim of clips.

    Example:
        >>> import torch
        >>> from hashprobe.victims import perceptual_hash
        >>> victim = defended(perceptual_hash("dhash"), "jpeg", quality=50)
        >>> victim.codes(torch.rand(2, 3, 40, 30))
        PackedCodes(2 x 64 bits)
    """
    if isinstance(preprocessor, str):
        preprocessor = preprocessor_named(preprocessor, **options)
    elif options:
        raise HashprobeError(f"{preprocessor} has its options: leave out {', '.join(options)}")
    made = Defended(victim, preprocessor)
    made.training = False
    return made
