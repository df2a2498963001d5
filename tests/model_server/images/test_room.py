import contextlib
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from catfish_server.errors import Overloaded, RequestError
from catfish_server.images.decode import FORMATS, BrokenImage, decode
from catfish_server.images.room import Room
from catfish_server.waiting import Call, ClientGone, within
from tests.model_server.images.test_decode import encoded, picture
from tests.model_server.inference.batching import until

MIB = 1024 * 1024
BUFFERED = 2 * MIB + 8 * 500 * 400 + 8 * 2000 * 1600
"""Of a JPEG of 2000 x 1600 pixels that is decoded at a quarter of its size."""


class Watched(Room):
    """A room that remembers what it was asked for, and the most that was in it."""

    def __init__(self, size, **options):
        super().__init__(size, **options)
        self.most, self.asked = 0, []

    @contextlib.contextmanager
    def held(self, size):
        self.asked.append(size)
        with super().held(size):
            self.most = max(self.most, self.taken)
            yield


@pytest.mark.parametrize("kind", FORMATS)
def test_images_decoded_at_the_same_time_share_one_room(kind):
    data, alone = encoded(Image.new("RGB", (400, 300)), kind), Watched(10**9)
    decode(data, room=alone)
    room = Watched(2 * alone.most, patience_seconds=30)
    with ThreadPoolExecutor(8) as pool:
        images = list(pool.map(lambda _: decode(data, room=room), range(24)))
    assert [image.size for image in images] == [(400, 300)] * 24
    assert room.most in {alone.most, 2 * alone.most}
    assert room.taken == 0


def test_who_finds_no_room_in_time_is_told_to_come_back_and_decodes_nothing():
    room = Room(100, patience_seconds=0.05)
    with room.held(90), pytest.raises(Overloaded) as caught:
        decode(encoded(picture(), "PNG"), room=room)
    assert (caught.value.status, caught.value.reason) == (503, "decoding")
    assert decode(encoded(picture(), "PNG"), room=room).size == (
        64,
        48,
    )  # more than the room, and alone in it


@pytest.mark.parametrize(
    ("there", "size", "fits"),
    [
        ([4], 2, False),  # what is kept for those of size 1 stays free
        ([4], 1, True),
        ([4, 1, 1], 1, False),
        ([1, 1], 4, True),  # which may be in it already
        ([1, 1, 1], 4, False),
        ([1, 1, 1], 3, True),
        ([1, 1, 1, 1, 1], 1, True),  # and may have all of the rest as well
    ],
)
def test_a_part_of_a_room_is_kept_for_those_of_size_one(there, size, fits):
    room = Room(6, kept_for_ones=2, patience_seconds=0)
    with contextlib.ExitStack() as held:
        for taken in there:
            held.enter_context(room.held(taken))
        if fits:
            held.enter_context(room.held(size))
        else:
            with pytest.raises(Overloaded):
                held.enter_context(room.held(size))
    assert room.taken == 0
    with (
        room.held(9),
        room.held(1),
        room.held(1),
    ):  # nothing is lost of it, and what is too large takes the rest
        pass


@pytest.mark.parametrize("in_time", [True, False])
def test_who_has_left_while_the_room_was_full_takes_none_and_is_no_rejection(in_time):
    room, full = Room(100, patience_seconds=30 if in_time else 0.05), contextlib.ExitStack()
    full.enter_context(room.held(100))

    def enter():
        with within(Call(arrived=time.monotonic(), seconds=60, gone=lambda: True)), room.held(1):
            raise AssertionError("It was let in.")

    with ThreadPoolExecutor(1) as pool:
        entering = pool.submit(enter)
        if in_time:
            until(lambda: room._changed._waiters)
            full.close()
        with pytest.raises(ClientGone):
            entering.result(30)
        full.close()
    assert room.taken == 0


def test_a_damaged_image_gives_its_room_back():
    room = Room(10_000)
    with pytest.raises(RequestError):
        decode(encoded(picture(), "PNG")[:200], room=room)
    assert room.taken == 0


def test_a_jpeg_takes_the_room_of_the_size_that_it_is_decoded_at():
    room = Watched(100_000_000)
    small = decode(encoded(picture(2000, 1600), "JPEG"), shorter_side=110, room=room)
    assert room.asked == [2 * MIB + 8 * small.width * small.height]


def scan_by_scan(data):
    """A greyscale JPEG's headers changed into those of three colours, of which the first scan brings one."""
    at = data.index(b"\xff\xc0")
    frame = bytearray(data[at : at + 10])
    frame[2:4], frame[9] = (17).to_bytes(2, "big"), 3
    more = b"".join(bytes([number, 0x11, 0]) for number in (2, 3))
    return data[:at] + bytes(frame) + data[at + 10 : at + 13] + more + data[at + 13 :]


@pytest.mark.parametrize("how", ["progressive", "one colour after the other"])
def test_a_jpeg_of_several_scans_takes_the_room_of_its_whole_size(how):
    """Its decoder holds the coefficients of all of it, at whatever scale it decodes."""
    whole, room = picture(2000, 1600), Watched(100_000_000)
    if how == "progressive":
        decode(encoded(whole, "JPEG", progressive=True), shorter_side=110, room=room)
    else:
        with contextlib.suppress(BrokenImage):  # the other colours never come
            decode(scan_by_scan(encoded(whole.convert("L"), "JPEG")), shorter_side=110, room=room)
    assert room.asked == [BUFFERED]
    assert room.taken == 0


def test_a_jpeg_of_very_many_scans_is_refused_before_any_of_them_is_walked():
    data = encoded(picture(), "JPEG", progressive=True)
    at = data.rindex(b"\xff\xda")
    assert decode(data[:at] + data[at:-2] * 80 + data[-2:]).size == (64, 48)
    with pytest.raises(BrokenImage, match="more than 100 scans"):
        decode(data[:at] + data[at:-2] * 101 + data[-2:])


def several_pictures(image, **options):
    """A JPEG of two pictures, as phones write it with a depth map or a gain map; Pillow calls it MPO."""
    return encoded(image, "MPO", save_all=True, append_images=[image.reduce(2)], **options)


def test_a_jpeg_of_two_pictures_takes_the_room_of_its_whole_size():
    room = Watched(100_000_000)
    data = several_pictures(picture(2000, 1600), progressive=True)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    decode(data, shorter_side=110, room=room)
    assert room.asked == [BUFFERED]


def test_the_scans_of_a_jpeg_of_two_pictures_are_limited_as_well():
    data = several_pictures(picture(), progressive=True)
    at = data.index(b"\xff\xd9")
    with pytest.raises(BrokenImage, match="more than 100 scans"):
        decode(data[:at] + bytes.fromhex("ffda0008010100013f00") * 101 + data[at:])


@pytest.mark.parametrize("kind", FORMATS)
def test_a_large_image_is_not_kept_larger_than_the_caller_needs(kind):
    small = decode(encoded(picture(1000, 800), kind), shorter_side=100)
    assert 200 <= min(small.size) < 400
    assert small.width / small.height == pytest.approx(1.25, abs=0.01)


def test_what_is_kept_of_an_image_has_the_colours_of_the_whole():
    image = Image.new("RGB", (800, 800), (10, 200, 30))
    assert decode(encoded(image, "PNG"), shorter_side=100).getpixel((50, 50)) == (10, 200, 30)
