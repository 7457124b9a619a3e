"""Three-dimensional convolutions for clips: torchvision's video ResNets with a hash layer."""

from dataclasses import replace
from http.client import HTTPException
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hashprobe.checked import checked
from hashprobe.codes.packed import check_bits
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Clips, Logits
from hashprobe.types import InputContract, check_whole
from hashprobe.victims.backbones import (
    CLIP_CNNS,
    Weights,
    backbone_names,
    check_name,
    check_size,
    first_line,
    hash_layer,
    torchvision_contract,
)
from hashprobe.victims.base import Normalising, check_clips
from hashprobe.victims.clip import HIDDEN, VideoHasher, cut_head
from hashprobe.victims.weights import load_matching


CLIPS = 4
"""Clips that go through the network at once."""


@checked
class Conv3dHasher(Normalising):
    """A video ResNet with a hash layer (Tran et al., CVPR 2018), trained end to end.

    A second victim beside the LSTM of DHTA: whether an attack moves networks that see time and
    space at once. Each clip is cut to its own length before anything sees it, so what lies beyond
    it changes neither code nor gradient; in training, where statistics are those of a whole batch,
    shorter clips are played again up to the longest. Where a gradient is taken, each stage of the
    network is computed again in the backward pass, for a few clips at a time, so that memory stays
    bounded.

    Args:
        backbone: `mc3_18`, `r2plus1d_18` or `r3d_18`.
        bits: code length K, 1 to 4096.
        weights: `none`, `kinetics`, or the path of a torchvision state dict.
        size: height and width of the frames in pixels; by default 112.
        frames: most frames of a clip; the networks were made for 16.
        batch_norm: normalise the hash layer's outputs over the batch.

    Raises:
        HashprobeError: an unknown backbone, a K that does not fit, weights that cannot be had.

    Example:
        >>> hasher = Conv3dHasher("mc3_18", 16, size=16, frames=8).eval()
        >>> clips = torch.rand(2, 5, 3, 16, 16)
        >>> hasher(clips, torch.tensor([5, 3])).shape
        torch.Size([2, 16])
    """

    def __init__(
        self,
        backbone: str,
        bits: int,
        *,
        weights: Weights = "none",
        size: int | None = None,
        frames: int = 40,
        batch_norm: bool = True,
    ) -> None:
        check_bits(bits)
        check_whole("frames", frames)
        network, contract = video_resnet(backbone, weights, size)
        super().__init__(bits, replace(contract, frames=frames))
        self.backbone, self.batch_norm = backbone, batch_norm
        width = cut_head(network)
        self.network = network
        self.head = hash_layer(width, bits, batch_norm)
        self.chunk: int | None = CLIPS

    def forward(self, clips: Clips, lengths: Int64[Tensor, " n"] | None = None) -> Logits:
        """Logits of clips in [0, 1].

        Args:
            clips: (N, T, 3, size, size) in [0, 1], T at most `frames`.
            lengths: (N,) frames of each clip, from 1 to T; by default T.

        Returns:
            (N, K) real logits.

        Raises:
            HashprobeError: clips of another shape than the contract's, not in [0, 1], or lengths
                out of range.
        """
        lengths = check_clips(clips, lengths, self.contract)
        if self.training:
            # Batch statistics are those of all clips together, which asks for one length.
            features = self.features(played_again(clips, lengths))
        else:
            features = self.features_by_length(clips, lengths)
        logits: Tensor = self.head(features)
        return logits

    def features_by_length(
        self, clips: Clips, lengths: Int64[Tensor, " n"]
    ) -> Float[Tensor, "n f"]:
        """Features of clips that go through with others of their length, some at a time."""
        together = [(lengths == n).nonzero()[:, 0] for n in sorted(set(lengths.tolist()))]
        rows = [part for same in together for part in same.split(self.chunk or len(clips))]
        parts = [self.features(clips[part, : int(lengths[part[0]])]) for part in rows]
        return torch.cat(parts)[torch.cat(rows).argsort()]

    def features(self, clips: Clips) -> Float[Tensor, "n f"]:
        """What the hash layer is given, of clips without padding that go through together."""
        values = self.normalised(clips).transpose(1, 2)
        again = self.chunk is not None and not self.training and torch.is_grad_enabled()
        # The last of its children stands where the classifier was.
        *stages, _ = self.network.children()
        for stage in stages:
            values = checkpoint(stage, values, use_reentrant=False) if again else stage(values)
        return values.flatten(1)


