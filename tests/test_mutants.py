"""The bugs of tests/mutants can still be put into the code; `make mutants` tries whether a test notices each."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MUTANTS = sorted((ROOT / "tests" / "mutants").glob("*.diff"))


def fits(mutant):
    """What git says against a diff that does not fit; nothing where it fits."""
    command = ["git", "-C", str(ROOT), "apply", "--check", "--verbose", str(mutant)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return (
        "" if done.returncode == 0 and "Checking patch" in done.stderr else done.stderr or "nothing checked"
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda path: path.stem)
def test_a_mutant_fits_the_code(mutant):
    assert fits(mutant) == ""


def test_one_that_does_not_fit_is_noticed(tmp_path):
    other = tmp_path / "other.diff"
    other.write_text(MUTANTS[0].read_text().replace("\n-", "\n-no such line "))
    assert "does not apply" in fits(other)
