"""An autoencoder with a code of bits in front of a victim."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from hashprobe.checked import checked
from hashprobe.defenses.preprocessors.base import Preprocessor, eight_bits
from hashprobe.errors import HashprobeError
from hashprobe.storage.files import sha256_file, write_bytes
from hashprobe.tensors import Images, Images8
from hashprobe.types import check_seed, check_whole
from hashprobe.victims.weights import match_weights, read_state_dict


PLANES = 12
"""Channels of the code."""
NOISE = 20.0
"""Standard deviation of the noise that the code is trained with."""
CODE_WEIGHT = 1e-4
"""Weight of the mean squared code in training."""
WIDTHS = (16, 32, 64, 128, 256, 128, 64, 32)
"""Channels between the nine convolutions of the encoder; the decoder has them in the same order."""


class Compressor(nn.Module):
    """Encoder and decoder of nine convolutions each, over pictures of any size."""

    def __init__(self, narrow: int = 1) -> None:
        super().__init__()
        widths = [max(1, width // narrow) for width in WIDTHS]

        def stack(inputs: int, outputs: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for width in widths:
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ELU()]
                inputs = width
            return nn.Sequential(*layers, nn.Conv2d(inputs, outputs, 3, padding=1))

        self.encoder, self.decoder = stack(3, PLANES), stack(PLANES, 3)


@checked
@dataclass(frozen=True)
class ComDefend(Preprocessor):
    """Compresses every picture to 12 bits a pixel, and makes one of them (Jia et al., CVPR 2019).

    The code is binarised when the operator runs it; an attacker goes through the sigmoid that it
    was trained with. `fit_comdefend` makes the file. It is not among the remedies of an audit,
    which have no files; `hashprobe compare RUN+comdefend` takes that of the run.

    Raises:
        HashprobeError: no file, or one of something else.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "comdefend.safetensors"
        >>> pictures = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
        >>> made = fit_comdefend(pictures, file, epochs=1, narrow=16)
        >>> made.apply(torch.rand(2, 3, 16, 24)).shape
        torch.Size([2, 3, 16, 24])
    """

    name = "comdefend"

    weights: Path
    """The file of its weights."""
    narrow: int = 1
    """By how much its layers are narrower than published, 1 to 16."""

    def __post_init__(self) -> None:
        check_whole("narrow", self.narrow, 1, 16)
        if not self.weights.is_file():
            raise HashprobeError(
                f"no weights of comdefend at {self.weights}: fit_comdefend makes them"
            )

    @property
    def title(self) -> str:
        """Its name."""
        return "ComDefend"

    def to_json(self) -> dict[str, Any]:
        """The name and the options, as they go into files; of the weights their checksum."""
        checksum = sha256_file(self.weights)
        return {"name": self.name, "weights": checksum, "narrow": self.narrow}

    def apply(self, pixels: Images, copy: int = 0) -> Images:
        """What the decoder makes of the bits."""
        with torch.no_grad():
            return eight_bits(self.through(pixels.detach(), lambda soft: (soft > 0.5).to(soft)))

    def differentiable(self, pixels: Images, draw: int = 0) -> Images:
        """The same, with the gradient of the sigmoid behind the bits."""
        return self.through(pixels, lambda soft: (soft > 0.5).to(soft) + soft - soft.detach())

    def through(self, pixels: Images, bits: Callable[[Tensor], Tensor]) -> Images:
        """Encoder, bits of its sigmoid, decoder."""
        net = compressor(self.weights, sha256_file(self.weights), self.narrow)
        net = net.to(pixels.device)
        code = bits(net.encoder(pixels.float()).sigmoid())
        made: Tensor = net.decoder(code).clamp(0, 1)
        return made.to(pixels.dtype)


def comdefend_of(weights: Path) -> ComDefend:
    """The preprocessor of a file, as narrow as its layers are.

    Args:
        weights: what `fit_comdefend` wrote.

    Raises:
        HashprobeError: no such file, or one of something else.
    """
    widest = WIDTHS.index(max(WIDTHS))
    layer = read_state_dict(weights).get(f"encoder.{2 * widest}.weight")  # an ELU between two
    narrow = 1 if layer is None else min(16, max(WIDTHS) // max(1, len(layer)))
    made = ComDefend(weights, max(1, narrow))
    compressor(weights, sha256_file(weights), made.narrow)
    return made


@lru_cache(maxsize=4)
def compressor(weights: Path, checksum: str, narrow: int) -> Compressor:
    """The network of a file, read once."""
    with torch.inference_mode(False):
        net = Compressor(narrow)
        match_weights(net, read_state_dict(weights), str(weights))
        return net.eval().requires_grad_(False)


@checked
def fit_comdefend(
    pictures: Images8,
    out: Path,
    *,
    epochs: int = 50,
    batch_size: int = 16,
    lr: float = 1e-4,
    narrow: int = 1,
    seed: int = 0,
) -> ComDefend:
    """Trains the autoencoder on clean pictures: MSE plus 1e-4 of the squared code, by Adam.

    The code is disturbed by noise of deviation 20 before its sigmoid, which drives it far from 0:
    it may be binarised then (Jia et al., CVPR 2019, section 3).

    Args:
        pictures: (N, 3, H, W), uint8.
        out: the .safetensors file to write.
        epochs: passes over the pictures; published are 50.
        batch_size: pictures a step.
        lr: learning rate.
        narrow: by how much its layers are narrower than published, 1 to 16.
        seed: of weights, order and noise.

    Returns:
        The preprocessor.

    Raises:
        HashprobeError: no pictures, or numbers out of range.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "comdefend.safetensors"
        >>> pictures = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
        >>> fit_comdefend(pictures, file, epochs=1, narrow=16).title
        'ComDefend'
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        check_whole(name, value)
    check_whole("narrow", narrow, 1, 16)
    check_seed(seed)
    if not len(pictures):
        raise HashprobeError("comdefend is fitted to pictures: give some")
    if not 0 < lr < float("inf"):
        raise HashprobeError(f"lr must be above 0; got {lr}")
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(seed % 2**62)
        net = Compressor(narrow)
        optimiser = torch.optim.Adam(net.parameters(), lr)
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(pictures)), batch_size):
                pixels = pictures[rows].float() / 255
                code = net.encoder(pixels)
                made = net.decoder((code - NOISE * torch.randn_like(code)).sigmoid())
                loss = ((made - pixels) ** 2).mean() + CODE_WEIGHT * (code**2).mean()
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    write_bytes(out, save({k: v.contiguous() for k, v in net.state_dict().items()}))
    return ComDefend(out, narrow)
