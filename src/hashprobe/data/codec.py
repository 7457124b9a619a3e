"""Clips through a usual video codec: H.264 in an mp4 file (libx264 by PyAV)."""

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from platform import machine
from tempfile import TemporaryDirectory

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.data.crf import CRF, check_crf
from hashprobe.data.videos import Unreadable, decoded, upright, video_stream
from hashprobe.errors import HashprobeError, missing_extra


RATE = 25
"""Frames a second; at a given crf it has no effect on the detail of a frame."""
BT601 = 6
"""Colours of small videos (ITU-R BT.601), in the numbers of H.264 (annex E)."""
SAME_BYTES = {"x264-params": "asm=SSE4.2"} if machine() in ("x86_64", "AMD64") else {}
"""x264's code for AVX-512 reads memory that was never written: a clip then gives other bytes each
time. Its other code does not, is as fast, and gives the same bytes from SSE4.2 to AVX2."""


def check_h264() -> None:
    """Refuses to go on if H.264 cannot be written.

    Raises:
        HashprobeError: PyAV is not installed (the extra that brings it is named), or was built
            without libx264.
    """
    if find_spec("av") is None:
        raise missing_extra("av", "video", "H.264")
    import av

    if "libx264" not in av.codecs_available:
        raise HashprobeError(
            f"this PyAV ({av.__version__}) was built without libx264, which H.264 needs: install "
            "the one from the Python Package Index"
        )


def encode_h264(clip: UInt8[Tensor, "t 3 h w"], crf: int = CRF) -> bytes:
    """A clip as an mp4 file: H.264, yuv420p, 25 frames a second, with the index first.

    The codec needs even sides: an odd height or width is made even by repeating the edge. The same
    clip gives the same bytes on processors of one kind.

    Args:
        clip: (T, 3, H, W) RGB in 0..255, T at least 1.
        crf: constant rate factor, 0 (finest) to 51.

    Returns:
        The content of the file.

    Raises:
        HashprobeError: H.264 is not available, a crf out of range, or a clip without frames.

    Example:
        >>> clip = torch.full((3, 3, 16, 15), 100, dtype=torch.uint8)
        >>> decode_h264(encode_h264(clip, crf=10), 3, 16, 15).shape
        torch.Size([3, 3, 16, 15])
    """
    check_crf(crf)
    check_h264()
    if not clip.numel():
        raise HashprobeError(f"a clip without pixels makes no video; got {tuple(clip.shape)}")
    import av

    frames = clip.permute(0, 2, 3, 1).numpy()
    frames = np.pad(frames, ((0, 0), *((0, side % 2) for side in clip.shape[2:]), (0, 0)), "edge")
    # The index can only be put first in a real file, not in memory.
    with TemporaryDirectory(prefix="hashprobe-") as folder:
        path = Path(folder) / "clip.mp4"
        try:
            write(path, np.ascontiguousarray(frames), crf)
        except av.FFmpegError as error:
            size = "x".join(map(str, clip.shape))
            raise HashprobeError(f"H.264 of a clip of {size}: {error.strerror}") from error
        return path.read_bytes()


def write(path: Path, frames: UInt8[np.ndarray, "t h w 3"], crf: int) -> None:
    """Writes frames of even sides."""
    import av
    from av.video.reformatter import ColorRange, Colorspace

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as output:
        stream = output.add_stream("libx264", rate=RATE, options={"crf": str(crf), **SAME_BYTES})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # more give other bytes
        context.color_range = ColorRange.MPEG
        context.colorspace = context.color_primaries = context.color_trc = BT601
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU601,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def decode_h264(data: bytes, frames: int, height: int, width: int) -> UInt8[Tensor, "t 3 h w"]:
    """The clip in the content of an mp4 file, cut to its own size.

    Args:
        data: what `encode_h264` gave.
        frames: T of the clip that was encoded.
        height: its H.
        width: its W.

    Returns:
        (T, 3, H, W) RGB in 0..255.

    Raises:
        HashprobeError: PyAV is not installed, or the bytes do not hold such a clip.

    Example:
        >>> decode_h264(b"no video", 3, 16, 16)
        Traceback (most recent call last):
        ...
        hashprobe.errors.HashprobeError: no mp4 that can be read: Invalid data found when ...
    """
    if find_spec("av") is None:
        raise missing_extra("av", "video", "H.264")
    import av

    try:
        with av.open(BytesIO(data), "r", format="mp4") as container:
            found = [upright(frame) for frame in decoded(container, video_stream(container))]
    except Unreadable as error:
        raise HashprobeError(f"no mp4 that can be read: {error}") from error
    except (av.FFmpegError, AttributeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise HashprobeError(f"no mp4 that can be read: {reason}") from error
    even = (height + height % 2, width + width % 2, 3)
    if len(found) != frames or any(frame.shape != even for frame in found):
        seen = f"{len(found)} frames of {found[0].shape[:2] if found else 'nothing'}"
        raise HashprobeError(f"the mp4 holds {seen}; expected are {frames} of {even[:2]}")
    clip = np.stack(found)[:, :height, :width]
    return torch.from_numpy(clip).permute(0, 3, 1, 2).contiguous()
