"""How this machine's pip settings reach a build."""

import ast
import os
import re
from pathlib import Path

import pytest

from localcluster import pipconf


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    system, user = tmp_path / "system.conf", tmp_path / "user.conf"
    system.write_text("[global]\nindex-url = https://a.example/simple\ntimeout = 5\n")
    user.write_text("[global]\nindex-url = https://b.example/simple\n[install]\nretries = 9\n")
    return [system, user, tmp_path / "missing.conf"]


def settings(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_later_files_win_over_earlier_ones(files: list[Path]) -> None:
    found = pipconf.of_this_machine({}, files=files)
    assert settings(found.config) == [
        "[global]",
        "index-url = https://b.example/simple",
        "timeout = 5",
        "retries = 9",
    ]


def test_variables_win_over_files(files: list[Path]) -> None:
    found = pipconf.of_this_machine(
        {"PIP_INDEX_URL": "https://c.example/simple", "PIP_RETRIES": ""}, files=files
    )
    assert "index-url = https://c.example/simple" in settings(found.config)
    assert "retries = 9" in settings(found.config)


def test_a_ca_bundle_is_named_by_its_place_in_the_build(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("certificates")
    found = pipconf.of_this_machine({"PIP_CERT": str(bundle)}, files=[])
    assert found.ca_bundle == bundle
    assert f"cert = {pipconf.CA_BUNDLE}" in settings(found.config)
    assert str(tmp_path) not in found.config


def test_a_ca_bundle_that_is_not_there_is_not_passed_on(tmp_path: Path) -> None:
    found = pipconf.of_this_machine({"SSL_CERT_FILE": str(tmp_path / "none.pem")}, files=[])
    assert (found.ca_bundle, found.config.count("cert")) == (None, 0)


def test_of_the_places_to_find_wheels_addresses_are_settings_and_a_directory_is_mounted(
    tmp_path: Path,
) -> None:
    empty, full = tmp_path / "empty", tmp_path / "full"
    empty.mkdir()
    full.mkdir()
    (full / "torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl").touch()
    links = f"{empty} https://a.example/wheels file://{full}"
    found = pipconf.of_this_machine({"PIP_FIND_LINKS": links}, files=[])
    assert found.wheels == full
    assert "find-links = https://a.example/wheels" in settings(found.config)
    assert str(tmp_path) not in found.config


def test_the_index_of_cpu_wheels_comes_beside_the_indexes_that_are_set() -> None:
    found = pipconf.of_this_machine(
        {"PIP_EXTRA_INDEX_URL": "https://a.example/simple"}, files=[], cpu_index=True
    )
    assert found.config.split("extra-index-url = ")[1].split()[:2] == [
        "https://a.example/simple",
        pipconf.CPU_INDEX,
    ]


def test_pip_itself_reads_the_settings_that_we_write(tmp_path: Path) -> None:
    import subprocess
    import sys

    variables = {"PIP_EXTRA_INDEX_URL": "https://a.example/simple https://b.example/simple"}
    written = tmp_path / "pip.conf"
    written.write_text(pipconf.of_this_machine(variables, files=[], cpu_index=True).config)
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env={"PIP_CONFIG_FILE": str(written), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (value,) = re.findall(r"^global\.extra-index-url=(.*)$", asked.stdout, re.MULTILINE)
    assert ast.literal_eval(value).split() == [
        "https://a.example/simple",
        "https://b.example/simple",
        pipconf.CPU_INDEX,
    ]


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "https://name.invalid/"])
def test_a_registry_that_does_not_answer_is_not_reachable(url: str) -> None:
    assert not pipconf.reachable(url, seconds=2)
