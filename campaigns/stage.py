"""Good inputs, made once: pictures, lists, a table, codes, weights, clips and a finished run."""

import importlib
import importlib.util
import io
import pkgutil
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, words_of
from forks import poll, start
from PIL import Image


SIZE = 12
"""Height and width of the pictures."""
EACH = 8
"""Pictures of each class."""
CLASSES = ("cat", "dog")
TRAIN = words_of(
    "--size 8 --bits 8 --epochs 15 --batch-size 4 --optimiser adamw --lr 1e-2 --augment "
    "none --held-out 0"
)
"""Options of a training that takes a fraction of a second."""
SPLIT = words_of("--queries 2 --training 5")
ATTACK = words_of("--queries 2 --minimum 1 --seed 1")
NAMES = ("noise-8of255-seed1", "p2p-8of255-seed1")
"""The attacks of the finished run."""


@dataclass(frozen=True)
class Stage:
    """Where the good inputs are; cases copy what they change."""

    folder: Path
    video: bool
    """Whether there are clips."""

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def photos(self) -> str:
        """The folder of pictures as a word of a command."""
        return str(self / "photos")

    def copy(self, *names: str) -> Callable[[Path], None]:
        """Puts copies of some good inputs into the folder of a case."""

        def prepare(work: Path) -> None:
            for name in names:
                if (self / name).is_dir():
                    shutil.copytree(self / name, work / name)
                else:
                    shutil.copy(self / name, work / name)

        return prepare


def picture(seed: int, mode: str = "RGB", size: int = SIZE) -> Image.Image:
    """A picture of a class by its brightness, with noise."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 90, (size, size, 3)) + 150 * (seed % 2)
    image = Image.fromarray(pixels.astype(np.uint8))
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    return image.convert(mode)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def train_words(root: str = "photos", out: str = "run", *more: str) -> tuple[str, ...]:
    """A training on a folder of pictures."""
    return (
        "train",
        "folder",
        "--root",
        root,
        *SPLIT,
        *TRAIN,
        "--workers",
        "0",
        "--out",
        out,
        *more,
    )


def attack_words(run: str = "run", name: str = "p2p", *more: str) -> tuple[str, ...]:
    """A short attack."""
    steps = () if name == "noise" else ("--steps", "2")
    return ("attack", name, run, *ATTACK, *steps, "--workers", "0", *more)


def build(folder: Path) -> Stage:
    """Makes the good inputs in a new folder."""
    stage = Stage(folder, importlib.util.find_spec("av") is not None)
    folder.mkdir(parents=True)
    for number in range(EACH * len(CLASSES)):
        name = CLASSES[number % 2]
        path = folder / "photos" / name / f"{number // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(picture(number), "PNG"))
    write_lists(folder)
    write_codes(folder / "codes.npz")
    (folder / "recipe.yaml").write_text("attack:\n  p2p:\n    queries: 2\n    steps: 2\n")
    if stage.video:
        write_clips(folder / "clips")
    commands = [
        train_words(stage.photos),
        ("encode", "run", "--workers", "0"),
        attack_words("run", "noise"),
        attack_words("run", "p2p"),
        ("report", "run"),
    ]
    run_all(folder, tuple(commands))
    shutil.move(folder / "making" / "work" / "run", folder / "run")
    shutil.rmtree(folder / "making")
    shutil.copy(folder / "run" / "model" / "model.safetensors", folder / "weights.safetensors")
    return stage


def warm() -> None:
    """Imports all that commands import, once, so that a case starts at once."""
    import hashprobe

    for module in pkgutil.walk_packages(hashprobe.__path__, "hashprobe."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ("matplotlib.figure", "sklearn.datasets", "torchvision.io", "yaml", "torch.jit"):
        importlib.import_module(name)


def run_all(folder: Path, commands: tuple[tuple[str, ...], ...]) -> None:
    """Runs commands that must succeed, in a process of their own."""
    case = Case("the good inputs", commands)
    running = start(case, folder / "making", 300)
    while (ended := poll(running)) is None:
        time.sleep(0.01)
    if ended.code:
        raise SystemExit(f"the good inputs cannot be made: {ended.code}\n{ended.out}{ended.err}")


def write_lists(folder: Path) -> None:
    """List files in the format of one file a split, and a table."""
    paths = [f"{name}/{i}.png" for i in range(EACH) for name in CLASSES]
    rows = [f"{path} {int('cat' in path)} {int('dog' in path)}" for path in paths]
    lists = folder / "lists"
    lists.mkdir()
    (lists / "test.txt").write_text("\n".join(rows[:4]) + "\n")
    (lists / "train.txt").write_text("\n".join(rows[4:14]) + "\n")
    (lists / "database.txt").write_text("\n".join(rows[4:]) + "\n")
    (lists / "label_names.txt").write_text("cat\ndog\n")
    table = ["path,cat,dog,shop", *(f"{r.replace(' ', ',')},s{i % 8}" for i, r in enumerate(rows))]
    (folder / "table.csv").write_text("\n".join(table) + "\n")


def good_codes() -> dict[str, np.ndarray]:
    """The arrays of a good code file."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=40)
    codes = rng.choice([-1, 1], (3, 16))[labels] * rng.choice([1, -1], (40, 16), p=[0.8, 0.2])
    return {
        "database_codes": codes[8:].astype(np.int8),
        "query_codes": codes[:8].astype(np.int8),
        "database_labels": labels[8:],
        "query_labels": labels[:8],
        "target_labels": (labels[:8] + 1) % 3,
    }


def write_codes(path: Path) -> None:
    """A good code file."""
    np.savez(path, **good_codes())  # type: ignore[arg-type]


def write_clips(folder: Path) -> None:
    """Ten short clips of two classes."""
    for number in range(10):
        path = folder / CLASSES[number % 2] / f"{number // 2}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, number)


def write_clip(path: Path, seed: int, codec: str = "mpeg4") -> None:
    """A clip of six frames in the format of the name."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width = stream.height = 32  # type: ignore[attr-defined]
        stream.pix_fmt = "yuv420p"  # type: ignore[attr-defined]
        for number in range(6):
            pixels = np.asarray(picture(seed + 2 * number, size=32))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))  # type: ignore[attr-defined]
        container.mux(stream.encode())  # type: ignore[attr-defined]
