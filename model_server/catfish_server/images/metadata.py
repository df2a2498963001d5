"""What a file may bring beside its picture, checked before Pillow sees it.

Pillow reads metadata in Python, with the interpreter's lock held, and puts some of them together piece by piece: a file
of many small ones costs seconds in which no other request goes on. WebP and BMP need no limits here: libwebp walks
the chunks of the one, and the other has none.
"""

from collections.abc import Iterator
from itertools import islice

from catfish_server.errors import RequestError
from catfish_server.images import jpeg

MAX_BYTES = 4 * 1024 * 1024
"""Of metadata; of a JPEG all that lies before its first scan. Cameras write up to 200 KB, and a colour profile for
print has 2 MB at most."""

MAX_JUNK_BYTES = 64 * 1024
"""Between a JPEG's segments; each is looked at alone."""

MAX_SEGMENTS = 512
"""Of a JPEG. A colour profile has at most 255 (ICC.1, annex B.4), 4 MiB of extended XMP 64, a progressive file two for
each of ten scans; all others together a few dozen."""

MAX_CHUNKS = 100
"""Of a PNG, besides those of its pixels; each may hold 1 MiB that is unpacked. Programs write up to thirty."""

MAX_PIXEL_CHUNKS = 16_384
"""Of a PNG; encoders write 8 KiB and more into each, or a row."""

MAX_BLOCKS = 16_384
"""Of a GIF before its first picture, of 255 bytes at most each; XMP of 1 MB takes about as many."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = frozenset({b"IDAT", b"fdAT", b"fcTL"})
_GIF = (b"GIF87a", b"GIF89a")
_COMMENT, _APPLICATION, _LOOPED = 0xFE, 0xFF, b"NETSCAPE2.0"


class TooMuchMetadata(RequestError):
    """The file brings more beside its picture than any camera or program writes."""

    status = 422
    title = "The image cannot be decoded"


def check(data: bytes) -> jpeg.Layout | None:
    """Checks an encoded image of any format.

    Returns:
        What the segments of a JPEG tell; None of any other format.

    Raises:
        TooMuchMetadata: there are too many pieces beside the picture, or they are too large.
    """
    if jpeg.is_jpeg(data):
        return _checked(jpeg.layout(data, most_segments=MAX_SEGMENTS))
    if data.startswith(_PNG):
        _check_png(data)
    elif data.startswith(_GIF):
        _require(_count(_blocks(data)), MAX_BLOCKS, "blocks before its picture")
    return None


def _require(found: int, limit: int, what: str) -> None:
    if found > limit:
        raise TooMuchMetadata(f"The image has more than {limit} {what}; save it without its metadata.")


def _checked(layout: jpeg.Layout) -> jpeg.Layout:
    """Segments behind the first scan are read by libjpeg alone, but were walked, too."""
    _require(layout.segments, MAX_SEGMENTS, "segments")
    _require(layout.metadata_bytes, MAX_BYTES, "bytes of metadata")
    _require(layout.junk_bytes, MAX_JUNK_BYTES, "bytes between its segments")
    return layout


def _check_png(data: bytes) -> None:
    at, chunks, pixel_chunks, size = len(_PNG), 0, 0, 0
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind in _PIXELS:
            pixel_chunks += 1
        else:
            chunks, size = chunks + 1, size + length
        _require(chunks, MAX_CHUNKS, "chunks of metadata")
        _require(size, MAX_BYTES, "bytes of metadata")
        _require(pixel_chunks, MAX_PIXEL_CHUNKS, "chunks")
        if kind == b"IEND":
            return
        at += 12 + length  # with the length itself, the kind and the checksum


def _count(pieces: Iterator[int]) -> int:
    """How many there are, as far as the limit and one beyond it."""
    return sum(1 for _ in islice(pieces, MAX_BLOCKS + 1))


def _blocks(data: bytes) -> Iterator[int]:
    """Where each block before a GIF's first picture begins, and each byte that is in none, as Pillow reads them.

    The first one of an extension is read whether or not it is the empty one that ends it, and so is the one that says
    how often an animation is shown.
    """
    flags = data[10] if len(data) > 10 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at < len(data) and data[at] not in b",;":
        yield at
        if data[at] != ord("!"):
            at += 1
            continue
        label, size = (*data[at + 1 : at + 3], 0, 0)[:2]
        at += 2
        looped = label == _APPLICATION and data[at + 1 : at + 1 + size].startswith(_LOOPED)
        unread = 0 if label == _COMMENT else 2 if looped else 1
        while at < len(data) and (unread > 0 or data[at]):
            yield at
            at, unread = at + 1 + data[at], unread - 1
        at += 1
