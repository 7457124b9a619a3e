"""Where pixels come from: data sets, the field's splits of them, and decoding."""

from hashprobe.data.bundled import load_digits
from hashprobe.data.cifar10 import load_cifar10
from hashprobe.data.decode import Batch, Pixels, decode, fit_image, stream
from hashprobe.data.folders import load_folder
from hashprobe.data.imagenet import load_imagenet100
from hashprobe.data.listfiles import load_listfiles
from hashprobe.data.nuswide import load_nuswide
from hashprobe.data.openset import hold_back
from hashprobe.data.options import DataOptions
from hashprobe.data.protocols import Finding, RetrievalData, one_hot
from hashprobe.data.split import ArraySource, BadImage, FileSource, Source, Split
from hashprobe.data.table import load_table


__all__ = [
    "ArraySource",
    "BadImage",
    "Batch",
    "DataOptions",
    "FileSource",
    "Finding",
    "Pixels",
    "RetrievalData",
    "Source",
    "Split",
    "decode",
    "fit_image",
    "hold_back",
    "load_cifar10",
    "load_digits",
    "load_folder",
    "load_imagenet100",
    "load_listfiles",
    "load_nuswide",
    "load_table",
    "one_hot",
    "stream",
]
