"""What the header of a usual JPEG says, read without a library: most of a small one's time."""

START, SCAN, EXIF = 0xD8, 0xDA, 0xE1
FRAMES = (0xC0, 0xC2)
"""Baseline and progressive, coded after Huffman."""
SEGMENTS = {0xC4, 0xDB, 0xDD, 0xFE, *range(0xE0, 0xF0)} - {EXIF}
"""Tables, the restart interval, comments, and what applications add."""


def plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that nothing is to be known of beside its pixels.

    Returns:
        None where the file may be turned by EXIF data, has other than one or three colours of 8
        bits, or any oddity in its header: it takes a reader that knows more.

    Example:
        >>> plain_size(b"GIF89a")
    """
    place, size = 2, None
    if data[:2] != bytes((0xFF, START)):
        return None
    while place + 10 <= len(data):
        kind, length = data[place + 1], data[place + 2] << 8 | data[place + 3]
        if data[place] != 0xFF:
            return None
        if kind == SCAN:
            return size
        if kind in FRAMES and size is None and data[place + 4] == 8 and data[place + 9] in (1, 3):
            height = data[place + 5] << 8 | data[place + 6]
            width = data[place + 7] << 8 | data[place + 8]
            size = (width, height)
            if not width or not height:
                return None
        elif kind not in SEGMENTS:
            return None
        if length < 2:
            return None
        place += 2 + length
    return None
