"""Video files of several formats with damaged bytes."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from cases import Case, Wanted
from stage import SPLIT, Stage, write_clip

from families.mangle import mangled


FORMATS = {"mp4": "mpeg4", "avi": "mpeg4", "mkv": "mpeg4", "mov": "mjpeg", "mpg": "mpeg1video", "webm": "vp8"}  # fmt: skip
KNOWN: tuple[tuple[str, bytes], ...] = (
    ("empty", b""),
    ("text", b"no video\n" * 30),
    ("zeros", bytes(5000)),
    ("a playlist", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
    ("a list of files", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ("a script", b"#!/bin/sh\ntouch planted-code-ran\n"),
    ("an mp4 of one box", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
    ("an mp4 box of 2^32-1 bytes", b"\xff\xff\xff\xffftypmp42" + bytes(64)),
    ("an avi header alone", b"RIFF\xff\xff\xff\xffAVI LIST"),
)
TRAIN = (
    "--size 8 --bits 8 --frames 4 --hidden 8 --epochs 1 --batch-size 6 --augment none --held-out 0"
)


@cache
def good(suffix: str) -> bytes:
    """A good clip; the format mp4 where the machine has no encoder for another."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip.{suffix}"
        try:
            write_clip(path, 3, FORMATS[suffix])
        except Exception:  # whatever the encoder of this machine says
            path = path.with_suffix(".mp4")
            write_clip(path, 3)
        return path.read_bytes()


def cases(rng: np.random.Generator, stage: Stage, number: int) -> Case:
    """One clip of a folder is replaced, or read alone."""
    suffix, wanted = str(rng.choice(list(FORMATS))), "either"
    if number < len(KNOWN):
        (title, data), wanted = KNOWN[number], "refused"
    elif number < len(KNOWN) + len(FORMATS):
        suffix = list(FORMATS)[number - len(KNOWN)]
        title, data, wanted = "good", good(suffix), "ok"
    else:
        data, title = mangled(good(suffix), rng)
    name = f"3.{suffix}"
    kind: Wanted = wanted  # type: ignore[assignment]
    if rng.random() < 0.8:
        return Case(
            f"{suffix}: {title}; read",
            call=lambda: read(name),
            wanted=kind,
            names=(name,),
            prepare=lambda work: (work / name).write_bytes(data),
        )

    def prepare(work: Path) -> None:
        stage.copy("clips")(work)
        (work / "clips" / "cat" / "3.mp4").unlink()
        (work / "clips" / "cat" / name).write_bytes(data)

    words = (
        "train",
        "videofolder",
        "--root",
        "clips",
        *SPLIT[:2],
        "--training",
        "2",
        *TRAIN.split(),
    )
    words += ("--workers", "0", "--skip-bad", "--out", "run")
    return Case(
        f"{suffix}: {title}; skipped", (words,), wanted="ok", names=(name,), prepare=prepare
    )


def read(name: str) -> None:
    """Reads the frames of one clip."""
    from hashprobe.data.videos import read_video

    read_video(Path(name))
