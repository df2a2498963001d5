"""The tiers of `make test`, run on small folders of tests by the pytest that runs this one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools import tiers

pytestmark = pytest.mark.process
ROOT = Path(__file__).resolve().parent.parent
SETTINGS = "[pytest]\nmarkers = process\n    integration\n    e2e\naddopts = -ra -p no:hypothesispytest\n"
TESTS = {
    "unit": "def test_unit():\n    assert {unit}\n",
    "process": "import pytest\n@pytest.mark.process\ndef test_process():\n    assert {process}\n",
    "integration": "import pytest\n@pytest.mark.integration\ndef test_integration():\n    assert {integration}\n",
    "e2e": "import pytest\n@pytest.mark.e2e\ndef test_e2e():\n    assert {e2e}\n",
}


def run(folder, *arguments, **holds):
    """The exit code and the lines of `make test` where each tier has a test that passes or fails."""
    (folder / "pytest.ini").write_text(SETTINGS)
    holds = dict.fromkeys(TESTS, True) | holds
    for name, text in TESTS.items():
        (folder / f"test_{name}.py").write_text(text.format(**holds))
    done = subprocess.run(
        [sys.executable, "-m", "tools.tiers", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_each_tier_ends_with_its_line_and_all_with_the_sum(tmp_path):
    code, lines = run(tmp_path)
    assert code == 0
    assert [line.split()[:3] for line in lines[-5:-1]] == [[name, "1", "passed,"] for name in TESTS]
    assert lines[-1].startswith("=")
    assert " 4 passed in " in lines[-1]


def test_what_comes_before_the_cluster_and_fails_ends_the_run_and_is_named_at_its_end(tmp_path):
    code, lines = run(tmp_path, integration=False)
    assert code == 1
    end = "\n".join(lines[-6:])
    assert "FAILED test_integration.py::test_integration" in end
    assert "e2e          not run: what comes before it failed" in end
    assert " 1 failed, 2 passed in " in lines[-1]


def test_a_failure_on_the_cluster_is_a_failure(tmp_path):
    code, lines = run(tmp_path, e2e=False)
    assert code == 1
    assert " 1 failed, 3 passed in " in lines[-1]


def test_arguments_choose_tests_and_a_tier_without_any_is_no_failure(tmp_path):
    code, lines = run(tmp_path, "-k", "test_e2e")
    assert code == 0
    assert " 1 passed in " in lines[-1]


def test_no_test_at_all_is_a_failure(tmp_path):
    code, lines = run(tmp_path, "-k", "no_such_test")
    assert code == tiers.NOTHING_CHOSEN
    assert " no tests ran in " in lines[-1]


@pytest.mark.parametrize(
    ("closings", "said"),
    [
        (
            ["3 passed, 2 skipped, 9 deselected in 1.00s", "1 failed in 2.00s"],
            "1 failed, 3 passed, 2 skipped",
        ),
        (["1 passed, 1 warning in 1.00s", "2 errors in 0.10s"], "1 passed, 1 warning, 2 errors"),
        (["12 passed, 1 xfailed in 61.00s (0:01:01)", ""], "12 passed, 1 xfailed"),
    ],
)
def test_the_sum_counts_all_that_ran(closings, said):
    assert f" {said} in 3723.50s (1:02:03) " in tiers.total(closings, seconds=3723.5)


def test_who_ends_the_run_ends_its_tests_too_and_they_take_down_what_they_made(tmp_path):
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    (tmp_path / "test_long.py").write_text(
        "import pathlib, pytest, time\n"
        "@pytest.fixture\n"
        "def made():\n"
        "    pathlib.Path('made').touch()\n"
        "    yield\n"
        "    pathlib.Path('made').rename('taken-down')\n"
        "def test_long(made):\n"
        "    time.sleep(300)\n"
    )
    # As of a script that has put it into the background: the shell makes it ignore SIGINT.
    command = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-m", "tools.tiers"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as running:
        until = time.monotonic() + 60
        while not (tmp_path / "made").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        running.terminate()
        assert running.wait(60) == 130
    assert (tmp_path / "taken-down").exists()
