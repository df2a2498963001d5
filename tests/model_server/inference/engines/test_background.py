"""The search for an engine beside a server that answers, with real child processes."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catfish_server.inference.classifier import Classifier
from catfish_server.inference.engines import background, child, probes, shelf
from catfish_server.inference.engines.child import Child, TrialFailed
from catfish_server.inference.engines.shelf import Shelf
from catfish_server.inference.engines.trial import Job
from catfish_server.lifecycle import Lifecycle, Stage
from catfish_server.settings import IMAGENET_MEAN, IMAGENET_STD
from tests.model_server.engines import CLASSES, SIZE, images


@pytest.fixture(scope="session")
def searched():
    """Where a search has kept what it found; made by the first test that searches."""
    return {}


@pytest.fixture
def kept(search, searched, tmp_path_factory):
    """A directory in which ONNX Runtime has been chosen for the model, a copy for each test."""
    if not searched:
        directory = tmp_path_factory.mktemp("kept") / "engines"
        done = search(directory).run()
        assert [engine for engine, _ in done.swapped] == ["onnxruntime"]
        assert ("onnxruntime", "chosen") in done.counted
        searched["directory"] = directory
    copy = tmp_path_factory.mktemp("copy") / "engines"
    shutil.copytree(searched["directory"], copy)
    return copy


@pytest.fixture
def no_child(kept, monkeypatch):  # noqa: ARG001 (which may have to start one)
    """Fails the test that starts a child."""
    monkeypatch.setattr(child.subprocess, "Popen", lambda *_args, **_more: pytest.fail("a child was started"))


def entry(directory):
    (found,) = Path(directory).glob("*/choice.json")
    return found.parent


@pytest.mark.usefixtures("no_child")
def test_what_was_chosen_answers_as_eager_does_and_leaves_nothing_behind(kept, search, source):
    done = search(kept).run()
    ((engine, model),) = done.swapped
    batch = images(7, SIZE)
    assert engine == "onnxruntime"
    assert probes.difference([model(batch)], [source.model(batch)]) < probes.TOLERANCE["cpu"]
    assert sorted(path.name for path in Path(kept).iterdir()) == sorted([entry(kept).name, "lock"])


@pytest.mark.usefixtures("no_child")
def test_the_second_start_builds_nothing(kept, search):
    assert [engine for engine, _ in search(kept).run().swapped] == ["onnxruntime"]


@pytest.mark.usefixtures("no_child")
def test_where_eager_was_the_fastest_the_second_start_does_nothing(kept, search):
    Shelf(kept).keep(entry(kept).name, engine="eager")
    assert search(kept).run().swapped == []


@pytest.mark.usefixtures("no_child")
def test_an_engine_that_was_kept_and_disagrees_is_not_used_nor_loaded_again(kept, search, caplog):
    path = entry(kept) / shelf.EXPECTED
    shelf.write_answers(path, [answer * np.float32(1.01) for answer in shelf.answers(path)])
    done = search(kept).run()
    assert (done.swapped, done.counted) == ([], [("onnxruntime", "disagrees")])
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "Engine onnxruntime: disagrees, its answers differ by 0.0099" in record.getMessage()
    assert Shelf(kept).find(entry(kept).name).engine == "eager"


@pytest.mark.usefixtures("no_child")
def test_a_tiny_model_is_not_worth_trying(search, tmp_path, caplog):
    with caplog.at_level("INFO"):
        done = search(tmp_path / "engines", engine="auto", tiny_milliseconds=1e6).run()
    assert done.swapped == []
    assert "no other engine is worth trying" in caplog.text
    assert background.TINY_MILLISECONDS == 3.0


@pytest.mark.usefixtures("no_child")
def test_what_does_not_fit_into_memory_is_skipped_and_it_is_said(search, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("catfish_server.inference.engines.memory.room", lambda: 100 * 2**20)
    done = search(tmp_path / "engines", engine="auto", tiny_milliseconds=0.0).run()
    assert done.counted == [("torchscript", "no_room"), ("onnxruntime", "no_room")]
    assert "MiB, and 100 are left" in caplog.text
    assert not list(tmp_path.glob("engines/*/choice.json")), "the next pod may have more"


@pytest.mark.usefixtures("no_child")
def test_what_was_kept_is_not_loaded_into_a_smaller_pod_and_stays_for_a_larger_one(
    kept, search, caplog, monkeypatch
):
    with monkeypatch.context() as smaller:
        smaller.setattr("catfish_server.inference.engines.memory.room", lambda: 100 * 2**20)
        done = search(kept).run()
    assert (done.swapped, done.counted) == ([], [("onnxruntime", "no_room")])
    assert "MiB, and 100 are left" in caplog.text
    assert [engine for engine, _ in search(kept).run().swapped] == ["onnxruntime"]


FULL = "[enforce fail at inline_container.cc:672] . PytorchStreamWriter failed writing file data/0: file write failed"
"""What torch 2.13.0 raises where the disk is full, a RuntimeError."""


def test_a_disk_that_is_full_leaves_eager_and_nothing_behind(search, tmp_path, monkeypatch, caplog):
    def save(_state, path):
        path.write_bytes(b"half")
        raise RuntimeError(FULL)

    monkeypatch.setattr(child.torch, "save", save)
    done = search(tmp_path / "engines").run()
    assert done.swapped == []
    assert ("trial", "failed") in done.counted
    assert "the weights cannot be written: " in caplog.text
    assert not any(record.exc_info for record in caplog.records)
    assert not list(tmp_path.rglob("trial"))


def test_a_directory_that_cannot_be_written_to_leaves_eager(search, tmp_path, caplog):
    (tmp_path / "engines").write_text("a file")
    assert search(tmp_path / "engines").run().swapped == []
    assert "No other engine than eager is tried" in caplog.text


@pytest.mark.usefixtures("no_child")
def test_nothing_is_tried_before_the_server_is_ready_nor_once_it_drains(search, tmp_path):
    lifecycle = Lifecycle()
    made = search(tmp_path / "engines", lifecycle=lifecycle)
    made.background.start()
    assert not made.background.join(0.5)
    lifecycle.enter(Stage.DRAINING)
    assert made.background.join(5)


def test_no_request_fails_while_the_engine_is_swapped(kept, source):  # long: a whole swap, step by step
    lifecycle = Lifecycle()
    classifier = Classifier(
        source.model,
        CLASSES,
        image_size=SIZE,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        unknown_threshold=None,
        threads=2,
        timeout_seconds=300,
    )
    batch = images(2, SIZE)
    expected = source.model(batch)
    swapped = threading.Event()

    def swap(model, *, engine):
        classifier.replace(model, replace(classifier.runtime, engine=engine))
        swapped.set()

    def ask():
        """Until some after the swap; the largest difference from eager."""
        worst, after = 0.0, 0
        while after < 3:
            after += swapped.is_set()
            worst = max(worst, probes.difference([classifier.infer(batch)], [expected]))
        return worst

    search = background.Background(
        source,
        replace=swap,
        lifecycle=lifecycle,
        directory=kept,
        engine="onnxruntime",
        delay_seconds=0.0,
    )
    classifier.on_close(search.close)
    try:
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            search.start()
            lifecycle.enter(Stage.READY)
            differences = [asked.result(timeout=600) for asked in asking]
    finally:
        classifier.close()
    assert max(differences) < probes.TOLERANCE["cpu"]
    assert classifier.runtime.engine == "onnxruntime"


JOB = Job(
    architecture="resnet18",
    classes=CLASSES,
    image_size=SIZE,
    device="cpu",
    engines=("torchscript",),
    forced=True,
    cpu_seconds=60,
)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(condition, *, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_drain_ends_a_trial_at_once(search, tmp_path, monkeypatch):
    pids = []
    popen = child.subprocess.Popen
    monkeypatch.setattr(
        child.subprocess, "Popen", lambda *args, **more: pids.append(made := popen(*args, **more)) or made
    )
    made = search(tmp_path / "engines")
    made.background.start()
    until(lambda: pids)
    made.lifecycle.enter(Stage.DRAINING)
    began = time.monotonic()
    assert made.background.join(10)
    assert time.monotonic() - began < 5
    assert (made.swapped, alive(pids[0].pid)) == ([], False)
    assert [path.name for path in (tmp_path / "engines").iterdir()] == ["lock"]


def test_a_trial_ends_with_its_parent(tmp_path, source):
    with Child(tmp_path, JOB, source.module) as started:
        started._process.stdin.close()
        assert started._process.wait(60) == 1


@pytest.mark.parametrize(
    ("trial", "says", "lasting"),
    [
        ((replace(JOB, cpu_seconds=1), {}), "it took more than 1 s of processor time", True),
        ((JOB, {"room": lambda: 2**20}), "memory is running out", False),
        ((replace(JOB, architecture="resnet34"), {}), "ArchitectureMismatch: ", True),
    ],
    ids=["processor-time", "memory", "an-error"],
)
def test_a_trial_that_fails_says_why_in_one_line(tmp_path, source, trial, says, lasting):
    job, options = trial
    with pytest.raises(TrialFailed) as caught, Child(tmp_path, job, source.module, **options) as started:
        started.outcomes(leaving=lambda: False)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (caught.value.engine, caught.value.lasting) == ("trial", lasting)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_that_the_kernel_kills_may_be_tried_again(tmp_path, source):
    with Child(tmp_path, JOB, source.module) as started:
        started._process.send_signal(signal.SIGKILL)
        with pytest.raises(TrialFailed, match="ended by SIGKILL") as caught:
            started.outcomes(leaving=lambda: False)
    assert not caught.value.lasting


def test_where_a_quota_limits_the_container_a_trial_runs_now_and_then_and_ends_all_the_same(tmp_path, source):
    with Child(tmp_path, JOB, source.module, limited=True) as started:
        stopped = threading.Event()

        def watch():
            state = Path(f"/proc/{started._process.pid}/stat")
            while started._process.returncode is None:
                if state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "T":
                    stopped.set()
                time.sleep(0.01)

        watching = threading.Thread(target=watch)
        watching.start()
        outcomes = started.outcomes(leaving=lambda: False)
        watching.join()
    assert stopped.is_set()
    assert [outcome.state.value for outcome in outcomes] == ["slower", "chosen"]
