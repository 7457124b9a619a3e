"""ProS-GAN's networks: from pictures and labels to adversarial pictures, and who judges them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import spectral_norm

from hashprobe.attacks import prototypes
from hashprobe.errors import HashprobeError
from hashprobe.optim.box import unit_of
from hashprobe.tensors import Images
from hashprobe.types import Budget, InputContract


SIZES: dict[str, dict[str, int]] = {
    "small": {"width": 16, "blocks": 1, "label_width": 32, "doublings": 2, "judge": 16},
    "published": {"width": 64, "blocks": 3, "label_width": 128, "doublings": 4, "judge": 64},
}
"""Filters of the first layer, residual blocks on each side of the middle, filters of the first map
of a label, layers that double its sides, filters of the discriminator's first layer."""
LEAST = 8
"""Pictures are padded to a multiple of 4, and to this at least: two layers halve their sides."""
HALVINGS = 5
"""Layers of the discriminator that halve the sides, at most."""


class LabelNet(nn.Module):
    """ProS-GAN's PrototypeNet: label vectors to semantic features, and these to codes and labels.

    Args:
        classes: length C of a label vector.
        bits: code length K.

    Example:
        >>> codes, labels = LabelNet(10, 16)(torch.eye(10))
        >>> codes.shape, labels.shape
        (torch.Size([10, 16]), torch.Size([10, 10]))
    """

    def __init__(self, classes: int, bits: int) -> None:
        super().__init__()
        self.features = label_features(classes)
        self.code = nn.Sequential(nn.Linear(prototypes.SEMANTIC, bits), nn.Tanh())
        self.label = nn.Sequential(nn.Linear(prototypes.SEMANTIC, classes), nn.Sigmoid())

    def forward(self, labels: Float[Tensor, "n c"]) -> tuple[Tensor, Tensor]:
        """Codes in (-1, 1), (N, K), and labels in (0, 1), (N, C)."""
        features = self.features(labels)
        return self.code(features), self.label(features)


def label_features(classes: int) -> nn.Sequential:
    """Layers from label vectors to semantic features."""
    return nn.Sequential(
        nn.Linear(classes, prototypes.HIDDEN),
        nn.ReLU(),
        nn.Linear(prototypes.HIDDEN, prototypes.SEMANTIC),
    )


