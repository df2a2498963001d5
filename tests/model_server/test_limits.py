"""The server under limits that the kernel holds it to: a control group of its own, of the version that there is.

tests/model_server/test_cpus.py and inference/engines/test_memory.py have the files of both versions.
"""

import json
import os
import re
import uuid

import pytest
from safetensors.torch import save_file
from torchvision import models

from localcluster import cgroups
from localcluster.errors import LocalClusterError
from tests.model_server.predictions.conftest import until

pytestmark = pytest.mark.process
MEMORY = str(768 * 2**20)
"""Bytes: more than an idle server of a resnet18 takes, and not as much more as building an engine takes."""

LIMITS = {
    "cpu.max": "100000 100000",
    "memory.max": MEMORY,
    "cpu.cfs_period_us": "100000",
    "cpu.cfs_quota_us": "100000",
    "memory.limit_in_bytes": MEMORY,
}
"""One processor and that much memory, in files of either version."""

JOINS = """
import os

for path in {paths!r}:
    with open(path, "w") as file:
        file.write(str(os.getpid()))
"""
"""As sitecustomize, which Python imports before anything of the program."""


@pytest.fixture
def group():
    """The files that a process is put into the limited group by. To be named before `program`, which ends before."""
    if os.geteuid() != 0:
        pytest.skip("a control group is made by root alone")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("a quota of one processor says nothing on a machine that has no other")
    name = f"of-a-test-{uuid.uuid4().hex[:8]}"
    try:
        cgroups.create(name)
    except LocalClusterError as error:
        pytest.skip(f"no control group can be made here: {error}")
    try:
        yield limited(name)
    finally:
        cgroups.kill(name)
        cgroups.remove(name)


def limited(name):
    found = {}
    for _, root in cgroups.trees():
        for file, limit in LIMITS.items():
            if (root / name / file).exists():
                (root / name / file).write_text(limit)
                found[file.partition(".")[0]] = str(root / name / "cgroup.procs")
    if found.keys() != {"cpu", "memory"}:
        pytest.skip(f"control groups limit only {sorted(found)} here")
    return sorted(set(found.values()))


@pytest.fixture
def confined(group, program, tmp_path, monkeypatch):
    """Starts the program inside of the group."""
    (tmp_path / "sitecustomize.py").write_text(JOINS.format(paths=group))
    monkeypatch.syspath_prepend(tmp_path)
    return program


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(models.resnet18(weights=None, num_classes=2).state_dict(), path)
    return path


def metric(running, name):
    """The labels of the samples of a metric."""
    text = running.probe("/metrics")[1].decode()
    found = re.findall(rf"(?m)^{name}{{(.*)}} \S+$", text)
    return [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for labels in found]


def test_a_server_takes_as_many_threads_and_tries_as_much_as_its_limits_leave_room_for(confined, weights):
    running = confined(
        CATFISH_MODEL_LOCATION=weights,
        CATFISH_IMAGE_SIZE=224,
        CATFISH_ENGINE="auto",
        CATFISH_ENGINE_DELAY_SECONDS=0,
    )
    running.until("/readyz", 200)
    (runtime,) = metric(running, "catfish_runtime_info")
    assert (runtime["engine"], runtime["threads"]) == ("torch", "1")
    assert json.loads(running.get("/")[1]) == {"status": "ok"}
    until(lambda: len(tried(running)) == 2)
    assert tried(running) == {"torchscript": "no_room", "onnxruntime": "no_room"}
    assert running.probe("/livez")[0] == 200


def tried(running):
    """What became of each engine."""
    return {labels["engine"]: labels["state"] for labels in metric(running, "catfish_engines_tried_total")}
