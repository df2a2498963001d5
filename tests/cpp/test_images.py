"""The C++ programs see the pixels that the server sees."""

import numpy as np
import pytest

from catfish_server.errors import RequestError
from catfish_server.images.decode import decode
from catfish_server.inference.preprocess import preprocess, resized_side
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from tests.cpp.conftest import picture

pytestmark = pytest.mark.process  # compiles the programs, once


def by_server(data, size):
    image = decode(data, shorter_side=resized_side(size))
    return preprocess(image, image_size=size, mean=IMAGENET_MEAN, std=IMAGENET_STD)[0]


def by_program(call, path, size):
    code, output, errors = call("probe", "image", path, size)
    assert (code, errors) == (0, [])
    return np.frombuffer(output, dtype=np.float32).reshape(3, size, size)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # as the server does, of damaged-exif.jpg
@pytest.mark.parametrize("size", [224, 96, 299])
def test_every_picture_becomes_the_tensor_that_the_server_makes_of_it(call, pictures, size):
    differing = {}
    files = sorted(pictures.iterdir())
    assert len(files) > 30
    for path in files:
        ours, theirs = by_program(call, path, size), by_server(path.read_bytes(), size)
        if (largest := float(np.abs(ours - theirs).max())) > 1e-6:
            differing[path.name] = largest
    assert differing == {}


def test_a_turned_picture_is_another_one(call, pictures):
    first, *others = (by_program(call, pictures / f"turned-{way}.jpg", 64) for way in range(1, 9))
    assert all(np.abs(first - other).max() > 0.5 for other in others)


@pytest.mark.parametrize("name", ["500x375.jpg", "progressive.jpg", "rgb.png", "palette.png"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_what_is_cut_short_is_refused_by_both(call, pictures, tmp_path, name, kept):
    data = (pictures / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(RequestError):
        by_server((tmp_path / name).read_bytes(), 64)
    assert call("probe", "image", tmp_path / name, 64) == (3, b"", ["is truncated or damaged"])


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((6000, 5000), "has 6000 x 5000 pixels; the limit is 25000000 in all"),
        ((300, 14), "has 300 x 14 pixels; sides may differ 20 times"),
    ],
)
@pytest.mark.parametrize("kind", ["jpg", "png"])
def test_the_limits_of_the_server_hold(call, tmp_path, size, said, kind):
    picture(*size, 1).save(tmp_path / f"it.{kind}")
    with pytest.raises(RequestError):
        by_server((tmp_path / f"it.{kind}").read_bytes(), 64)
    assert call("probe", "image", tmp_path / f"it.{kind}", 64) == (3, b"", [said])


def test_other_formats_are_named_as_such(call, tmp_path):
    picture(64, 64, 1).save(tmp_path / "it.webp")
    assert call("probe", "image", tmp_path / "it.webp", 64) == (3, b"", ["is neither JPEG nor PNG"])
