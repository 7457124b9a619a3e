"""Images a second from a folder of JPEG files to packed codes, against the bare forward pass.

python benchmarks/encode.py                             # JPEGs written for the purpose
python benchmarks/encode.py --full --photos data/exercise_photos
"""

import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import Results, arguments, median, once, seconds
from PIL import Image
from sklearn.datasets import load_sample_images

from hashprobe.codes.packed import PackedCodes
from hashprobe.data.loader import stream
from hashprobe.data.queries import Queries
from hashprobe.data.sources import FileSource, Split
from hashprobe.storage.environment import cores
from hashprobe.types import Runtime
from hashprobe.victims.encoding import encode
from hashprobe.victims.image import ImageHasher
from hashprobe.victims.precision import in_precision
from hashprobe.workflow.encode_step import encode_parts


BATCH = 64


def written(folder: Path, count: int) -> None:
    """JPEG files of 320 x 240 pixels, cut from scikit-learn's photographs."""
    photos, rng = load_sample_images().images, np.random.default_rng(0)
    for i in range(count):
        photo = photos[i % 2]
        y, x = int(rng.integers(photo.shape[0] - 240)), int(rng.integers(photo.shape[1] - 320))
        Image.fromarray(photo[y : y + 240, x : x + 320]).save(folder / f"{i:05}.jpg", quality=90)


def folder_split(root: Path, count: int) -> Split:
    """The first JPEG files below a folder."""
    paths = sorted(str(p.relative_to(root)) for p in root.rglob("*.jpg"))[:count]
    return Split(tuple(paths), FileSource(root, tuple(paths)), np.ones((len(paths), 1), bool))


def core_seconds() -> float:
    """Processor seconds of this process and of its workers that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def spent(work: Callable[[], Any], repeats: int) -> float:
    """Processor seconds of some work, the median of several times after one that does not count."""
    work()
    times = []
    for _ in range(repeats):
        before = core_seconds()
        work()
        times.append(core_seconds() - before)
    return median(times)


def peak() -> float:
    """Largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


NETWORKS = (("vgg11", 224), ("resnet18", 224), ("alexnet", 224), ("small", 32))
"""Networks and the size of their pictures."""


def compare(
    results: Results, root: Path, count: int, networks: tuple[tuple[str, int], ...] = NETWORKS
) -> None:
    """The whole way and its parts alone, in processor time, beside images a second."""
    rows = []
    for backbone, size in networks:
        hasher = ImageHasher(backbone, 32, size=size).eval().requires_grad_(False)
        hasher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        split = folder_split(root, count)
        batch = next(stream(split, hasher.contract, Runtime(batch_size=BATCH, workers=0))).images
        images = (batch.float() / 255).contiguous(memory_format=torch.channels_last)

        def decoded(split: Split = split, hasher: ImageHasher = hasher) -> None:
            for _ in stream(split, hasher.contract, Runtime(batch_size=BATCH, workers=0)):
                pass

        def encoded(split: Split, fast: Any) -> PackedCodes:
            runtime = Runtime(batch_size=BATCH, workers=cores() // 4)
            parts = encode_parts(fast, split, 0, runtime, lambda *_: None)
            return PackedCodes.concatenate([part.codes for part in parts])

        decoding = spent(decoded, 3) / len(split)
        for precision in ("float32", "bfloat16"):
            fast = in_precision(hasher, precision)  # type: ignore[arg-type]
            forward = partial(encode, fast, Queries(images))
            alone = spent(forward, 5) / len(images)
            encoded(split.take(range(len(split) // 4)), fast)
            before = peak()
            whole = spent(partial(encoded, split, fast), 3) / len(split)
            grown = peak() - before
            rows.append(
                {
                    "network": f"{backbone} at {size} px",
                    "precision": precision,
                    "forward, core ms an image": 1000 * alone,
                    "decoding, core ms": 1000 * decoding,
                    "JPEG to codes, core ms": 1000 * whole,
                    "share of forward": alone / whole,
                    "images/s": len(split) / once(partial(encoded, split, fast)),
                    "forward alone, images/s": len(images) / median(seconds(forward, 3)),
                    "MB for 4 times the images": grown,
                }
            )
    results.table(f"{len(split)} JPEG files, batches of {BATCH}", rows)


def main() -> None:
    """The table, on photographs that are given or on crops of scikit-learn's."""
    given = arguments(
        (__doc__ or "").splitlines()[0],
        photos={"type": Path, "help": "a folder with JPEG files below it"},
        only={"nargs": "*", "help": "some of the networks"},
    )
    results = Results("encode")
    networks = NETWORKS[-1:] if given.tiny else NETWORKS
    networks = tuple(one for one in networks if not given.only or one[0] in given.only)
    if given.photos:
        compare(results, given.photos, 768 if given.full else 256, networks)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            count = 768 if given.full else 8 if given.tiny else 256
            written(Path(temporary), count)
            compare(results, Path(temporary), count, networks)
    results.write(given.json)


if __name__ == "__main__":
    main()
