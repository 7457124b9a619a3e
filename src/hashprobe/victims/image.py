"""A backbone of images with a hash layer."""

from torch import Tensor

from hashprobe.checked import checked
from hashprobe.codes.packed import check_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Images, Logits
from hashprobe.victims.backbones import Weights, build_backbone
from hashprobe.victims.base import Normalising, check_range


@checked
class ImageHasher(Normalising):
    """A backbone whose last layer gives K bits (DHTA, section 4.2 and appendix B).

    Args:
        backbone: `small`, `efficientnet_lite0`, or any torchvision classification model by its
            torchvision name (`vgg11`, `alexnet`, `resnet18`, ...). The classifier's last layer is
            replaced by the hash layer.
        bits: code length K, 1 to 4096.
        weights: `none` (random), `imagenet`, or the path of a torchvision state dict.
        size: height and width of the input in pixels; by default the backbone's own.
        batch_norm: normalise the hash layer's outputs over the batch, so that every bit starts
            balanced; the networks of DHTA have a bare linear layer (False).

    Raises:
        HashprobeError: an unknown backbone, a K that does not fit, weights that cannot be had.

    Example:
        >>> import torch
        >>> hasher = ImageHasher("small", 32).eval()
        >>> hasher(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 32])
    """

    def __init__(
        self,
        backbone: str,
        bits: int,
        *,
        weights: Weights = "none",
        size: int | None = None,
        batch_norm: bool = True,
    ) -> None:
        check_bits(bits)
        network, contract = build_backbone(
            backbone, bits, weights=weights, size=size, batch_norm=batch_norm
        )
        super().__init__(bits, contract)
        self.backbone = backbone
        self.batch_norm = batch_norm
        self.network = network

    def forward(self, images: Images) -> Logits:
        """Logits of images in [0, 1].

        Args:
            images: (N, 3, size, size) in [0, 1].

        Returns:
            (N, K) real logits.

        Raises:
            HashprobeError: images of another shape than the contract's, or not in [0, 1].
        """
        self.check(images)
        logits: Tensor = self.network(self.normalised(images))
        return logits

    def check(self, images: Tensor) -> None:
        """Refuse images that break the contract."""
        size = self.contract.size
        if images.ndim != 4 or images.shape[1] != 3:
            raise HashprobeError(f"images must have shape (N, 3, H, W); got {tuple(images.shape)}")
        if images.shape[-2:] != (size, size):
            height, width = images.shape[-2:]
            raise HashprobeError(
                f"{self.backbone} takes {size}x{size} pixels; got {height}x{width}"
            )
        check_range(images, "images")
