"""Brings the weights onto this machine: the file that is loaded holds the very bytes that were checked."""

import errno
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from catfish_server.errors import ChecksumMismatch, WeightsForbidden, WeightsNotFound, WeightsUnreachable
from catfish_server.weights import exhausted, transport
from catfish_server.weights.download import CHUNK_BYTES, Download, Limits
from catfish_server.weights.location import Location
from catfish_server.weights.signing import request_url

Progress = Callable[[int, int | None], None]

PART_SUFFIX = ".part"

Version = tuple[int, int, int, int, int]
"""What differs after a file was written to or replaced: the kernel sets ctime, and nobody else can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A local file with the weights.

    Attributes:
        path: of the file.
        temporary: whether it is a download that nobody will need again once it is loaded.
        sha256: of its bytes.
        size: in bytes.
        vouched: whether the digest is the one that the spec names.
        version: of a file that others may write to, as it was when it was hashed; None for one of our own.
    """

    path: Path
    temporary: bool
    sha256: str
    size: int
    vouched: bool
    version: Version | None = None

    def discard(self) -> None:
        """Removes a download that nobody will need again."""
        if self.temporary:
            self.path.unlink(missing_ok=True)

    def changed(self) -> bool:
        """Whether somebody has written to the file since it was hashed."""
        return self.version is not None and _version(self.path.stat()) != self.version


def fetch(
    location: Location,
    *,
    directory: Path,
    sha256: str | None,
    endpoint: str | None,
    env: Mapping[str, str],
    progress: Progress,
    limits: Limits | None = None,
) -> Fetched:
    """The weights as a local file.

    A local file is used where it lies, unless it is to be checked: then a copy is made while it is read,
    because the original may change after the check. Of one that is only to be told apart from others it is
    enough to see afterwards that nobody wrote to it. A download is kept for the next start only under its
    digest, and is hashed again before it is used again.

    Args:
        location: where the weights are.
        directory: private to this user, for downloads; see `private_directory`.
        sha256: what the bytes must hash to, None: anything.
        endpoint: of an S3-compatible store.
        env: the environment, for the credentials of a store.
        progress: told how many bytes are here and how many there will be.
        limits: of the download.

    Raises:
        StartupFailure: the class says why there are no weights.
    """
    with _failures(location):
        if sha256 and _digest_of(kept := directory / sha256, progress) == sha256:
            size = kept.stat().st_size
            return Fetched(path=kept, temporary=False, sha256=sha256, size=size, vouched=True)
        if location.kind == "file" and not sha256:
            return _in_place(location, progress)
        with _part(directory) as part:
            if location.kind == "file":
                found = _copy(location, part, progress)
            else:
                download = Download(
                    part.file,
                    url=lambda: request_url(location, endpoint=endpoint, env=env),
                    progress=progress,
                    free_bytes=lambda: shutil.disk_usage(directory).free,
                    limits=limits or Limits(),
                )
                found = download.run()
            if sha256 and found != sha256:
                raise ChecksumMismatch(
                    f"spec.weights.sha256: the bytes of {location.shown} hash to {found}, not to {sha256}"
                )
            path, vouched = part.keep(sha256), sha256 is not None
            size = path.stat().st_size
            return Fetched(path=path, temporary=not vouched, sha256=found, size=size, vouched=vouched)


def private_directory(parent: Path) -> Path:
    """A directory in a shared one that only this user can write to, with leftovers of dead downloads removed.

    Raises:
        DiskFull: there is no room for it.
        WeightsUnreachable: there can be none.
    """
    directory = parent / f"catfish-weights-{os.getuid()}"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        facts = directory.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
            raise WeightsUnreachable(
                f"{directory} belongs to somebody else; set CATFISH_CACHE_DIR to another directory"
            )
        for leftover in directory.glob(f"*{PART_SUFFIX}"):
            _remove_if_dead(leftover)
    except OSError as error:
        if failure := exhausted.failure_of(error):
            raise failure from error
        raise WeightsUnreachable(f"{parent}: cannot hold the weights: {error.strerror}") from error
    return directory


@dataclass(frozen=True, slots=True)
class _Part:
    """A file in the making: locked while its maker lives."""

    file: BinaryIO
    path: Path

    def keep(self, digest: str | None) -> Path:
        """Gives the finished file its name at once; a half-written one is never seen under it."""
        self.file.flush()
        target = self.path.with_suffix("") if digest is None else self.path.with_name(digest)
        return self.path.replace(target)


@contextmanager
def _part(directory: Path) -> Iterator[_Part]:
    descriptor, name = tempfile.mkstemp(prefix="weights-", suffix=PART_SUFFIX, dir=directory)
    path = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield _Part(file, path)
    finally:
        path.unlink(missing_ok=True)


def _remove_if_dead(part: Path) -> None:
    """Removes the unfinished file of a process that is gone: nobody holds its lock."""
    try:
        with part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return


def _check_regular(location: Location) -> None:
    if not stat.S_ISREG(location.path.stat().st_mode):
        raise WeightsNotFound(location.says("is not a file"))


def _in_place(location: Location, progress: Progress) -> Fetched:
    """A local file where it lies, with what tells whether it is still the same afterwards."""
    _check_regular(location)
    with location.path.open("rb") as source:
        facts = os.fstat(source.fileno())
        found = _hash(source, progress)
    return Fetched(
        path=location.path,
        temporary=False,
        sha256=found,
        size=facts.st_size,
        vouched=False,
        version=_version(facts),
    )


def _version(facts: os.stat_result) -> Version:
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def _copy(location: Location, part: _Part, progress: Progress) -> str:
    """Copies a local file; returns the sha256 of what was written."""
    _check_regular(location)
    with location.path.open("rb") as source:
        return _hash(source, progress, sink=part.file)


def _digest_of(path: Path, progress: Progress) -> str | None:
    """The sha256 of a file, None if there is no such file."""
    try:
        with path.open("rb") as source:
            return _hash(source, progress)
    except FileNotFoundError:
        return None


def _hash(source: BinaryIO, progress: Progress, *, sink: BinaryIO | None = None) -> str:
    digest, done, total = hashlib.sha256(), 0, os.fstat(source.fileno()).st_size
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        if sink is not None:
            sink.write(chunk)
        done += len(chunk)
        progress(done, total)
    return digest.hexdigest()


@contextmanager
def _failures(location: Location) -> Iterator[None]:
    """Turns what goes wrong with bytes into what it means for the author of the spec."""
    try:
        with exhausted.told(location):
            yield
    except transport.Refused as refused:
        raise refused.failure(location.says(str(refused))) from refused
    except transport.Interrupted as interrupted:
        raise WeightsUnreachable(
            location.says(f"cannot be fetched: the download {interrupted}")
        ) from interrupted
    except (FileNotFoundError, NotADirectoryError) as error:
        raise WeightsNotFound(location.says("does not exist")) from error
    except PermissionError as error:
        raise WeightsForbidden(
            location.says("may not be read by the user that the server runs as")
        ) from error
    except OSError as error:
        code = errno.errorcode.get(error.errno or 0, "I/O error")
        raise WeightsUnreachable(location.says(f"cannot be brought here: {code}")) from error
