"""Two commands that build at once: the work is done once, and what they say stays readable."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localcluster import baseimage

BUILDAH = """#!/bin/sh
# Knows the images that it has built, and ends a build when it is told to go on.
cd "$STATE"
stored() { echo "image-$(echo "$1" | tr '/:' '--')"; }
verb=$1
if [ $verb = inspect ]; then
    for name; do :; done
    cat "$(stored "$name")" 2>/dev/null || exit 1
    exit
fi
while [ $# -gt 0 ]; do
    case $1 in --tag) name=$2;; --label) label=$2;; --target) target=$2;; esac
    shift
done
[ "$target" = torch ] && target=
echo "$name${target:+ $target}" >> built
until [ -e go-on ]; do sleep 0.05; done
printf '{"OCIv1": {"config": {"Labels": {"%s": "%s"}}}}' "${label%%=*}" "${label#*=}" > "$(stored "$name")"
"""


@pytest.fixture
def state(tmp_path):
    """What the stand-in for buildah knows: the base image is there."""
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / f"image-{baseimage.NAME.replace('/', '-').replace(':', '-')}").write_text('{"OCIv1": {}}')
    return folder


@pytest.fixture
def building(tmp_path, state):
    """Starts `build-images`; what still runs at the end of the test is killed."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {"buildah": BUILDAH, "docker": "#!/bin/sh\nexit 1\n"}.items():
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "STATE": str(state),
        "CATFISH_CACHE": str(tmp_path / "cache"),
    }
    started = []

    def start(*words):
        command = [sys.executable, "-m", "localcluster", "build-images", *words]
        root = Path(__file__).parents[2]
        started.append(
            subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True, bufsize=1)
        )
        return started[-1]

    yield start
    (state / "go-on").touch()
    for process in started:
        process.kill()
        process.communicate()


def within(seconds, condition):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_an_image_that_two_commands_want_is_built_once(building, state):
    first = building("--only", "operator")
    within(30, (state / "built").exists)
    second = building("--only", "operator")
    assert second.stdout.readline() == "image catfish-operator:dev: another command builds it, waiting\n"
    (state / "go-on").touch()
    said = [process.communicate(timeout=60)[0].splitlines() for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert (state / "built").read_text() == "catfish-operator:dev\n"
    assert said[0][-1].startswith("built catfish-operator:dev in ")
    assert said[1] == ["image catfish-operator:dev is up to date"]


def test_several_versions_and_the_operator_are_built_by_one_command(building, state):
    (state / "go-on").touch()
    done = building("--version", "v1", "v2")
    done.communicate(timeout=120)
    assert done.returncode == 0
    torch, *names = (state / "built").read_text().splitlines()
    assert torch.startswith("localhost/catfish-torch:")
    assert names == ["catfish-server:v1", "catfish-server:v2", "catfish-operator:dev"]


def test_the_server_without_torch_is_built_by_itself_and_from_its_own_stage(building, state):
    (state / "go-on").touch()
    done = building("--only", "server-onnx", "--version", "v1")
    done.communicate(timeout=120)
    assert done.returncode == 0
    assert (state / "built").read_text() == "catfish-server-onnx:v1 server-onnx\n"
