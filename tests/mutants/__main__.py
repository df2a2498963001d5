"""Puts one bug after the other into a copy of the operator and says which test notices it: `make mutants`.

Each entry of mutants.toml breaks one rule of docs/rollouts.md and is named for what goes wrong. Ends with 1 if a bug
is noticed by no test. That all of them still fit the code is a test of its own, tests/test_mutants.py.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PACKAGE = Path("operator/catfish_operator")
COPIED = (
    "operator",
    "model_server",
    "crds",
    "docs",
    "manifests",
    "demo",
    "localcluster",
    "tests",
    "pyproject.toml",
)
PYTEST = ("-m", "pytest", "tests/operator", "-x", "-q", "-p", "no:cacheprovider", "--no-header")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A bug: what stands in a file of the operator, and what is put in its place."""

    name: str
    file: str
    old: str
    new: str

    def fits(self, root: Path) -> bool:
        """Whether the file has the text exactly once."""
        return (root / PACKAGE / self.file).read_text().count(self.old) == 1

    def put_into(self, root: Path) -> None:
        """Changes the file of a copy."""
        path = root / PACKAGE / self.file
        path.write_text(path.read_text().replace(self.old, self.new))


def all_of_them() -> list[Mutant]:
    """The mutants of mutants.toml."""
    found = tomllib.loads((HERE / "mutants.toml").read_text())
    return [Mutant(name=name, **fields) for name, fields in found.items()]


def main() -> int:
    """Tries every mutant; returns 0 if each is noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the mutants to try; all")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    chosen = [one for one in all_of_them() if not arguments.names or one.name in arguments.names]
    if (done := tests(None)).returncode != 0:
        print("the tests fail without any mutant already:", (done.stdout + done.stderr)[-2000:], sep="\n")
        return 1
    with ThreadPoolExecutor(arguments.jobs) as pool:
        noticed = list(pool.map(tried, chosen))
    print(f"{sum(noticed)} of {len(noticed)} noticed")
    return 0 if chosen and all(noticed) else 1


def tried(mutant: Mutant) -> bool:
    """Whether a test notices the mutant; says so."""
    done = tests(mutant)
    found = FAILED.search(done.stdout)
    if done.returncode == 1 and found:
        what, detail = "noticed", found[1]
    elif done.returncode == 0:
        what, detail = "SURVIVES", "no test in tests/operator fails"
    else:
        what, detail = "NO RESULT", (done.stdout + done.stderr)[-500:].strip()
    print(f"{what:<13}{mutant.name:<46}{detail}", flush=True)
    return what == "noticed"


def tests(mutant: Mutant | None, *options: str) -> subprocess.CompletedProcess[str]:
    """The tests of the operator in a copy with the mutant, with more options of pytest."""
    with tempfile.TemporaryDirectory(prefix="catfish-mutant-") as directory:
        copy = Path(directory)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        if mutant:
            mutant.put_into(copy)
        # PYTHONPATH is pytest's own setting, so that it is the copy's code that runs.
        environ = {"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(copy.parent), "HOME": str(copy)}
        command = (sys.executable, *PYTEST, *options)
        return subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
