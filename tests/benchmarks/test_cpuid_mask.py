"""What a program sees of its processor under the mask, and what it still does as without."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from benchmarks import cpuid_mask, quantize
from catfish_server import cpus

needs_cpuid_fault = pytest.mark.skipif(
    cpus.instruction_set() not in quantize.MORE_THAN_AVX2
    or "cpuid_fault" not in Path("/proc/cpuinfo").read_text().split(),
    reason="needs a processor with more than AVX2 and with cpuid_fault",
)
process = pytest.mark.process

FEATURES = """
import subprocess, sys, threading
def tell():
    from numpy._core._multiarray_umath import __cpu_features__ as found
    print(*sorted(name for name, there in found.items() if there and name.startswith("AVX")))
if sys.argv[1] == "thread":
    thread = threading.Thread(target=tell)
    thread.start()
    thread.join()
elif sys.argv[1] == "child":
    subprocess.run([sys.executable, *sys.orig_argv[1:-1], "main"], check=True)
else:
    tell()
"""
MULTIPLY = """
import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
print(session.run(None, {"a": numpy.full((8, 64), 255, numpy.uint8)})[0].max())
"""
PAIRS, SATURATED, EXACT = 32, 2**15 - 1, 2 * 255 * 127


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs Python with arguments under the mask; what came of it."""
    with cpuid_mask.avx2(tmp_path_factory.mktemp("mask")):
        environment = dict(os.environ)

    def of(*arguments):
        return python(*arguments, env=environment)

    return of


def python(*arguments, env=None):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@needs_cpuid_fault
@process
@pytest.mark.parametrize("where", ["main", "thread", "child"])
def test_the_processor_has_avx2_and_nothing_newer(run, where):
    done = run("-c", FEATURES, where)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["AVX", "AVX2"], "")


@needs_cpuid_fault
@process
def test_onnx_runtime_multiplies_with_the_instructions_of_avx2(run, tmp_path):
    """These add two products of 8 bits in 16 and saturate; VNNI's add in 32 bits and are exact."""
    weights = np.full((2 * PAIRS, 32), 127, np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["a", "b"], ["c"])],
        "products",
        [helper.make_tensor_value_info("a", TensorProto.UINT8, [8, 2 * PAIRS])],
        [helper.make_tensor_value_info("c", TensorProto.INT32, [8, 32])],
        [onnx.numpy_helper.from_array(weights, "b")],
    )
    path = tmp_path / "products.onnx"
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    done = run("-c", MULTIPLY, path)
    assert (done.returncode, done.stdout) == (0, f"{PAIRS * SATURATED}\n"), done.stderr
    if cpus.instruction_set() in quantize.WITH_VNNI:
        plain = python("-c", MULTIPLY, path)
        assert (plain.returncode, plain.stdout) == (0, f"{PAIRS * EXACT}\n"), plain.stderr


@needs_cpuid_fault
@process
@pytest.mark.parametrize("faulthandler", [True, False])
def test_a_program_that_touches_what_is_not_there_still_dies_of_it(run, faulthandler):
    options = ["-X", "faulthandler"] if faulthandler else []
    done = run(*options, "-c", "import ctypes, numpy; print('here', flush=True); ctypes.string_at(0)")
    assert (done.returncode, done.stdout) == (-signal.SIGSEGV, "here\n")
    assert ("Segmentation fault" in done.stderr) is faulthandler


@needs_cpuid_fault
@process
def test_a_program_s_own_handler_gets_the_signal_and_not_cpuid(run):
    code = (
        "import os, signal\n"
        "signal.signal(signal.SIGSEGV, lambda *_: print('told'))\n"
        "import numpy\n"
        "os.kill(os.getpid(), signal.SIGSEGV)\n"
    )
    done = run("-c", code)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


@needs_cpuid_fault
@process
def test_a_library_that_the_loader_passes_over_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(cpuid_mask, "_compiled", lambda *_: tmp_path / "nothing.so")
    with pytest.raises(cpuid_mask.Unavailable, match="torch sees AVX512"), cpuid_mask.avx2(tmp_path):
        pass


@pytest.mark.parametrize(
    ("flags", "path", "told"),
    [
        ("avx2 avx512f", None, "no cpuid_fault in /proc/cpuinfo"),
        ("avx2 cpuid_fault", "/nowhere", "no gcc"),
    ],
)
def test_what_is_missing_is_named_and_nothing_is_left_behind(monkeypatch, tmp_path, flags, path, told):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"flags\t\t: fpu {flags}\n")
    if path is not None:
        monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("LD_PRELOAD", "")
    with pytest.raises(cpuid_mask.Unavailable, match=told), cpuid_mask.avx2(tmp_path, tmp_path):
        pass
    assert os.environ["LD_PRELOAD"] == ""


def test_a_library_that_gcc_cannot_make_is_named(monkeypatch, tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("flags\t\t: fpu cpuid_fault\n")
    (tmp_path / "bad.c").write_text("no C\n")
    monkeypatch.setattr(cpuid_mask, "SOURCE", tmp_path / "bad.c")
    with (
        pytest.raises(cpuid_mask.Unavailable, match="gcc cannot compile"),
        cpuid_mask.avx2(tmp_path, tmp_path),
    ):
        pass
