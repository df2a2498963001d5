"""What a JPEG's headers tell of the memory and the time that decoding it takes: ITU-T T.81, annex B."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

START_OF_IMAGE = b"\xff\xd8"
END_OF_IMAGE, START_OF_SCAN = 0xD9, 0xDA

NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""Markers between those of the frames (SOF0 to SOF15): tables, an extension, and conditioning."""

PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})

ALONE = frozenset({0xC8, END_OF_IMAGE, *range(0xC0), *range(0xF0, 0xFE)})
"""Markers without a segment behind them, besides the restarts. Of those that are reserved nothing reads one."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd8]")
"""A zero stuffs what was coded, 0xFF pads, D0 to D7 are restarts between what was coded, D8 begins."""


def is_jpeg(data: bytes) -> bool:
    """Says whether the decoder of JPEGs will read the file; its other names, as MPO, are by what is in it."""
    return data.startswith(START_OF_IMAGE)


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with what belongs to it.

    Attributes:
        marker: its second byte.
        start: of the marker, in bytes from the beginning of the file.
        end: of the segment.
    """

    marker: int
    start: int
    end: int


def segments(data: bytes) -> Iterator[Segment]:
    """The segments of a JPEG as libjpeg reads them: up to the end of the first image.

    What follows it, as another picture or a film, is not decoded. An end before any scan is none to Pillow, which
    goes on looking for one.
    """
    end, scanned = len(START_OF_IMAGE), False
    while found := _MARKER.search(data, end):
        marker, end = data[found.end() - 1], found.end()
        if marker not in ALONE:
            end += max(2, int.from_bytes(data[end : end + 2], "big"))
        yield Segment(marker, found.start(), end)
        scanned = scanned or marker == START_OF_SCAN
        if marker == END_OF_IMAGE and scanned:
            return


def scans(data: bytes) -> int:
    """How many scans the image has; the decoder walks all blocks in each."""
    return sum(segment.marker == START_OF_SCAN for segment in segments(data))


def is_buffered(data: bytes) -> bool:
    """Says whether the decoder holds the coefficients of the whole image, whatever scale it decodes at.

    It does where a pixel is put together from more than one scan: in progressive files, and in those whose colours
    come one after the other.
    """
    colours, progressive = 0, False
    for segment in segments(data):
        marker, at = segment.marker, segment.start
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAMES:
            colours, progressive = _byte(data, at + 9), marker in PROGRESSIVE
        if marker == START_OF_SCAN:
            return progressive or _byte(data, at + 4) < colours
    return progressive


def _byte(data: bytes, at: int) -> int:
    return data[at] if at < len(data) else 0
