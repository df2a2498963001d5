"""How much memory decoding an image takes at most, by its format; known from its header, before a pixel is decoded.

The numbers are Pillow's and its libraries'. A test decodes files of each format in a process of their own, and fails
where the most that it took, as the kernel says (proc(5), VmHWM), is more than what is said here.
"""

BYTES_A_PIXEL = 8
"""Of any format but WebP. Pillow holds 4 bytes of a pixel of colour, and 1 or 2 of others; twice while it converts the
image or turns it upright. Its other decoders go row by row."""

HOLE_BYTES = 1
"""More of each pixel of an image of one band, as grey or with a palette: its first buffer is smaller than those after
it, and stays a hole in the heap now and then."""

WEBP_BYTES_A_PIXEL = 20
"""Pillow decodes every WebP as an animation: libwebp keeps two canvases, the one that it draws on and the one before,
and Pillow a copy of it as bytes, beside the image itself. That is 16; 4 more are a hole in the heap, where the buffers
are of the sizes that glibc takes from there (mallopt(3), M_MMAP_THRESHOLD): of 2 to 8 million pixels."""

COEFFICIENT_BYTES = 8
"""Of each pixel at the full size of a JPEG of several scans, until the last of them: 2 for each of up to four colours
(libjpeg's JCOEF). The pixels come on top."""

OVERHEAD_BYTES = 2 * 1024 * 1024
"""Of any image, however small: rows, tables and what Python makes."""


def of_webp(size: tuple[int, int], *, encoded: int) -> int:
    """Bytes that a WebP takes.

    Args:
        size: width and height of its canvas.
        encoded: bytes of the file, which Pillow copies for libwebp.
    """
    return OVERHEAD_BYTES + WEBP_BYTES_A_PIXEL * size[0] * size[1] + encoded


def of_pixels(size: tuple[int, int], *, bands: int, buffered_at: tuple[int, int] | None = None) -> int:
    """Bytes that an image of another format takes.

    Args:
        size: width and height at which it is decoded.
        bands: of its file's pixels.
        buffered_at: width and height of the whole JPEG where its decoder holds the coefficients of all of it; None: it
            does not.
    """
    each = BYTES_A_PIXEL + (HOLE_BYTES if bands == 1 else 0)
    pixels = OVERHEAD_BYTES + each * size[0] * size[1]
    if buffered_at is None:
        return pixels
    return pixels + COEFFICIENT_BYTES * buffered_at[0] * buffered_at[1]
