"""The size of a WebP image, from its first 30 bytes.

Layout: https://developers.google.com/speed/webp/docs/riff_container and RFC 9649.
"""

HEADER_BYTES = 30


def size(data: bytes) -> tuple[int, int] | None:
    """Width and height of the canvas; None if the bytes are no WebP or too short to tell."""
    if len(data) < HEADER_BYTES or data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        return None
    match data[12:16]:
        case b"VP8X":  # extended: 24 bits each, minus one
            return _number(data[24:27]) + 1, _number(data[27:30]) + 1
        case b"VP8 ":  # lossy: 14 bits each, after the start code of the frame
            return _number(data[26:28]) & 0x3FFF, _number(data[28:30]) & 0x3FFF
        case b"VP8L":  # lossless: 14 bits each, minus one, after a signature byte
            bits = _number(data[21:25])
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case _:
            return None


def _number(little_endian: bytes) -> int:
    return int.from_bytes(little_endian, "little")
