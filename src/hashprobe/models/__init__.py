"""Networks that turn pixels into codes, and how to train them."""

from hashprobe.models.backbones import backbone_names
from hashprobe.models.checkpoint import AnyHasher, ModelCard, load_checkpoint, save_checkpoint
from hashprobe.models.features import hash_layer_input
from hashprobe.models.hasher import Hasher, ImageHasher
from hashprobe.models.losses import (
    CENTRE_LOSSES,
    LOSSES,
    CentreLoss,
    Loss,
    csq,
    csq_centres,
    csq_targets,
    dph,
    dpsh,
    dvh,
    hashnet,
)
from hashprobe.models.options import TrainOptions
from hashprobe.models.training import Epoch, train
from hashprobe.models.video import FeatureHasher, FramewiseHasher, VideoHasher, clip_features
from hashprobe.models.video3d import Conv3dHasher, clip_hasher


__all__ = [
    "CENTRE_LOSSES",
    "LOSSES",
    "AnyHasher",
    "CentreLoss",
    "Conv3dHasher",
    "Epoch",
    "FeatureHasher",
    "FramewiseHasher",
    "Hasher",
    "ImageHasher",
    "Loss",
    "ModelCard",
    "TrainOptions",
    "VideoHasher",
    "backbone_names",
    "clip_features",
    "clip_hasher",
    "csq",
    "csq_centres",
    "csq_targets",
    "dph",
    "dpsh",
    "dvh",
    "hash_layer_input",
    "hashnet",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]
