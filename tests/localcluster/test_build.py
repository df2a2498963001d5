import threading
import time

import pytest

from localcluster import build
from localcluster.errors import LocalClusterError


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write_go(folder, version):
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho 'go version {version} linux/amd64'\n")
    program.chmod(0o755)


def test_a_go_that_is_too_old_is_named_with_what_to_do(tmp_path, monkeypatch):
    write_go(tmp_path, "go1.19.8")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(LocalClusterError, match=r"too old \(go version go1\.19\.8.*go\.dev/dl"):
        build.go()


@pytest.mark.parametrize("version", ["go1.25", "go1.26.8", "go2.0"])
def test_a_new_enough_go_is_taken(tmp_path, monkeypatch, version):
    write_go(tmp_path, version)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert build.go() == str(tmp_path / "go")


def test_a_failed_build_leaves_nothing_and_the_next_one_works(empty_cache):
    folder = empty_cache / "bin" / "tool-1"

    def fail(target):
        (target / "half").write_text("")
        raise LocalClusterError("the compiler failed")

    with pytest.raises(LocalClusterError):
        build.once(folder, fail)
    assert not folder.exists()
    assert not list(folder.parent.glob(".*.part"))
    assert (build.once(folder, lambda target: (target / "tool").touch()) / "tool").exists()


def test_two_builds_at_once_do_the_work_once(empty_cache):
    folder, made = empty_cache / "bin" / "tool-1", []

    def make(target):
        made.append(target)
        time.sleep(0.2)

    threads = [threading.Thread(target=build.once, args=(folder, make)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


@pytest.mark.usefixtures("empty_cache")
def test_the_compilers_last_words_are_quoted(tmp_path):
    (tmp_path / "go.mod").write_text("module broken\n\ngo 1.25\n")
    (tmp_path / "main.go").write_text("package main\nfunc main() { undefined() }\n")
    said = []
    with pytest.raises(LocalClusterError, match=r"(?s)the tool cannot be built.*undefined: undefined"):
        build.compile_into(
            tmp_path / "out",
            module=tmp_path,
            ldflags="",
            packages=["."],
            title="the tool",
            report=said.append,
        )
    assert said[0].startswith("compiling the tool")


def test_the_digest_follows_sources_but_not_tests_or_modules_below(tmp_path):
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / name).write_text("1")
    first = build.digest(tmp_path)
    (tmp_path / "main_test.go").write_text("1")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "go.mod").write_text("1")
    (tmp_path / "inner" / "main.go").write_text("1")
    assert build.digest(tmp_path) == first
    (tmp_path / "main.go").write_text("2")
    assert build.digest(tmp_path) != first


def test_the_cache_is_where_the_variable_says_else_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))
    assert build.cache() == tmp_path
    monkeypatch.delenv("CATFISH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache() == tmp_path / "catfish"


@pytest.mark.parametrize("metrics", [False, True], ids=["without metrics", "with metrics"])
def test_go_is_asked_for_only_where_something_is_to_be_compiled(empty_cache, monkeypatch, metrics):
    monkeypatch.setenv("PATH", str(empty_cache))
    monkeypatch.setattr(build, "USUAL_GO", empty_cache / "go")
    with pytest.raises(LocalClusterError, match="Go is missing"):
        build.require_compiler(metrics=metrics)
    for make in (build.kube, build.coredns, build.versitygw, *((build.metrics_server,) if metrics else ())):
        monkeypatch.setattr(build, "once", lambda folder, _: folder)
        make(print).parent.mkdir(parents=True)
    build.require_compiler(metrics=metrics)
