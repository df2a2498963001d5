"""What a JPEG's headers tell of the memory and the time that decoding it takes: ITU-T T.81, annex B."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What one walk over the segments of a JPEG tells.

    Attributes:
        segments: how many there are, as far as they were walked.
        metadata_bytes: before the first scan; where there is none, before the last segment.
        junk_bytes: of these between segments; where there is no scan, those behind the last segment too.
        scans: that the image has; the decoder walks all blocks in each.
        buffered: whether the decoder holds the coefficients of the whole image, whatever scale it decodes at. It does
            where a pixel is put together from more than one scan: in progressive files, and in those whose colours come
            one after the other.
    """

    segments: int
    metadata_bytes: int
    junk_bytes: int
    scans: int
    buffered: bool


def layout(data: bytes, *, most_segments: int) -> Layout:
    """Walks over a JPEG, one segment further than `most_segments` at most: what it tells is of those alone then."""
    walked = list(islice(segments(data), most_segments + 1))
    scans, colours, buffered = 0, 0, False
    end, metadata_bytes, junk_bytes = len(START_OF_IMAGE), 0, 0
    for segment in walked:
        marker, at = segment.marker, segment.start
        if not scans:
            junk_bytes += at - end
            metadata_bytes, end = at, segment.end
            if 0xC0 <= marker <= 0xCF and marker not in NO_FRAMES:
                colours, buffered = _byte(data, at + 9), marker in PROGRESSIVE
            elif marker == START_OF_SCAN:
                buffered = buffered or _byte(data, at + 4) < colours
        scans += marker == START_OF_SCAN
    return Layout(
        segments=len(walked),
        metadata_bytes=metadata_bytes,
        junk_bytes=junk_bytes if scans else junk_bytes + len(data) - end,
        scans=scans,
        buffered=buffered,
    )


def _byte(data: bytes, at: int) -> int:
    return data[at] if at < len(data) else 0
