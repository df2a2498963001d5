import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from catfish_server.errors import Overloaded
from catfish_server.images.room import Room
from catfish_server.inference.preprocess import preprocess, resized_side
from tests.model_server.images.test_room import Watched

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def picture(width, height):
    rng = np.random.default_rng(width * height)
    return Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8))


def reference(image, image_size):
    transform = v2.Compose(
        [
            v2.Resize(resized_side(image_size), antialias=True),
            v2.CenterCrop(image_size),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    return transform(image).unsqueeze(0)


@pytest.mark.parametrize("image_size", [32, 96, 224, 299])
@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (224, 224), (64, 64), (101, 97), (1001, 333), (37, 700), (256, 341)]
)
def test_it_equals_the_reference_transforms_of_torchvision(size, image_size):
    image = picture(*size)
    ours = preprocess(image, image_size=image_size, mean=MEAN, std=STD)
    torch.testing.assert_close(torch.from_numpy(ours), reference(image, image_size), rtol=0, atol=1e-6)


def test_the_result_is_one_float_image_with_channels_last_in_memory():
    batch = preprocess(picture(80, 60), image_size=32, mean=MEAN, std=STD)
    assert (batch.shape, batch.dtype) == ((1, 3, 32, 32), np.float32)
    assert torch.from_numpy(batch).is_contiguous(memory_format=torch.channels_last)


def test_the_shorter_side_is_256_for_the_usual_224():
    assert (resized_side(224), resized_side(96)) == (256, 110)


@pytest.mark.parametrize(("size", "resized"), [((100, 2000), (110, 2200)), ((640, 480), (146, 110))])
def test_a_resized_image_takes_the_room_of_its_whole_size_also_of_what_is_cut_off(size, resized):
    room = Watched(400_000_000)
    preprocess(picture(*size), image_size=96, mean=MEAN, std=STD, room=room)
    assert (room.asked, room.taken) == ([8 * resized[0] * resized[1]], 0)


def test_who_finds_no_room_to_resize_in_time_is_told_to_come_back():
    room = Room(100, patience_seconds=0.05)
    with room.held(90), pytest.raises(Overloaded) as caught:
        preprocess(picture(80, 60), image_size=32, mean=MEAN, std=STD, room=room)
    assert (caught.value.status, caught.value.reason) == (503, "decoding")
