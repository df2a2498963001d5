import pytest

from catfish_server import cpus


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("flags\t\t: fpu sse avx avx2 avx512f avx512_vnni amx_tile", "AMX"),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", "AVX-512 VNNI"),
        ("flags\t\t: fpu avx2 avx512f", "AVX-512"),
        ("flags\t\t: fpu avx2 avx_vnni", "AVX2 VNNI"),
        ("flags\t\t: fpu avx avx2", "AVX2"),
        ("flags\t\t: fpu avx", "generic"),
        ("Features\t: fp asimd evtstrm sve", "SVE"),
        ("Features\t: fp asimd evtstrm", "NEON"),
        ("bugs\t\t: avx2", "generic"),
    ],
)
def test_the_widest_instructions_are_named(tmp_path, line, name):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\n{line}\n\nprocessor\t: 1\n{line}\n")
    assert cpus.instruction_set(tmp_path) == name


def test_where_nothing_is_told_they_are_generic(tmp_path):
    assert cpus.instruction_set(tmp_path) == "generic"
