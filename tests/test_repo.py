"""The repository keeps its own promises: sizes, commands of the README, links, packaging."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import readme

ROOT = Path(__file__).resolve().parent.parent


def tracked(*suffixes: str) -> list[Path]:
    """Files of the working tree that git tracks or would add, with one of the suffixes."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    return [path for name in listed if name.endswith(suffixes) and (path := ROOT / name).is_file()]


def test_no_source_file_is_longer_than_300_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked(".py", ".go", ".sh", ".cpp", ".h", ".cmake")
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert long == {}


def test_no_function_is_longer_than_40_lines_without_a_reason_beside_it():
    """A longer one carries a comment `# long: <reason>` on its `def` line."""
    long = []
    for path in tracked(".py"):
        text = path.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            first = node.body[0]
            documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
            start = first.end_lineno + 1 if documented and first.end_lineno else first.lineno
            body = (node.end_lineno or start) - start + 1
            if body > 40 and "# long: " not in lines[node.lineno - 1]:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {body} lines")
    assert long == []


def test_a_commented_exception_to_the_function_length_gives_its_reason():
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(".py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"# long:\s*$", line)
    ]
    assert bare == []


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_target_that_the_documents_name_exists():
    missing = {
        f"{path.relative_to(ROOT)}: make {target}"
        for path in tracked(".md", "run")
        for line in path.read_text().splitlines()
        for target in re.findall(r"(?:^|`|\$ )make ([a-z0-9-]+)", line)
        if target not in make_targets()
    }
    assert missing == set()


def test_every_make_target_is_explained_by_make_help():
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    unexplained = {target for target in make_targets() if f"  {target} " not in shown}
    assert unexplained == set()


def test_ci_runs_the_commands_that_the_readme_gives():
    ci = (ROOT / ".ci" / "run").read_text().splitlines()
    run = [line for line in ci if line.startswith("make ")]
    assert run == ["make check", "make test"]
    assert [command for command in readme.sections()["Develop it"] if command in run] == run


def test_every_section_of_the_readme_with_commands_is_run_by_something():
    assert set(readme.sections()) == set(readme.RUN_BY)
    assert [path for path in readme.RUN_BY.values() if not (ROOT / path).is_file()] == []


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked(".md")
        for target in re.findall(r"\]\(([^)#\s]+)", path.read_text())
        if "://" not in target and not (path.parent / target).exists()
    ]
    assert broken == []


def test_the_import_roots_never_become_packages():
    """With operator/__init__.py, Python's own `operator` would be shadowed by ours."""
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "model_server" / "__init__.py").exists()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as `pip wheel .` builds it, with the build backend of the environment."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_both_packages_and_nothing_else(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"catfish_operator", "catfish_server"}


def test_the_wheel_holds_every_module(wheel):
    held = set(wheel.namelist())
    expected = {
        str(path.relative_to(ROOT / root))
        for root in ("operator", "model_server")
        for path in (ROOT / root).rglob("*.py")
    }
    assert expected - held == set()


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("catfish_operator.__main__", {"torch", "flask", "waitress"}),
        ("catfish_server.startup", {"kopf", "kubernetes", "catfish_operator"}),
    ],
)
def test_importing_one_side_brings_in_nothing_of_the_other(module, forbidden):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    ).stdout
    assert set(loaded.split()) & forbidden == set()
