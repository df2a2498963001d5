"""The scripts, the commands and the manifest of docs/models.md, for the tests that follow the page from top to bottom.

tests/model_server/tools/test_docs.py goes as far as needs no cluster, tests/e2e/test_models_page.py all the way.
"""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.readme import ROOT

PAGE = ROOT / "docs" / "models.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w-]+\.(?:py|yaml))`")
SECONDS = 240.0
"""For one command, on a machine that has other things to do."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a reader types.

    Attributes:
        files: that the page has in full, by the name that the sentences before each give it.
        commands: in the order of the page, each a line for a shell.
    """

    files: Mapping[str, str]
    commands: Sequence[str]

    def local(self) -> list[str]:
        """The commands that need no cluster: all until the one that stores the file."""
        return [command for command in self.commands if command.split()[0] in {"python", "catfish"}]

    def remote(self) -> str:
        """The others, as one script: a variable is set in it."""
        return "\n".join(command for command in self.commands if command not in self.local())


def read() -> Page:
    """The page as it is."""
    text, end = PAGE.read_text(), 0
    files: dict[str, str] = {}
    commands: list[str] = []
    for block in BLOCK.finditer(text):
        language, content = block.groups()
        if language:
            files[NAMED.findall(text, end, block.start())[-1]] = content
        else:
            commands += content.splitlines()
        end = block.end()
    return Page(files=files, commands=commands)


@dataclass(frozen=True, kw_only=True)
class Followed:
    """A directory in which all was done that needs no cluster.

    Attributes:
        told: what each command printed.
        environment: of a shell that goes on.
    """

    page: Page
    directory: Path
    told: Mapping[str, str]
    environment: Mapping[str, str]

    @property
    def digest(self) -> str:
        """As the page's command prints it."""
        (told,) = [told for command, told in self.told.items() if command.startswith("catfish digest ")]
        found = re.search(r"^sha256 +([0-9a-f]{64})$", told, re.MULTILINE)
        assert found, told
        return found[1]

    @property
    def manifest(self) -> str:
        """As the reader applies it."""
        text = self.page.files["model.yaml"]
        assert text.count("DIGEST") == 1
        return text.replace("DIGEST", self.digest)


def follow(directory: Path, env: Mapping[str, str], *, without: tuple[str, ...] = ()) -> Followed:
    """Runs the commands that need no cluster, in a directory of this one.

    Args:
        directory: an empty one.
        env: added to the environment.
        without: the beginnings of commands that are left out.
    """
    page, programs, work = read(), directory / "bin", directory / "work"
    for folder in (programs, work):
        folder.mkdir()
    environment = shell(programs, env)
    for name, content in page.files.items():
        if name.endswith(".py"):
            (work / name).write_text(content)
    wanted = [command for command in page.local() if not command.startswith(without)]
    told = {command: run(command, work, environment) for command in wanted}
    return Followed(page=page, directory=work, told=told, environment=environment)


def table() -> list[list[str]]:
    """The rows of the table of files, cell by cell."""
    found = PAGE.read_text().partition("| file | `model.architecture` |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found.splitlines()[2:]]


def shell(directory: Path, env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a shell with the tests' own `python` and `catfish`, which are written into a directory."""
    programs = {"python": "", "catfish": " -m catfish_server.tools"}
    for name, module in programs.items():
        path = directory / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable}{module} "$@"\n')
        path.chmod(0o755)
    own = {"PATH": f"{directory}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    return {**os.environ, **env, **own}


def run(command: str, directory: Path, environment: Mapping[str, str]) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=directory,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
