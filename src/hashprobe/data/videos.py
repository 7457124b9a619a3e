"""The frames of one video file, by PyAV (FFmpeg)."""

import errno
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hashprobe.data.decoding import MAX_PIXELS
from hashprobe.data.sources import BadImage
from hashprobe.errors import missing_extra


if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = frozenset(
    [
        ".3gp",
        ".avi",
        ".flv",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".ogv",
        ".webm",
        ".wmv",
    ]
)
FORMATS = "asf,avi,flv,matroska,mov,mp3,mpeg,mpegts,mpegvideo,ogg,wav"
"""FFmpeg's names of the accepted formats; playlists are not accepted, they open other files."""
SLACK = 0.05
"""Share of the stated length that may be missing, because headers are not exact."""


class Unreadable(Exception):
    """Why a video cannot be read."""


def check_extra() -> None:
    """Refuses to go on if PyAV is not installed.

    Raises:
        HashprobeError: it is not installed; the extra that brings it is named.
    """
    if find_spec("av") is None:
        raise missing_extra("av", "video", "reading video files")


def read_video(path: Path, stride: int = 1, limit: int = 40) -> UInt8[Tensor, "t 3 h w"]:
    """Some frames of a video file, from the first on, in the order in which they are shown.

    Frames are turned upright by the file's display matrix. A file of variable frame rate gives each
    of its frames once. Decoding stops after the last frame that is needed.

    Args:
        path: a file of a common format (AVI, MP4, MOV, MKV, WebM, MPEG, FLV, WMV, Ogg, 3GP).
        stride: every stride-th frame is kept.
        limit: most frames that are kept.

    Returns:
        (T, 3, H, W) RGB in 0..255, 1 <= T <= limit.

    Raises:
        BadImage: the file is missing, no video, has no frame, or is cut off or damaged before the
            last frame that is needed; it is named, with the number of frames that could be read.
            (MPEG streams do not state their length: a cut between two frames is not seen in them.)
        HashprobeError: PyAV is not installed.

    Example:
        >>> read_video(Path("no/such/clip.avi"))
        Traceback (most recent call last):
        ...
        hashprobe.data.sources.BadImage: no/such/clip.avi: no such file
    """
    check_extra()
    if not path.is_file():
        raise BadImage(str(path), "no such file")
    import av

    frames: list[np.ndarray] = []
    try:
        with av.open(f"file:{path}", options={"format_whitelist": FORMATS}) as container:
            for number, frame in enumerate(decoded(container, video_stream(container))):
                if number % stride == 0:
                    frames.append(upright(frame))
                if len(frames) == limit:
                    break
    except Unreadable as error:
        raise BadImage(str(path), str(error)) from None
    except Exception as error:  # damaged files make PyAV raise errors of many types
        reason = getattr(error, "strerror", None) or "its header is damaged"
        if getattr(error, "errno", None) == errno.EINVAL:
            reason = "the format is not supported"
        raise BadImage(str(path), f"no video that can be read: {reason}") from None
    if not frames:
        raise BadImage(str(path), "holds a video stream without frames")
    if len({frame.shape for frame in frames}) > 1:
        raise BadImage(str(path), "its frames change their size")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def video_stream(container: "InputContainer") -> "VideoStream":
    """The first video stream of a file that is no cover picture, decoded in this thread alone.

    Raises:
        Unreadable: there is none, its codec is unknown, or its frames are too large.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            # Damaged headers name codecs that nobody knows; there is no decoder then.
            if stream.codec_context is None:
                raise Unreadable("holds a video stream of an unknown codec")
            if stream.width * stream.height > MAX_PIXELS:
                raise Unreadable(
                    f"claims frames of {stream.width} x {stream.height} pixels; at most "
                    f"{MAX_PIXELS:,} are decoded"
                )
            stream.codec_context.thread_count = 1
            return stream
    sound = " (sound alone)" if container.streams.audio else ""
    raise Unreadable(f"holds no video stream{sound}")


def decoded(container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
    """Frames in the order in which they are shown.

    Raises:
        Unreadable: the file ends before the time that it states, or a piece of it is damaged.
    """
    import av

    frames, times = 0, list[int | None]()
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                break
            # The last packet is empty: the decoder then returns the frames that it kept.
            if packet.size:
                times.append(packet.dts if packet.pts is None else packet.pts)
            for frame in packet.decode():
                frames += 1
                yield frame
        else:
            if not ends_early(container, stream, times):
                return
    except av.FFmpegError:
        pass
    of = f" of {stream.frames}" if stream.frames else ""
    raise Unreadable(f"cut off or damaged: {frames}{of} frames could be read")


def ends_early(container: "InputContainer", stream: "VideoStream", times: list[int | None]) -> bool:
    """Whether the packets end before the length that the file's header states, if it states one."""
    known = [time for time in times if time is not None]
    rate = stream.average_rate
    if container.format.name == "avi" and rate:
        stated = float(stream.frames / rate)
    elif "DURATION" in stream.metadata:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        stated = 3600 * float(hours) + 60 * float(minutes) + float(seconds)
    else:
        # Other formats show a cut in the last packet, and may state the length before an edit.
        return False
    if len(known) < len(times) or stream.time_base is None:
        return False
    span = float((max(known) - min(known)) * stream.time_base) if known else 0.0
    return span + (1 / float(rate) if rate and known else 0) < stated * (1 - SLACK)


def upright(frame: "VideoFrame") -> np.ndarray:
    """(H, W, 3) RGB of a frame, turned by its display matrix."""
    pixels: Any = frame.to_ndarray(format="rgb24")
    turned: np.ndarray = np.rot90(pixels, k=round(frame.rotation / 90))
    return turned
