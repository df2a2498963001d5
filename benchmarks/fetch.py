"""How much memory the server takes while it fetches large weights, over HTTP and from S3.

usage: python -m benchmarks.fetch [--megabytes N] [--directory FOLDER]

Starts the local cluster's store (nginx, and versitygw behind it) on loopback over one file of that size, and fetches
it by each into a file on the disk, in a process that does nothing else. Prints a table and writes
build/bench/fetch.json: seconds, MB/s, CPU ms per MB, the resident memory before, and how far it rose above that at
its peak as the kernel counts it. Ends with 1 when it rose by more than 64 MiB or when the bytes are not the file's.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from catfish_server.weights import fetch, location
from localcluster.store import BUCKET, REGION, Store

MIB = 1024 * 1024
BOUND_MIB = 64.0
NAME = "weights.bin"
TARGET = Path("build/bench/fetch.json")
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """One download.

    Attributes:
        by: `http` or `s3`.
        megabytes: of the file, in 10**6 bytes.
        seconds: until the checked file was there.
        cpu_ms_per_megabyte: of the process that fetched, user and system.
        before_mib: resident memory of the process before.
        growth_mib: the peak of the resident memory while it fetched, less `before_mib`.
        right: whether the digest is that of the file.
    """

    by: str
    megabytes: float
    seconds: float
    cpu_ms_per_megabyte: float
    before_mib: float
    growth_mib: float
    right: bool


def memory_mib(field: str) -> float:
    """A line of this process's /proc/self/status, such as VmRSS or its peak since it was reset, VmHWM."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field + ":")).split()[1]) / 1024


def fetch_here(by: str, url: str, endpoint: str | None, directory: Path, sha256: str) -> Fetched:
    """Fetches in this process, which should have done nothing else, and measures it."""
    where = location.parse(url)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew (proc(5))
    before, used, began = memory_mib("VmRSS"), time.process_time(), time.monotonic()
    found = fetch.fetch(
        where, directory=directory, sha256=None, endpoint=endpoint, env=os.environ, progress=lambda *_: None
    )
    seconds, used = time.monotonic() - began, time.process_time() - used
    found.discard()
    megabytes = found.size / 1e6
    return Fetched(
        by=by,
        megabytes=megabytes,
        seconds=seconds,
        cpu_ms_per_megabyte=1000 * used / megabytes,
        before_mib=before,
        growth_mib=memory_mib("VmHWM") - before,
        right=found.sha256 == sha256,
    )


def measure(store: Store, by: str, sha256: str, sink: Path) -> Fetched:
    """Fetches the store's file in a process of its own.

    Args:
        store: that runs, with the file `NAME` in its bucket.
        by: `http` or `s3`.
        sha256: of the file.
        sink: a folder, in which nothing is left.
    """
    url = {"http": f"{store.http_url}/{BUCKET}/{NAME}", "s3": f"s3://{BUCKET}/{NAME}"}[by]
    keys = {"AWS_ACCESS_KEY_ID": store.access_key, "AWS_SECRET_ACCESS_KEY": store.secret_key}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fetch", "--here", by, url, store.s3_url, str(sink), sha256],
        cwd=_ROOT,
        env={**os.environ, **keys, "AWS_REGION": REGION, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        check=True,
    )
    return Fetched(**json.loads(done.stdout))


def make_file(path: Path, size: int) -> str:
    """Writes a file of that many bytes that no two blocks of are alike; returns its sha256."""
    digest, block = hashlib.sha256(), bytearray(os.urandom(MIB))
    with path.open("wb") as file:
        for number in range(0, size, MIB):
            block[:8] = number.to_bytes(8, "little")
            part = memoryview(block)[: min(MIB, size - number)]
            digest.update(part)
            file.write(part)
    return digest.hexdigest()


def table(results: list[Fetched]) -> str:
    """The figures, a line a download."""
    lines = ["by    MB      seconds    MB/s  CPU ms/MB  RSS before MiB  growth MiB (at most 64)"]
    lines += [
        f"{one.by:4}  {one.megabytes:6.0f}  {one.seconds:7.1f}  {one.megabytes / one.seconds:6.0f}  "
        f"{one.cpu_ms_per_megabyte:9.2f}  {one.before_mib:14.1f}  {one.growth_mib:10.1f}"
        + ("" if one.right else "  NOT THE BYTES OF THE FILE")
        for one in results
    ]
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="benchmarks.fetch", description="Memory while weights are fetched.")
    parser.add_argument("--megabytes", type=int, default=5000, help="the size of the file, in 10**6 bytes")
    parser.add_argument("--directory", type=Path, help="where there is room for twice the file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=options.directory) as name:
        sink = Path(name) / "sink"
        sink.mkdir()
        with Store.start_in(Path(name) / "store") as store:
            sha256 = make_file(store.files / BUCKET / NAME, options.megabytes * 1_000_000)
            results = [measure(store, by, sha256, sink) for by in ("http", "s3")]
    print(table(results))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(json.dumps([asdict(one) for one in results], indent=2) + "\n")
    return int(any(one.growth_mib > BOUND_MIB or not one.right for one in results))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--here"]:
        how, at, store_at, into, expected = sys.argv[2:]
        print(
            json.dumps(asdict(fetch_here(how, at, store_at if how == "s3" else None, Path(into), expected)))
        )
        sys.exit(0)
    sys.exit(main(sys.argv[1:]))