class Generator(nn.Module):
    """Pictures that a victim is to take for others, from clean ones and target labels.

    The label's semantic feature is unfolded to a map of the picture's size, put beside the picture,
    and both go through an encoder and a decoder (Wang et al., CVPR 2021, section 3.3).

    Args:
        classes: length C of a label vector.
        side: the larger side of the pictures that it is trained on.
        size: `small` or `published`.
        budget: what its changes are limited to; None: it paints whole pictures, as published.
        contract: of the victim; it says how large a normalised unit is.

    Example:
        >>> generator = Generator(10, 32)
        >>> generator(torch.rand(2, 3, 32, 32), torch.eye(10)[:2]).shape
        torch.Size([2, 3, 32, 32])
    """

    def __init__(
        self,
        classes: int,
        side: int,
        size: str = "small",
        budget: Budget | None = None,
        contract: InputContract | None = None,
    ) -> None:
        super().__init__()
        plan = SIZES[size]
        width, blocks, start = plan["width"], plan["blocks"], plan["label_width"]
        self.classes, self.budget = classes, budget
        self.contract = contract or InputContract()
        self.semantic = label_features(classes)
        # 14 at first for pictures of 224 pixels, as published; 8 for those of 32.
        doublings = plan["doublings"]
        self.start, self.corner = start, -(-side // 2**doublings)
        self.unfold = nn.Sequential(
            nn.Linear(prototypes.SEMANTIC, start * self.corner**2), nn.ReLU()
        )
        ups: list[nn.Module] = []
        for level in range(doublings):
            ups += doubling(start >> level, start >> (level + 1))
        self.label_map = nn.Sequential(*ups, plain(start >> doublings, 3))
        layers: list[nn.Module] = [
            nn.Conv2d(6, width, 7, padding=3),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
        ]
        for level in range(2):
            given = width << level
            layers += [
                nn.Conv2d(given, 2 * given, 4, 2, 1),
                nn.InstanceNorm2d(2 * given),
                nn.ReLU(),
            ]
        layers += [Residual(4 * width) for _ in range(2 * blocks)]
        for level in (2, 1):
            layers += doubling(width << level, width << (level - 1))
        self.body = nn.Sequential(*layers)
        self.last = nn.Sequential(plain(width + 3, 3), nn.Tanh())

    def painted(self, images: Images, labels: Float[Tensor, "n c"]) -> Images:
        """What the last layer gives, in (-1, 1).

        Args:
            images: (N, 3, H, W) in [0, 1].
            labels: (N, C) target labels.
        """
        height, width = images.shape[-2:]
        below, beside = (max(LEAST, -(-s // 4) * 4) - s for s in (height, width))
        x = pad(2 * images - 1, (0, beside, 0, below), mode="replicate")
        kinds, which = labels.unique(dim=0, return_inverse=True)  # type: ignore[no-untyped-call]
        corner = self.unfold(self.semantic(kinds))
        drawn = self.label_map(corner.view(-1, self.start, self.corner, self.corner))[which]
        given = torch.cat([fitted(drawn, x), x], 1)
        out: Images = self.last(torch.cat([self.body(given), x], 1))
        return out[..., :height, :width]

    def forward(self, images: Images, labels: Float[Tensor, "n c"]) -> Images:
        """Adversarial pictures in [0, 1], inside the budget if there is one.

        Within a budget the last layer says by what share of eps each value moves, x + eps t cut to
        [0, 1]: a whole picture that is cut to the budget has no gradient where it is cut.

        Args:
            images: (N, 3, H, W) in [0, 1].
            labels: (N, C) target labels.
        """
        painted = self.painted(images, labels)
        if self.budget is None:
            return (painted + 1) / 2
        unit = unit_of(self.budget, self.contract, images)
        return (images + self.budget.eps * unit * painted).clamp(0, 1)


class Discriminator(nn.Module):
    """Which labels a picture shows, and whether it is a fake: C + 1 numbers.

    Layers that halve the sides, with spectral norms, and one over what is left (StarGAN's).

    Args:
        classes: C.
        sides: height and width of the pictures.
        width: filters of the first layer.

    Example:
        >>> Discriminator(10, (32, 32), 8)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 11])
    """

    def __init__(self, classes: int, sides: tuple[int, int], width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        given, (height, across) = 3, sides
        for level in range(HALVINGS):
            if min(height, across) < 2:
                break
            filters = width << level
            layers += [spectral_norm(nn.Conv2d(given, filters, 4, 2, 1)), nn.LeakyReLU(0.01)]
            given, height, across = filters, height // 2, across // 2
        if not layers:
            raise HashprobeError(f"a generator needs pictures of 2 pixels or more; got {sides}")
        layers.append(nn.Conv2d(given, classes + 1, (height, across), bias=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Images) -> Float[Tensor, "n c1"]:
        """(N, C + 1) from pictures in [0, 1]."""
        found: Tensor = self.layers(2 * images - 1)
        return found.flatten(1)


class Residual(nn.Module):
    """Two layers whose output is added to their input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            plain(width, width),
            nn.InstanceNorm2d(width),
            nn.ReLU(),
            plain(width, width),
            nn.InstanceNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        added: Tensor = x + self.layers(x)
        return added


def plain(given: int, out: int) -> nn.Module:
    """A 3 x 3 convolution without bias."""
    return nn.Conv2d(given, out, 3, padding=1, bias=False)


def doubling(given: int, out: int) -> list[nn.Module]:
    """Layers that double the sides."""
    return [nn.ConvTranspose2d(given, out, 4, 2, 1, bias=False), nn.InstanceNorm2d(out), nn.ReLU()]


def fitted(drawn: Tensor, x: Tensor) -> Tensor:
    """A label's map at the size of the pictures."""
    if drawn.shape[-2:] == x.shape[-2:]:
        return drawn
    return nn.functional.interpolate(drawn, x.shape[-2:], mode="bilinear", align_corners=False)
