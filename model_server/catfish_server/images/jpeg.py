"""What a JPEG's headers tell of the memory and the time that decoding it takes: ITU-T T.81, annex B."""

START_OF_IMAGE = b"\xff\xd8"
START_OF_SCAN = b"\xff\xda"
NO_FRAMES = frozenset({0xC4, 0xC8, 0xCC})
"""Markers between those of the frames (SOF0 to SOF15): tables, an extension, and conditioning."""

PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})


def is_jpeg(data: bytes) -> bool:
    """Says whether the decoder of JPEGs will read the file; its other names, as MPO, are by what is in it."""
    return data.startswith(START_OF_IMAGE)


def scans(data: bytes) -> int:
    """How many scans the file has at most, those of a thumbnail among them; the decoder walks all blocks in each."""
    return data.count(START_OF_SCAN)


def is_buffered(data: bytes) -> bool:
    """Says whether the decoder holds the coefficients of the whole image, whatever scale it decodes at.

    It does where a pixel is put together from more than one scan: in progressive files, and in those whose colours
    come one after the other.
    """
    at, colours, progressive = 2, 0, False
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in NO_FRAMES:
            colours, progressive = data[at + 9], marker in PROGRESSIVE
        if marker == START_OF_SCAN[1]:
            return progressive or data[at + 4] < colours
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return progressive
