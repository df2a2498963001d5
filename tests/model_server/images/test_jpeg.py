"""What is told of a JPEG without decoding it, by the segments that libjpeg would read."""

import pytest

from catfish_server.images import jpeg
from catfish_server.images.decode import decode
from tests.model_server.images.test_decode import encoded, picture
from tests.model_server.images.test_room import BUFFERED, Watched

SCAN = bytes.fromhex("ffda0008010100013f00")


def photograph(**options):
    return encoded(picture(), "JPEG", **options)


def layout(data):
    return jpeg.layout(data, most_segments=10_000)


def comment(payload):
    return b"\xff\xfe" + (2 + len(payload)).to_bytes(2, "big") + payload


@pytest.mark.parametrize("progressive", [False, True])
def test_scans_are_counted_up_to_the_end_of_the_image(progressive):
    data = photograph(progressive=progressive)
    expected = 1 if not progressive else 10
    assert layout(data).scans == expected
    assert layout(data + 200 * SCAN).scans == expected


def test_a_photograph_with_a_film_behind_it_is_decoded():
    assert decode(photograph() + b"\x00\x00\x00\x18ftypmp42" + 200 * SCAN).size == (64, 48)


def test_what_looks_like_a_scan_within_a_segment_is_none():
    data = photograph()
    thumbnails = comment(200 * SCAN) + comment(b"")
    assert layout(data[:2] + thumbnails + data[2:]).scans == 1
    assert decode(data[:2] + thumbnails + data[2:]).size == (64, 48)


def test_stuffed_bytes_restarts_and_padding_are_no_segments():
    data = photograph()
    coded = data[data.index(b"\xff\xda") : -2]
    assert layout(data[:-2] + b"\xff\x00\xda\xff\xd3\xff\xff\xff" + coded + data[-2:]).scans == 2


@pytest.mark.parametrize("marker", [b"\xff\xf0", b"\xff\xc8", b"\xff\x01"])
def test_a_marker_that_has_no_segment_for_the_decoder_hides_nothing(marker):
    data = photograph()
    assert layout(data[:-2] + marker + b"\xff\xff" + SCAN + data[-2:]).scans == 2


def test_an_end_before_any_scan_hides_none():
    data = photograph(progressive=True)
    assert layout(data[:2] + b"\xff\xd9" + data[2:]).scans == 10


def test_junk_between_segments_does_not_hide_that_an_image_is_progressive():
    data = encoded(picture(2000, 1600), "JPEG", progressive=True)
    at, room = data.index(b"\xff\xc2"), Watched(100_000_000)
    decode(data[:at] + b"\x00" + data[at:], shorter_side=110, room=room)
    assert room.asked == [BUFFERED]


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 9])
def test_a_header_that_ends_early_is_none_of_a_progressive_image(length):
    data = photograph()
    at = data.index(b"\xff\xc0")
    assert not layout(data[: at + length]).buffered


def test_a_jpeg_is_walked_over_once(monkeypatch):
    walk, walked = jpeg.segments, []

    def counted(data):
        walked.append(len(data))
        return walk(data)

    monkeypatch.setattr(jpeg, "segments", counted)
    data = photograph(progressive=True)
    assert decode(data, shorter_side=8).size
    assert walked == [len(data)]


def test_a_walk_ends_one_segment_beyond_those_that_a_file_may_have():
    data = photograph()
    behind = data[:2] + comment(b"") * 20 + data[2:]
    assert jpeg.layout(behind, most_segments=10).segments == 11
    found = layout(behind)
    assert (found.segments, found.scans, found.junk_bytes) == (layout(data).segments + 20, 1, 0)
    assert found.metadata_bytes == behind.index(b"\xff\xda")
