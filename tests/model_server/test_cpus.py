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


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"}, 1, id="v2-half"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "250000 100000\n"}, 3, id="v2-2.5"
        ),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 8, id="v2-none"
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
            },
            2,
            id="v2-parent",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/kubepods/x\n4:memory:/x\n0::/x\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            1,
            id="v1-inside-a-container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="v1-none",
        ),
        pytest.param({}, 8, id="no-cgroups"),
    ],
)
def test_threads_are_as_many_as_the_quota_allows(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cpus.available(tmp_path) == expected
