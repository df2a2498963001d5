"""What decoding a file takes, told by a process of its own: python -m tests.model_server.images.peak FILE SIDE."""

import gc
import io
import json
import sys
from pathlib import Path

from PIL import Image

from catfish_server.images.decode import decode
from tests.model_server.images.test_room import Watched

ROUNDS = 3
"""The heap of a server that has decoded images before is not as tight as a new one."""


def status(name):
    """Bytes, of proc(5)'s /proc/self/status."""
    return 1024 * int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0])


def small(kind):
    """A file of the same format, which has the libraries loaded before anything is measured."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, kind)
    return buffer.getvalue()


def main(path, side):
    """Prints the bytes that were taken at most, and those that were reserved."""
    data, room = Path(path).read_bytes(), Watched(10**12)
    kind = Image.open(io.BytesIO(data)).format
    decode(small(kind), shorter_side=8)
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # begins anew with the most that was taken
    for _ in range(ROUNDS):
        image = decode(data, shorter_side=int(side) or None, room=room)
        assert image.mode == "RGB"
        del image
    (reserved,) = set(room.asked)
    sys.stdout.write(json.dumps({"most": status("VmHWM") - before, "reserved": reserved}))


if __name__ == "__main__":
    main(*sys.argv[1:])
