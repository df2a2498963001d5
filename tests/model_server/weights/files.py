"""Weight files made on the spot, good and bad."""

import io
import zipfile

import torch


def weights():
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(7)}


def archive(entries, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()


def torch_bytes(something, **options):
    buffer = io.BytesIO()
    torch.save(something, buffer, **options)
    return buffer.getvalue()
