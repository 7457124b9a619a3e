"""Networks that turn pixels into codes, and how to train them."""

from hashprobe.models.backbones import backbone_names
from hashprobe.models.checkpoint import ModelCard, load_checkpoint, save_checkpoint
from hashprobe.models.features import hash_layer_input
from hashprobe.models.hasher import Hasher, ImageHasher
from hashprobe.models.losses import LOSSES, Loss, dph, dpsh, dvh, hashnet
from hashprobe.models.options import TrainOptions
from hashprobe.models.training import Epoch, train
from hashprobe.models.video import FeatureHasher, VideoHasher, clip_features


__all__ = [
    "LOSSES",
    "Epoch",
    "FeatureHasher",
    "Hasher",
    "ImageHasher",
    "Loss",
    "ModelCard",
    "TrainOptions",
    "VideoHasher",
    "backbone_names",
    "clip_features",
    "dph",
    "dpsh",
    "dvh",
    "hash_layer_input",
    "hashnet",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]
