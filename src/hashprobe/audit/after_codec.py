"""Adversarial clips as videos: an mp4 file of each, and their codes once they went through it."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from hashprobe.audit.log import Screen
from hashprobe.audit.results import RESULT
from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.chunk import device_of
from hashprobe.crafting.record import Attacked
from hashprobe.data.codec import check_h264, decode_h264, encode_h264
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AfterCodec
from hashprobe.optim.encoding import encode
from hashprobe.storage.files import write_bytes
from hashprobe.tensors import Images8
from hashprobe.victims.base import Hasher


def film(
    attacked: Attacked,
    clean: Images8,
    lengths: Int64[np.ndarray, " q"],
    hasher: Hasher,
    folder: Path,
    crf: int,
    judged: bool,
    screen: Screen,
) -> AfterCodec | None:
    """Keeps an mp4 file of every adversarial clip, and judges what these files hold if asked to.

    Args:
        attacked: Q adversarial clips.
        clean: (Q, T, 3, H, W) the same untouched.
        lengths: (Q,) frames of each.
        hasher: the victim, on the device that is to compute.
        folder: of the attack; files go to mp4/<query id>.mp4, and those that are right stay.
        crf: how coarse they are, 0..51.
        judged: encode what was decoded, of the adversarial clips and of the untouched ones.
        screen: where to say what happens; without PyAV there are no files, and it is said.

    Returns:
        The codes after the codec; None unless `judged`.

    Raises:
        HashprobeError: `judged` without PyAV, or the disk refuses.
    """
    try:
        check_h264()
    except HashprobeError as error:
        if judged:
            raise
        screen.say(f"no mp4 files of the adversarial clips: {error}")
        return None
    after, before = list[PackedCodes](), list[PackedCodes]()
    with screen.bar("H.264 of the clips") as tick:
        for row, length in enumerate(lengths.tolist()):
            clip = attacked.images8[row][:length]
            try:
                data = encode_h264(clip, crf)
            except HashprobeError as error:
                if judged:
                    raise
                screen.say(f"no mp4 file of query {attacked.query_ids[row]}: {error}")
                continue
            keep(folder, int(attacked.query_ids[row]), data)
            if judged:
                untouched = clean[row][:length]
                after.append(code_of(hasher, data, clip))
                before.append(code_of(hasher, encode_h264(untouched, crf), untouched))
            tick(row + 1, len(lengths))
    if not judged:
        return None
    name = f"h264-crf{crf}"
    return AfterCodec(name, PackedCodes.concatenate(after), PackedCodes.concatenate(before))


def keep(folder: Path, query_id: int, data: bytes) -> None:
    """Writes an mp4 file unless it is there already, byte for byte."""
    path = folder / "mp4" / f"{query_id}.mp4"
    try:
        found = path.read_bytes()
    except OSError:
        # Missing, or no file at all: what is really wrong is said when it is written.
        found = b""
    if found != data:
        # What was judged is what the files hold: numbers of other files must not outlive them.
        (folder / RESULT).unlink(missing_ok=True)
        write_bytes(path, data)


def code_of(hasher: Hasher, data: bytes, like: Tensor) -> PackedCodes:
    """The code of the clip in an mp4 file, as the database's items have it."""
    length, _, height, width = like.shape
    clip = decode_h264(data, length, height, width).to(device_of(hasher))
    return encode(hasher, clip[None].float() / 255, torch.tensor([length], device=clip.device))
