"""The commands that README.md gives, by section; each section is run by the test that is named here."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

RUN_BY = {
    "Try it": "tests/e2e/test_demo.py",
    "Use it on your cluster": "tests/e2e/test_readme.py",
    "Run the server on a laptop": "tests/test_readme.py",
    "Develop it": ".ci/run",
}


def sections() -> dict[str, list[str]]:
    """The commands by the heading that they stand under, in order."""
    text = (ROOT / "README.md").read_text()
    found = {}
    for part in re.split(r"^##+ ", text, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"```console\n(.*?)```", part, re.DOTALL)
        lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
        if lines:
            found[part.splitlines()[0]] = lines
    return found
