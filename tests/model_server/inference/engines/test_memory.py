import pytest

from catfish_server.inference.engines import memory

V2 = {
    "proc/self/cgroup": "0::/pod/server\n",
    "proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 8000 kB\n",
    "sys/fs/cgroup/pod/server/memory.max": "5000000\n",
    "sys/fs/cgroup/pod/server/memory.current": "3000000\n",
    "sys/fs/cgroup/pod/server/memory.stat": "anon 1\ninactive_file 500000\n",
    "sys/fs/cgroup/pod/memory.max": "max\n",
    "sys/fs/cgroup/pod/memory.current": "4000000\n",
}
V1 = {
    "proc/self/cgroup": "9:name=systemd:/\n4:memory:/pod\n1:cpu:/\n",
    "proc/meminfo": "MemAvailable: 8000 kB\n",
    "sys/fs/cgroup/memory/pod/memory.limit_in_bytes": "4000000\n",
    "sys/fs/cgroup/memory/pod/memory.usage_in_bytes": "3500000\n",
    "sys/fs/cgroup/memory/pod/memory.stat": "inactive_file 1\ntotal_inactive_file 250000\n",
}


@pytest.mark.parametrize(
    ("files", "room"),
    [
        pytest.param(V2, 2_500_000, id="version-2"),
        pytest.param({**V2, "sys/fs/cgroup/pod/memory.max": "4100000"}, 100_000, id="a-parent-has-less"),
        pytest.param(V1, 750_000, id="version-1"),
        pytest.param({"proc/meminfo": "MemAvailable: 8000 kB\n"}, 8_192_000, id="no-limit-but-the-machine"),
        pytest.param({}, float("inf"), id="another-system"),
    ],
)
def test_the_room_is_what_the_tightest_limit_leaves(tmp_path, files, room):
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory.room(tmp_path) == room


def test_the_room_of_this_machine_is_told():
    assert memory.room() > 0
    memory.give_back()
