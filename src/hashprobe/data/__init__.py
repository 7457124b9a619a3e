"""Where pixels come from: data sets of images and videos, the field's splits, and decoding."""

from hashprobe.data.bundled import load_digits, load_moving_digits
from hashprobe.data.cache import ClipCache
from hashprobe.data.cifar10 import load_cifar10
from hashprobe.data.clips import ClipArraySource, FrameFolderSource, VideoFileSource
from hashprobe.data.codec import decode_h264, encode_h264
from hashprobe.data.decode import Batch, Pixels, decode, fit_image, stream
from hashprobe.data.folders import load_folder
from hashprobe.data.hmdb51 import load_hmdb51
from hashprobe.data.imagenet import load_imagenet100
from hashprobe.data.jhmdb import load_jhmdb
from hashprobe.data.listfiles import load_listfiles
from hashprobe.data.nuswide import load_nuswide
from hashprobe.data.openset import hold_back
from hashprobe.data.options import DataOptions
from hashprobe.data.protocols import Finding, RetrievalData, one_hot
from hashprobe.data.split import ArraySource, BadImage, ClipSource, FileSource, Source, Split
from hashprobe.data.table import load_table
from hashprobe.data.ucf101 import load_ucf101
from hashprobe.data.video import read_video
from hashprobe.data.videofolder import load_videofolder


__all__ = [
    "ArraySource",
    "BadImage",
    "Batch",
    "ClipArraySource",
    "ClipCache",
    "ClipSource",
    "DataOptions",
    "FileSource",
    "Finding",
    "FrameFolderSource",
    "Pixels",
    "RetrievalData",
    "Source",
    "Split",
    "VideoFileSource",
    "decode",
    "decode_h264",
    "encode_h264",
    "fit_image",
    "hold_back",
    "load_cifar10",
    "load_digits",
    "load_folder",
    "load_hmdb51",
    "load_imagenet100",
    "load_jhmdb",
    "load_listfiles",
    "load_moving_digits",
    "load_nuswide",
    "load_table",
    "load_ucf101",
    "load_videofolder",
    "one_hot",
    "read_video",
    "stream",
]