def played_again(clips: Clips, lengths: Int64[Tensor, " n"]) -> Float[Tensor, "n longest 3 h w"]:
    """Clips that are all as long as the longest: shorter ones start again at their first frame.

    Example:
        >>> clips = torch.tensor([1.0, 2.0, 0.0]).view(1, 3, 1, 1, 1).expand(2, 3, 3, 1, 1)
        >>> played_again(clips, torch.tensor([3, 2]))[1, :, 0, 0, 0]
        tensor([1., 2., 1.])
    """
    frames = torch.arange(int(lengths.max()), device=clips.device) % lengths.unsqueeze(1)
    return clips[torch.arange(len(clips), device=clips.device).unsqueeze(1), frames]


@checked
def clip_hasher(
    backbone: str,
    bits: int,
    *,
    weights: Weights = "none",
    size: int | None = None,
    frames: int = 40,
    batch_norm: bool = True,
    hidden: int = HIDDEN,
) -> VideoHasher | Conv3dHasher:
    """The network for clips that a backbone's name asks for.

    Args:
        backbone: a video ResNet gives a `Conv3dHasher`, a network of images a `VideoHasher`.
        bits: code length K.
        weights: `none`, `imagenet` (networks of images), `kinetics` (video ResNets), or a path.
        size: height and width of the frames in pixels; by default the backbone's own.
        frames: most frames of a clip.
        batch_norm: normalise the hash layer's outputs over the batch.
        hidden: width of the LSTM's state; a video ResNet has none.

    Raises:
        HashprobeError: an unknown backbone, or whatever the network's class refuses.

    Example:
        >>> type(clip_hasher("r3d_18", 16)).__name__, type(clip_hasher("small", 16)).__name__
        ('Conv3dHasher', 'VideoHasher')
    """
    check_name(backbone, [*CLIP_CNNS, *backbone_names()])
    shared = {"weights": weights, "size": size, "frames": frames, "batch_norm": batch_norm}
    if backbone in CLIP_CNNS:
        return Conv3dHasher(backbone, bits, **shared)  # type: ignore[arg-type]
    return VideoHasher(backbone, bits, hidden=hidden, **shared)  # type: ignore[arg-type]


def video_resnet(name: str, weights: Weights, size: int | None) -> tuple[nn.Module, InputContract]:
    """A torchvision video ResNet with its classifier, and the input that its weights state.

    Raises:
        HashprobeError: a name that is no video ResNet's, a size below 1, weights that cannot be
            had.
    """
    from torchvision import models

    check_name(name, CLIP_CNNS)
    check_size(size)
    if str(weights) == "imagenet":
        raise HashprobeError(
            f"backbone {name} has no ImageNet weights: use kinetics, none or a state dict"
        )
    pretrained = str(weights) == "kinetics"
    try:
        network = models.get_model(name, weights="KINETICS400_V1" if pretrained else None)
    except (OSError, HTTPException, RuntimeError) as error:
        if not pretrained:
            raise
        raise HashprobeError(
            f"the Kinetics weights of {name} could not be downloaded ({first_line(error)}): "
            "give the path of a state dict as weights, or none"
        ) from error
    if str(weights) not in ("none", "kinetics"):
        load_matching(network, Path(weights), head="fc")
    return network, torchvision_contract(models.get_model_weights(name), size)
