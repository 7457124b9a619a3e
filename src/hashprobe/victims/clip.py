"""Networks for clips: a backbone on every frame, an LSTM over them, a hash layer."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hashprobe.checked import checked
from hashprobe.codes.packed import check_bits
from hashprobe.data.queries import check_lengths, own_frames
from hashprobe.errors import HashprobeError
from hashprobe.tensors import Clips, Images, Images8, Lengths, Logits
from hashprobe.types import MAX_FRAMES, check_whole
from hashprobe.victims.backbones import Weights, build_backbone, hash_layer, last_linear
from hashprobe.victims.base import Hasher, Normalising, check_clips, frozen_eval
from hashprobe.victims.memory import fitting, measured_bytes, room


HIDDEN = 256
"""Width of the LSTM's state."""


class FramewiseHasher(Normalising):
    """A hasher of clips that looks at each frame by itself first, and then at all together.

    Whatever derives from it defines the two halves, `features` and `code`. An attack that moves
    some frames of a clip calls `features` for these frames alone, and then `code`.

    Example:
        >>> from hashprobe.types import InputContract
        >>> class Brightest(FramewiseHasher):
        ...     def features(self, frames):
        ...         return frames.mean((2, 3))
        ...     def code(self, features, lengths):
        ...         own = torch.arange(features.shape[1]) < lengths.unsqueeze(1)
        ...         return features.masked_fill(~own.unsqueeze(2), 0).amax(1).repeat(1, 3)[:, :8]
        >>> hasher = Brightest(bits=8, contract=InputContract(size=4, frames=6))
        >>> hasher(torch.rand(2, 5, 3, 4, 4), torch.tensor([5, 3])).shape
        torch.Size([2, 8])
    """

    def features(self, frames: Images) -> Float[Tensor, "m f"]:
        """What is seen of single frames.

        Args:
            frames: (M, 3, size, size) in [0, 1], not to be written into.

        Returns:
            (M, F).
        """
        raise NotImplementedError

    def code(self, features: Float[Tensor, "n t f"], lengths: Lengths) -> Logits:
        """Logits of clips by the features of their frames.

        Args:
            features: (N, T, F), anything beyond a clip's length; may be written into.
            lengths: (N,) from 1 to T.
        """
        raise NotImplementedError

    def forward(self, clips: Clips, lengths: Lengths | None = None) -> Logits:
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
        own = own_frames(clips, lengths)
        return self.code(spread_out(self.features(gathered(clips, own)), own), lengths)


def gathered(clips: Clips, own: Bool[Tensor, "n t"]) -> Float[Tensor, "m 3 h w"]:
    """The frames of clips that are theirs, one after the other.

    Example:
        >>> gathered(torch.zeros(2, 2, 3, 4, 4), torch.tensor([[True, False], [True, True]])).shape
        torch.Size([3, 3, 4, 4])
    """
    return clips.flatten(0, 1) if own.all() else clips[own]


def spread_out(features: Float[Tensor, "m f"], own: Bool[Tensor, "n t"]) -> Float[Tensor, "n t f"]:
    """Features of frames, in their places in their clips, copied; zeros where none is.

    Example:
        >>> spread_out(torch.tensor([[1.0], [2.0]]), torch.tensor([[True, False], [True, False]]))
        tensor([[[1.],
                 [0.]],
        <BLANKLINE>
                [[2.],
                 [0.]]])
    """
    if own.all():
        return features.clone().view(*own.shape, features.shape[1])
    return features.new_zeros(*own.shape, features.shape[1]).index_put((own,), features)


@checked
class VideoHasher(FramewiseHasher):
    """A backbone on each frame, an LSTM, and a hash layer (DHTA, section 4.3 and appendix B).

    A clip's code is made of the LSTM's state after its last frame. Frames beyond a clip's length
    never reach the network, so neither code nor gradient sees them, whatever they hold. Frames go
    through the backbone some at a time. Where a gradient is taken, activations are kept while there
    is room for them, and those of further frames are computed again in the backward pass: memory
    does not grow with a clip's length.

    Args:
        backbone: as for `ImageHasher`; what its last layer is given are the frame's features.
        bits: code length K, 1 to 4096.
        weights: `none`, `imagenet`, or the path of a torchvision state dict, of the backbone.
        size: height and width of the frames in pixels; by default the backbone's own.
        frames: most frames of a clip; DHTA takes 40.
        batch_norm: normalise the hash layer's outputs over the batch.
        hidden: width of the LSTM's state.
        chunk: frames that go through the backbone together; None chooses by the memory.

    Raises:
        HashprobeError: an unknown backbone, a K that does not fit, weights that cannot be had.

    Example:
        >>> hasher = VideoHasher("small", 16, size=16, frames=12).eval()
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
        hidden: int = HIDDEN,
        chunk: int | None = None,
    ) -> None:
        check_bits(bits)
        check_whole("frames", frames, most=MAX_FRAMES)
        check_whole("hidden", hidden, most=MAX_FRAMES)
        network, contract = build_backbone(
            backbone, 8, weights=weights, size=size, batch_norm=False
        )
        super().__init__(bits, replace(contract, frames=frames))
        self.backbone, self.batch_norm, self.hidden = backbone, batch_norm, hidden
        width = cut_head(network)
        self.network = network
        self.lstm = nn.LSTM(width, hidden, batch_first=True)
        self.head = hash_layer(hidden, bits, batch_norm)
        self.chunk = chunk

    def code(self, features: Float[Tensor, "n t f"], lengths: Lengths) -> Logits:
        """Logits of clips whose frames have been through the backbone.

        Args:
            features: (N, T, F), anything beyond a clip's length.
            lengths: (N,) from 1 to T.
        """
        return code_of(self.lstm, self.head, features, lengths)

    def features(self, frames: Images) -> Float[Tensor, "m f"]:
        """Backbone features of single frames, some at a time.

        Args:
            frames: (M, 3, size, size) in [0, 1].

        Returns:
            (M, F).
        """
        # Batch statistics of a backbone that is being trained are those of all frames.
        if self.training and self.tuned:
            return self.of_frames(frames)
        each, kept = self.frame_bytes(frames[:1]), len(frames)
        chunk = self.chunk or fitting(each, frames.device)
        if torch.is_grad_enabled() and (frames.requires_grad or self.tuned):
            kept = room(frames.device) // each
        parts: list[Tensor] = []
        for start, part in zip(
            range(0, len(frames), chunk), torch.split(frames, chunk), strict=True
        ):
            if start + len(part) <= kept:
                parts.append(self.of_frames(part))
            else:
                parts.append(checkpoint(self.of_frames, part, use_reentrant=False))
        return torch.cat(parts)

    def frame_bytes(self, frame: Images) -> int:
        """What the backbone keeps of one frame for a backward pass."""
        with frozen_eval(self.network):  # batch statistics must not see it
            return measured_bytes(self.network, self.normalised(frame))

    @property
    def tuned(self) -> bool:
        """Whether the backbone's weights take gradients."""
        return any(weight.requires_grad for weight in self.network.parameters())

    def of_frames(self, frames: Images) -> Float[Tensor, "m f"]:
        """Backbone features of frames that go through together."""
        features: Tensor = self.network(self.normalised(frames))
        return features.flatten(1)


