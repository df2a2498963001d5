"""Puts one bug after the other into a copy of the operator and says which test notices it: `make mutants`.

Each `*.diff` here breaks one rule of docs/rollouts.md and is named for what goes wrong. Ends with 1 if a bug is
noticed by no test, or if a diff does not fit the code any more (write it anew, against the rule that it broke).
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
COPIED = ("operator", "model_server", "crds", "docs", "manifests", "tests", "pyproject.toml")
PYTEST = ("-m", "pytest", "tests/operator", "-x", "-q", "-p", "no:cacheprovider", "--no-header")
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


def main() -> int:
    """Tries every mutant; returns 0 if each is noticed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="the mutants to try, without .diff; all")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    paths = [HERE / f"{name}.diff" for name in arguments.names] or sorted(HERE.glob("*.diff"))
    if (done := tests(None)).returncode != 0:
        print("the tests fail without any mutant already:", (done.stdout + done.stderr)[-2000:], sep="\n")
        return 1
    with ThreadPoolExecutor(arguments.jobs) as pool:
        noticed = list(pool.map(tried, paths))
    print(f"{sum(noticed)} of {len(noticed)} noticed")
    return 0 if paths and all(noticed) else 1


def tried(path: Path) -> bool:
    """Whether a test notices the mutant; says so."""
    done = tests(path)
    found = FAILED.search(done.stdout)
    if done.returncode == 1 and found:
        what, detail = "noticed", found[1]
    elif done.returncode == 0:
        what, detail = "SURVIVES", "no test in tests/operator fails"
    else:
        what, detail = "DOES NOT FIT", (done.stdout + done.stderr)[-500:].strip()
    print(f"{what:<13}{path.stem:<42}{detail}", flush=True)
    return what == "noticed"


def tests(mutant: Path | None) -> subprocess.CompletedProcess[str]:
    """The tests of the operator in a copy with the mutant; where that does not fit, why not."""
    with tempfile.TemporaryDirectory(prefix="catfish-mutant-") as directory:
        copy = Path(directory)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        if mutant and (applied := _run(copy, "git", "apply", str(mutant))).returncode != 0:
            return subprocess.CompletedProcess(applied.args, 128, applied.stdout, applied.stderr)
        return _run(copy, sys.executable, *PYTEST)


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command in the copy; PYTHONPATH is pytest's own setting, so that it is the copy's code that runs."""
    environ = {"PATH": "/usr/bin:/bin", "GIT_CEILING_DIRECTORIES": str(folder.parent), "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
