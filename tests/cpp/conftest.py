"""The programs of cpp/, compiled, and pictures of every kind that they are to see as the server does."""

import os
import subprocess

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

SIZE = 224
ORIENTATION = 0x0112


@pytest.fixture(scope="session")
def programs():
    from tools import cpp

    return cpp.programs()


@pytest.fixture(scope="session")
def call(programs):
    """A function that runs one of the programs: exit code, standard output as bytes, lines of standard error."""

    def run(program, *arguments, data=b""):
        done = subprocess.run(
            [programs / program, *map(str, arguments)],
            input=data,
            capture_output=True,
            check=False,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return done.returncode, done.stdout, done.stderr.decode().splitlines()

    return run


@pytest.fixture
def onnx_programs(programs):
    if not (programs / "catfish-predict-onnx").exists():
        pytest.skip("ONNX Runtime's headers are not here: libonnxruntime-dev, or ONNXRUNTIME_ROOT")


def picture(width, height, seed):
    """Soft colours with some grain, as photographs have them."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    return Image.fromarray((soft + rng.integers(-20, 21, soft.shape)).clip(0, 255).astype(np.uint8))


def exif(orientation):
    made = Image.Exif()
    made[ORIENTATION] = orientation
    return made


def xmp(orientation):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def _jpegs(directory):
    sizes = [
        (500, 375),
        (375, 500),
        (101, 97),
        (37, 301),
        (224, 224),
        (1023, 1535),
        (2047, 1301),
        (4500, 3333),
    ]
    for number, (width, height) in enumerate(sizes):
        picture(width, height, number).save(directory / f"{width}x{height}.jpg", quality=90)
    photo = picture(333, 251, 50)
    for orientation in range(1, 9):
        photo.save(directory / f"turned-{orientation}.jpg", exif=exif(orientation))
    picture(1601, 1203, 51).save(directory / "turned-large.jpg", exif=exif(6))
    photo.save(directory / "turned-xmp.jpg", xmp=xmp(8))
    photo.save(directory / "damaged-exif.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    photo.convert("L").save(directory / "grey.jpg")
    photo.convert("CMYK").save(directory / "cmyk.jpg")
    photo.save(directory / "progressive.jpg", progressive=True)
    photo.save(directory / "full-chroma.jpg", subsampling=0)


def _pngs(directory):
    photo = picture(301, 222, 60)
    alpha = picture(301, 222, 61).convert("L")
    grey16 = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    photo.save(directory / "rgb.png")
    photo.save(directory / "rgb-key.png", transparency=(1, 2, 3))
    photo.quantize(100).save(directory / "palette.png")
    photo.quantize(12).save(directory / "palette-4-bits.png", transparency=3)
    photo.convert("L").save(directory / "grey.png")
    photo.convert("1").save(directory / "black-and-white.png")
    grey16.save(directory / "grey-16-bits.png")
    Image.merge("RGBA", (*photo.split(), alpha)).save(directory / "alpha.png")
    Image.merge("LA", (photo.convert("L"), alpha)).save(directory / "grey-alpha.png")
    photo.save(directory / "turned.png", exif=exif(6))
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp(3).decode())
    photo.save(directory / "turned-xmp.png", pnginfo=text)
    picture(1700, 1511, 62).save(directory / "large.png")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of pictures."""
    directory = tmp_path_factory.mktemp("pictures")
    _jpegs(directory)
    _pngs(directory)
    return directory
