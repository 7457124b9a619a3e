"""Small seeded networks and pixels for the golden outputs: the same on every version."""

import numpy as np
import torch

from hashprobe.types import InputContract
from hashprobe.victims.base import Hasher
from hashprobe.victims.clip import VideoHasher
from hashprobe.victims.image import ImageHasher


CONTRACT = InputContract(size=8, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.4))
LENGTHS = torch.tensor([6, 2, 4, 1, 5])
IDS = [3, 14, 15, 92, 65]


class Conv(Hasher):
    """Two convolutions and a hash layer, smooth, for images of any size."""

    def __init__(self, dtype=torch.float32):
        super().__init__(16, CONTRACT)
        torch.manual_seed(0)
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, padding=1),
            torch.nn.BatchNorm2d(6),
            torch.nn.SiLU(),
            torch.nn.Conv2d(6, 6, 3, padding=1, stride=2),
            torch.nn.SiLU(),
            torch.nn.AdaptiveAvgPool2d(2),
        )
        self.hash = torch.nn.Linear(24, 16)
        self.features[1].running_mean.normal_()
        self.register_buffer("mean", torch.tensor(CONTRACT.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(CONTRACT.std).view(1, 3, 1, 1))
        self.to(dtype).eval()

    def forward(self, images):
        return self.hash(self.features((images - self.mean) / self.std).flatten(1))


class Together(Hasher):
    """Sees the frames of a clip together, each with its successor: no `FramewiseHasher`."""

    def __init__(self, dtype=torch.float32):
        super().__init__(16, InputContract(size=8, frames=6))
        torch.manual_seed(1)
        self.conv = torch.nn.Conv2d(6, 8, 3, padding=1)
        self.hash = torch.nn.Linear(8, 16)
        self.to(dtype).eval()

    def forward(self, clips, lengths):
        own = torch.arange(clips.shape[1], device=clips.device) < lengths.unsqueeze(1)
        clips = clips * own[:, :, None, None, None]
        pairs = torch.cat([clips, clips.roll(-1, 1)], 2).flatten(0, 1)
        seen = self.conv(pairs).tanh().amax((2, 3)).view(*clips.shape[:2], 8)
        return self.hash((seen * own.unsqueeze(2)).sum(1) / lengths.unsqueeze(1))


def coloured(n, seed):
    """Clips whose frames have a colour each: noise alone looks all the same to a network."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (n, 6, 3, 2, 2)).repeat(4, 3).repeat(4, 4)
    noise = rng.integers(-40, 41, (n, 6, 3, 8, 8))
    return torch.from_numpy((colours + noise).clip(0, 255).astype(np.uint8))


def small(dtype=torch.float32):
    """The small network of images, its bits balanced over some pictures."""
    torch.manual_seed(2)
    hasher = ImageHasher("small", 16, size=8).eval()
    with torch.no_grad():
        logits = hasher(coloured(60, 7)[:, 0].float() / 255)
        norm = hasher.network.head[1]
        norm.running_mean.copy_(logits.mean(0))
        norm.running_var.copy_(logits.var(0))
    return hasher.to(dtype)


def lstm(dtype=torch.float32):
    """The small network of clips, its features and bits balanced over some clips."""
    torch.manual_seed(0)
    hasher = VideoHasher("small", 16, size=8, frames=6, hidden=16).eval()
    with torch.no_grad():
        seen = coloured(60, 5).float() / 255
        features = hasher.features(seen.flatten(0, 1))
        hasher.lstm.weight_ih_l0.mul_(1.0 / features.std())
        hasher.lstm.bias_ih_l0.sub_(hasher.lstm.weight_ih_l0 @ features.mean(0))
        logits = hasher(seen, torch.randint(1, 7, (60,)))
        norm = hasher.head[1]
        norm.running_mean.copy_(logits.mean(0))
        norm.running_var.copy_(logits.var(0))
    return hasher.to(dtype)


VICTIMS = {"conv": Conv, "small": small, "lstm": lstm, "together": Together}


def queries8(victim):
    """Five queries in 8 bits, padding black: images for `conv` and `small`, else clips."""
    clips = coloured(5, 0)
    if victim in ("conv", "small"):
        images = clips[:, 0].clone()
        images[0, :, 0], images[1, :, 1] = 0, 255
        return images
    for row, length in enumerate(LENGTHS.tolist()):
        clips[row, length:] = 0
    return clips


def target_codes(tied=True):
    """Where the five queries are steered; one bit of one code is a tie."""
    codes = np.random.default_rng(3).choice(np.array([-1, 1], np.int8), (5, 16))
    if tied:
        codes[2, 3] = 0
    return codes


def same_kernels():
    """Whether this machine rounds as the one did that the golden outputs were computed on."""
    release = ".".join(torch.__version__.split(".")[:2])
    return (torch.backends.cpu.get_cpu_capability(), release) == ("AVX2", "2.14")