@checked
class FeatureHasher(Hasher):
    """The part of a video network after its backbone, to be trained on features that stand still.

    It shares its weights with the hasher that it is made of.

    Args:
        hasher: the whole network.

    Example:
        >>> hasher = VideoHasher("small", 16, size=16, frames=12).eval()
        >>> part, features = FeatureHasher(hasher), torch.rand(2, 5, 256)
        >>> part(features, torch.tensor([5, 3])).shape
        torch.Size([2, 16])
    """

    def __init__(self, hasher: VideoHasher) -> None:
        super().__init__(hasher.bits, hasher.contract)
        self.lstm, self.head = hasher.lstm, hasher.head

    def forward(self, features: Float[Tensor, "n t f"], lengths: Lengths) -> Logits:
        """Logits of clips by the features of their frames."""
        return code_of(self.lstm, self.head, features, lengths)


@checked
@torch.no_grad()
def clip_features(
    hasher: VideoHasher,
    clips8: Images8,
    lengths: Lengths,
    on_progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "n t f"]:
    """Backbone features of every frame of some clips, zeros beyond a clip's end.

    Args:
        hasher: the network, left as it was.
        clips8: (N, T, 3, size, size) 8-bit pixels.
        lengths: (N,) frames of each clip.
        on_progress: called with (clips done, N).

    Returns:
        (N, T, F), on the device of the clips.

    Example:
        >>> hasher = VideoHasher("small", 16, size=16, frames=12)
        >>> clips8 = torch.zeros(2, 5, 3, 16, 16, dtype=torch.uint8)
        >>> clip_features(hasher, clips8, torch.tensor([5, 3])).shape
        torch.Size([2, 5, 256])
    """
    if clips8.ndim != 5:
        raise HashprobeError(f"clips must have shape (N, T, 3, H, W); got {tuple(clips8.shape)}")
    check_lengths(clips8, lengths)
    kept: list[Tensor] = []
    with frozen_eval(hasher):
        for row, length in enumerate(lengths.tolist()):
            features = hasher.features(clips8[row, :length].to(hasher.mean.device).float() / 255)
            padded = features.new_zeros(clips8.shape[1], features.shape[1])
            padded[:length] = features
            kept.append(padded.to(clips8.device))
            if on_progress is not None:
                on_progress(row + 1, len(lengths))
    return torch.stack(kept)


def code_of(lstm: nn.Module, head: nn.Module, features: Tensor, lengths: Lengths) -> Logits:
    """The hash layer's answer to the LSTM's state at each clip's last frame."""
    cudnn = torch.backends.cudnn
    # cuDNN has no backward pass for a recurrent network that is not in training mode.
    able = lstm.training or not torch.is_grad_enabled()
    with cudnn.flags(
        enabled=cudnn.enabled and able,
        benchmark=cudnn.benchmark,
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    ):
        states, _ = lstm(features)
    # What comes after a clip's last frame cannot change the state at it.
    last: Tensor = states[torch.arange(len(states), device=states.device), lengths - 1]
    logits: Tensor = head(last)
    return logits


def cut_head(network: nn.Module) -> int:
    """Puts nothing in the place of a backbone's last layer; the width of its features.

    Raises:
        HashprobeError: its last layer is no linear one.

    Example:
        >>> network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> cut_head(network), network(torch.zeros(1, 4)).shape
        (3, torch.Size([1, 3]))
    """
    name, layer = last_linear(network)
    if not isinstance(layer, nn.Linear):
        raise HashprobeError(
            f"{type(network).__name__} ends in a convolution: take a backbone that ends in a "
            "linear layer"
        )
    path, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(path), leaf, nn.Identity())
    return layer.in_features
