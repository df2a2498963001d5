"""The benchmark of models in 8 bits cannot end well with something missing."""

import json
import sys
from contextlib import contextmanager, nullcontext

import pytest

from benchmarks import cpuid_mask, quantize
from catfish_server.tools.errors import ToolFailure

FAST = {"ms_eager": 100.0, "ms_int8": 25.0, "speed_ratio": 4.0, "size_ratio": 0.26}
RIGHT = {
    "n": 300,
    "agreement": 1.0,
    "lower_bound_95": 0.991,
    "least_share": 0.47,
    "accuracy_eager": 0.95,
    "accuracy_int8": 0.95,
    "size_ratio": 0.26,
}


@pytest.mark.parametrize(
    ("instruction_set", "ratio", "told"),
    [
        ("AVX2", 3.0, []),
        ("AVX2", 2.9, ["speed_ratio must be >= 3"]),
        ("AVX-512", 3.0, []),
        ("AVX-512 VNNI", 3.4, ["speed_ratio must be >= 3.5"]),
        ("AVX2 VNNI", 3.4, ["speed_ratio must be >= 3.5"]),
        ("AMX", 3.5, []),
    ],
)
def test_the_speed_that_is_wanted_depends_on_the_instructions(instruction_set, ratio, told):
    limits = quantize.speed_and_size(instruction_set)
    assert quantize.missed({**FAST, "speed_ratio": ratio}, limits) == told


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 299),
        ("agreement", 0.989),
        ("least_share", 0.29),
        ("accuracy_eager", 0.89),
        ("accuracy_eager", None),
        ("size_ratio", 0.31),
        ("size_ratio", float("nan")),
    ],
)
def test_a_figure_that_is_bad_or_missing_is_named(name, value):
    assert quantize.missed(RIGHT, quantize.ANSWERS) == []
    (told,) = quantize.missed({**RIGHT, name: value}, quantize.ANSWERS)
    assert told.startswith(f"{name} must be ")


class Measured:
    """Both files of a model, whose figures are known: for each instruction set in turn."""

    def __init__(self, *figures):
        self._figures = iter(figures)

    def figures(self):
        return {**dict.fromkeys(quantize.FIGURES), **next(self._figures)}


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    """Runs the command with these figures of both models; its exit code, what it printed, and what it wrote."""

    def run(resnet, trained, *, own="AVX2", mask=nullcontext):
        def failing(*_):
            raise ToolFailure("w.pt: there is no such file")

        monkeypatch.setattr(sys, "argv", ["quantize"])
        monkeypatch.setattr(quantize.cpus, "instruction_set", lambda: own)
        monkeypatch.setattr(quantize.cpuid_mask, "avx2", lambda _: mask())
        monkeypatch.setattr(quantize, "TARGET", tmp_path / "bench" / "quantize.json")
        monkeypatch.setattr(quantize, "resnet", failing if resnet is None else lambda _: Measured(*resnet))
        if trained is None:
            monkeypatch.setattr(quantize, "newest", lambda: None)
        else:
            monkeypatch.setattr(quantize, "trained", lambda *_: Measured(*trained))
        code = quantize.main()
        return code, capsys.readouterr().out, json.loads((tmp_path / "bench" / "quantize.json").read_text())

    return run


def test_it_ends_well_where_all_is_reached(bench):
    code, told, written = bench([FAST], [RIGHT])
    assert (code, [row["missed"] for row in written["rows"]]) == (0, ["", ""])
    assert [row["instruction_set"] for row in written["rows"]] == ["AVX2", "AVX2"]
    (heading,) = [line.split("   ") for line in told.splitlines() if "MODEL" in line]
    columns = [cell.strip() for cell in heading]
    assert {"INSTRUCTION SET", "N", "LOWER BOUND 95", "SIZE RATIO", "SPEED RATIO"} <= set(columns)


@pytest.mark.parametrize(
    ("ratios", "told"),
    [
        ([3.6, 3.1], ["", ""]),
        ([3.4, 3.1], ["speed_ratio must be >= 3.5", ""]),
        ([3.6, 2.9], ["", "speed_ratio must be >= 3"]),
    ],
)
def test_a_processor_with_more_is_measured_as_one_of_avx2_too(bench, ratios, told):
    resnet = [{**FAST, "speed_ratio": ratio} for ratio in ratios]
    code, _, written = bench(resnet, [RIGHT, RIGHT], own="AVX-512 VNNI")
    rows = written["rows"]
    assert [row["instruction_set"] for row in rows] == ["AVX-512 VNNI", "AVX2"] * 2
    assert [row["missed"] for row in rows] == [*told, "", ""]
    assert code == int(any(told))


def test_answers_that_are_wrong_on_avx2_alone_end_in_1(bench):
    code, _, written = bench([FAST, FAST], [RIGHT, {**RIGHT, "agreement": 0.98}], own="AVX-512 VNNI")
    assert (code, written["rows"][3]["missed"]) == (1, "agreement must be >= 0.99")


def test_avx2_that_cannot_be_measured_is_named_and_does_not_take_the_rest_along(bench):
    @contextmanager
    def unavailable():
        raise cpuid_mask.Unavailable("no cpuid_fault in /proc/cpuinfo")
        yield

    code, told, written = bench([FAST], [RIGHT], own="AVX-512", mask=unavailable)
    why = "not measured: no cpuid_fault in /proc/cpuinfo"
    assert (code, [row["missed"] for row in written["rows"]]) == (1, ["", why, "", why])
    assert told.count(why) == 2


def test_a_processor_of_another_kind_is_not_measured_as_one_of_avx2(bench):
    code, _, written = bench([FAST], [RIGHT], own="NEON")
    assert (code, [row["instruction_set"] for row in written["rows"]]) == (0, ["NEON", "NEON"])


def test_a_model_that_was_not_trained_is_not_passed_over(bench):
    code, told, written = bench([FAST], None)
    assert (code, written["rows"][1]["n"]) == (1, None)
    assert "not measured: no trained model here: run `make demo` first" in told


def test_a_model_that_cannot_be_measured_does_not_take_the_other_along(bench):
    code, told, written = bench(None, [RIGHT])
    assert (code, written["rows"][1]["n"], written["rows"][1]["missed"]) == (1, 300, "")
    assert "not measured: w.pt: there is no such file" in told


def test_a_missed_target_ends_in_1(bench):
    code, told, _ = bench([FAST], [{**RIGHT, "agreement": 0.98}])
    assert (code, "agreement must be >= 0.99" in told) == (1, True)


def test_the_resnet_has_the_head_of_the_book():
    shapes = {
        key: tuple(value.shape) for key, value in quantize.with_the_book_s_head().fc.state_dict().items()
    }
    assert shapes == {"0.weight": (500, 2048), "0.bias": (500,), "3.weight": (2, 500), "3.bias": (2,)}
