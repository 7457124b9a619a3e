"""Which network is trained, and the paper's presets; imports no torch."""

from dataclasses import dataclass, replace

from hashprobe.training.options import PAPER_IMAGES, TrainOptions


@dataclass(frozen=True)
class Network:
    """The network that is trained.

    Example:
        >>> Network("vgg11", 32, size=32).weights
        'none'
    """

    backbone: str = "small"
    """small, efficientnet_lite0, or a torchvision classification model by its name; for videos also
    mc3_18, r2plus1d_18 and r3d_18, whose convolutions span time and space."""
    bits: int = 32
    """Code length K, from 1 to 4096."""
    weights: str = "none"
    """Weights at the start: none, imagenet, kinetics (mc3_18, r2plus1d_18, r3d_18), or the path of
    a state dict."""
    size: int | None = None
    """Height and width of the input in pixels; by default the backbone's own."""
    batch_norm: bool = True
    """Normalise the outputs of the hash layer, so that bits start balanced; DHTA does not."""
    frames: int = 40
    """Most frames of a clip that the network sees (videos only); DHTA takes 40."""
    hidden: int = 256
    """Width of the LSTM's state (videos only; mc3_18, r2plus1d_18 and r3d_18 have none)."""
    tune: bool = False
    """Also train a backbone that has weights (videos only); by default its features are computed
    once. mc3_18, r2plus1d_18 and r3d_18 are always trained."""
    frozen: bool = False
    """Train the hash layer alone, on features of a backbone with weights that are computed once,
    without crops: minutes instead of hours on a CPU. Videos have it so unless --tune is given."""


TRAIN_PRESETS: dict[str, tuple[Network, TrainOptions]] = {
    "paper-images": (
        Network("vgg11", weights="imagenet", batch_norm=False),
        PAPER_IMAGES,
    ),
    "paper-videos": (
        Network("alexnet", weights="imagenet", batch_norm=False, frames=40),
        replace(PAPER_IMAGES, loss="dvh", lr=0.05, weight_decay=1e-4, batch_size=100),
    ),
}
"""Networks and training options of DHTA, appendix B, by name; it states no bits and no epochs."""
