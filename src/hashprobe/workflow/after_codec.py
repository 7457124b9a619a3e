"""Adversarial clips as videos: an mp4 file of each, and their codes after the video codec."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hashprobe.codes.packed import PackedCodes
from hashprobe.crafting.attack_result import AttackResult
from hashprobe.data.codec import check_h264, decode_h264, encode_h264
from hashprobe.data.crf import CRF
from hashprobe.data.queries import Queries
from hashprobe.errors import HashprobeError
from hashprobe.evaluation.outcome import AfterCodec
from hashprobe.progress import Progress
from hashprobe.storage.files import read_bytes, remove, write_bytes
from hashprobe.victims.base import Hasher
from hashprobe.victims.encoding import device_of, encode
from hashprobe.workflow.results import RESULT


@dataclass(frozen=True)
class Film:
    """How adversarial clips are turned into videos."""

    crf: int = CRF
    """How coarse the videos are, 0..51: H.264's constant rate factor."""
    judged: bool = False
    """Whether the videos are decoded and encoded by the victim, and the untouched clips, too."""


def film(
    attacked: AttackResult,
    clean: Queries,
    hasher: Hasher,
    folder: Path,
    plan: Film,
    progress: Progress,
) -> AfterCodec | None:
    """Keeps an mp4 file of every adversarial clip, and judges the content of these files if asked.

    Args:
        attacked: Q adversarial clips.
        clean: the same clips untouched, uint8, with their lengths.
        hasher: the victim, on the device that computes.
        folder: of the attack; files go to mp4/<query id>.mp4, and correct ones stay.
        plan: how coarse the videos are, and whether they are judged.
        progress: who is told; without PyAV there are no files, and a line says so.

    Returns:
        The codes after the codec; None unless the plan judges.

    Raises:
        HashprobeError: the plan judges without PyAV, or the disk refuses.
    """
    assert clean.lengths is not None, "images are not filmed"
    try:
        check_h264()
    except HashprobeError as error:
        if plan.judged:
            raise
        progress.log(f"no mp4 files of the adversarial clips: {error}")
        return None
    after, before = list[PackedCodes](), list[PackedCodes]()
    with progress.bar("H.264 of the clips") as tick:
        for row, length in enumerate(clean.lengths.tolist()):
            clip = attacked.images8[row][:length]
            try:
                data = encode_h264(clip, plan.crf)
            except HashprobeError as error:
                if plan.judged:
                    raise
                progress.log(f"no mp4 file of query {attacked.query_ids[row]}: {error}")
                continue
            keep(folder, int(attacked.query_ids[row]), data)
            if plan.judged:
                untouched = clean.pixels[row][:length]
                after.append(code_of(hasher, data, clip))
                before.append(code_of(hasher, encode_h264(untouched, plan.crf), untouched))
            tick(row + 1, len(clean))
    if not plan.judged:
        return None
    name = f"h264-crf{plan.crf}"
    return AfterCodec(name, PackedCodes.concatenate(after), PackedCodes.concatenate(before))


def keep(folder: Path, query_id: int, data: bytes) -> None:
    """Writes an mp4 file unless it is there already, byte for byte."""
    path = folder / "mp4" / f"{query_id}.mp4"
    try:
        found = read_bytes(path)
    except HashprobeError:
        # It is missing or no file: writing it says what is wrong.
        found = b""
    if found != data:
        # The numbers belong to the old files: they are removed before the files change.
        remove(folder / RESULT)
        write_bytes(path, data)


def code_of(hasher: Hasher, data: bytes, like: Tensor) -> PackedCodes:
    """The code of the clip in an mp4 file, encoded as the items of the database are."""
    length, _, height, width = like.shape
    clip = decode_h264(data, length, height, width)[None]
    queries = Queries(clip, lengths=torch.tensor([length]))
    return encode(hasher, queries.on(device_of(hasher)))
