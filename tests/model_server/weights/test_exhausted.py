"""Whatever ran out, and wherever it was noticed: one reason for memory, and one for the disk."""

import errno
import logging
import os

import pytest
import torch

from catfish_server import errors
from catfish_server.weights import exhausted, local, location

WHERE = location.parse("https://store.example/w.pt?token=hunter2")
FULL = r"^spec\.weights\.url: https://store\.example/w\.pt does not fit: the disk is full"
GPU, POD = r"^spec\.resources\.limits: the GPU", r"^spec\.resources\.limits\.memory: is not enough"


def of_system(number):
    return OSError(number, os.strerror(number))


RAN_OUT = {
    "disk": (of_system(errno.ENOSPC), errors.DiskFull, FULL),
    "quota of the disk": (of_system(errno.EDQUOT), errors.DiskFull, FULL),
    "limit of a file": (of_system(errno.EFBIG), errors.DiskFull, FULL),
    "memory of the system": (of_system(errno.ENOMEM), errors.OutOfMemory, POD),
    "memory of python": (MemoryError(), errors.OutOfMemory, POD),
    "memory of torch": (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
        errors.OutOfMemory,
        POD,
    ),
    "memory of C++": (Exception("std::bad_alloc"), errors.OutOfMemory, POD),
    "memory of a GPU": (
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        errors.OutOfMemory,
        GPU,
    ),
}


@pytest.mark.parametrize(("error", "failure", "says"), RAN_OUT.values(), ids=RAN_OUT)
@pytest.mark.parametrize("told", [exhausted.told, local.failures])
def test_what_ran_out_is_told_alike_wherever_it_did(told, error, failure, says, caplog):
    caplog.set_level(logging.WARNING, exhausted.logger.name)
    with pytest.raises(failure, match=says) as caught, told(WHERE):
        raise error
    assert caught.value.retriable
    assert caught.value.__cause__ is error
    assert len(caplog.records) == (failure is errors.OutOfMemory)


@pytest.mark.parametrize(("error", "failure", "says"), RAN_OUT.values(), ids=RAN_OUT)
def test_so_it_is_while_they_are_fetched(fetched, scripted, error, failure, says):
    def progress(_done, _total):
        raise error

    with pytest.raises(failure, match=says.replace("https://store\\.example/w\\.pt", ".*")):
        fetched(scripted().url, progress=progress)


@pytest.mark.parametrize(
    "error",
    [of_system(errno.EIO), RuntimeError("no kernel"), ValueError("memory"), KeyError("disk")],
    ids=repr,
)
def test_another_error_is_left_as_it_is(error):
    assert exhausted.failure_of(error) is None
    with pytest.raises(type(error)) as caught, exhausted.told():
        raise error
    assert caught.value is error


def test_a_full_disk_is_told_without_knowing_whose():
    with (
        pytest.raises(errors.DiskFull, match=r"^spec\.weights\.url: the file does not fit"),
        exhausted.told(),
    ):
        raise of_system(errno.ENOSPC)


def test_a_directory_for_downloads_that_finds_no_room_is_a_full_disk(tmp_path, monkeypatch):
    from catfish_server.weights import fetch

    def mkdir(*_arguments, **_more):
        raise of_system(errno.EDQUOT)

    monkeypatch.setattr(fetch.Path, "mkdir", mkdir)
    with pytest.raises(errors.DiskFull, match="the disk is full"):
        fetch.private_directory(tmp_path)
