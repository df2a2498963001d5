import io

import pytest

from localcluster import __main__ as cli
from localcluster import cluster, providers
from localcluster.errors import LocalClusterError
from localcluster.progress import Progress


@pytest.fixture(autouse=True)
def _no_cluster(tmp_path, monkeypatch):
    monkeypatch.setenv("CATFISH_CACHE", str(tmp_path))


class Recorder:
    """A provider that writes down what it was asked for."""

    def __init__(self):
        self.asked = []

    def up(self, *, size, **_):
        self.asked.append(("up", size))

    def down(self, *, purge, **_):
        self.asked.append(("down", purge))

    def load(self, names, _):
        self.asked.append(("load", *names))

    def kubeconfig(self):
        return cluster.Path("/admin.kubeconfig")


@pytest.fixture
def provider(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(providers, "chosen", lambda name: (recorder, f"provider: {name}"))
    return recorder


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["up"], ("up", 1)),
        (["up", "--nodes", "2"], ("up", 2)),
        (["down"], ("down", False)),
        (["down", "--purge"], ("down", True)),
        (["load-image", "a:1", "b:2"], ("load", "a:1", "b:2")),
    ],
    ids=["up", "up 2", "down", "purge", "load"],
)
def test_a_command_asks_the_provider(provider, words, asked):
    assert cli.main(words) == 0
    assert provider.asked == [asked]


@pytest.mark.usefixtures("provider")
def test_up_says_the_provider_first_and_the_kubeconfig_last(capsys):
    cli.main(["up", "--provider", "local"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "provider: local"
    assert lines[-1].strip() == "export KUBECONFIG=/admin.kubeconfig"


@pytest.mark.parametrize(
    "words", [["kubeconfig"], ["load-image", "a:1"], ["kubectl", "--", "get", "pods"]], ids=" ".join
)
def test_without_a_cluster_a_command_fails_in_one_line(words, capsys, monkeypatch):
    monkeypatch.setattr(cli.build, "kubectl", lambda _: cluster.Path("/kubectl"))
    assert cli.main(words) == 1
    said = capsys.readouterr()
    assert said.err == "localcluster: no local cluster is up; start one with `make cluster`\n"


def test_status_without_a_cluster_says_so_and_fails(capsys):
    assert cli.main(["status"]) == 1
    assert capsys.readouterr().out == "no local cluster is up\n"


@pytest.mark.usefixtures("provider")
def test_the_kubectl_that_takes_our_place_gets_the_clusters_kubeconfig(monkeypatch):
    called = []
    monkeypatch.setattr(cli.build, "kubectl", lambda _: cluster.Path("/kubectl"))
    monkeypatch.setattr(cli.os, "execve", lambda *words: called.append(words))
    cli.main(["kubectl", "--", "get", "pods", "-A"])
    ((program, words, environment),) = called
    assert (str(program), words) == ("/kubectl", ["kubectl", "get", "pods", "-A"])
    assert environment["KUBECONFIG"] == "/admin.kubeconfig"


@pytest.mark.parametrize(
    ("kind", "docker", "chosen", "why"),
    [
        (True, True, providers.Kind, "Docker answers and kind is installed"),
        (False, True, providers.Local, "kind is not installed"),
        (True, False, providers.Local, "no Docker daemon answers"),
    ],
    ids=["both", "docker alone", "kind alone"],
)
def test_auto_takes_kind_where_it_can_and_says_why(monkeypatch, kind, docker, chosen, why):
    monkeypatch.setattr(providers.shutil, "which", lambda _: "/bin/kind" if kind else None)
    monkeypatch.setattr(providers.engine, "docker_answers", lambda: docker)
    provider, reason = providers.chosen("auto")
    assert isinstance(provider, chosen)
    assert why in reason


@pytest.mark.parametrize("name", ["local", "kind", "current"])
def test_later_commands_mean_the_provider_of_the_last_up(name):
    assert isinstance(providers.remembered(), providers.Local)
    providers.remember(name, providers.chosen(name)[0])
    assert isinstance(providers.remembered(), type(providers.chosen(name)[0]))
    providers.forget(name)
    assert isinstance(providers.remembered(), providers.Local)


@pytest.fixture
def taken_down(monkeypatch):
    """The kinds of clusters that were taken down."""
    kinds = []
    for kind in (providers.Local, providers.Kind, providers.Current):
        monkeypatch.setattr(kind, "down", lambda self, **_: kinds.append(type(self).__name__))
    return kinds


def test_down_takes_all_down_that_was_brought_up_the_latest_first(taken_down):
    for name in ("local", "kind", "local", "current"):
        providers.remember(name, providers.chosen(name)[0])
    assert cli.main(["down"]) == 0
    assert cli.main(["down"]) == 0
    assert taken_down == ["Current", "Local", "Kind", "Local"]


def test_a_cluster_that_cannot_be_taken_down_is_not_forgotten_and_keeps_no_other(
    taken_down, monkeypatch, capsys
):
    def fail(*_, **__):
        raise LocalClusterError("no Docker daemon answers")

    for name in ("current", "kind", "local", "kind"):
        providers.remember(name, providers.chosen(name)[0])
    monkeypatch.setattr(providers.Kind, "down", fail)
    assert cli.main(["down"]) == 1
    assert capsys.readouterr().err == "localcluster: no Docker daemon answers\n"
    assert taken_down == ["Local", "Current"]
    assert list(providers.used()) == ["kind"]


def test_down_takes_also_a_local_cluster_down_that_never_came_up(taken_down):
    providers.remember("current", providers.Current())
    cluster.folder().mkdir(parents=True)
    cluster.host.remember(cluster.folder() / "host.json")
    assert cli.main(["down"]) == 0
    assert taken_down == ["Current", "Local"]


def test_the_current_cluster_is_never_taken_down():
    said = io.StringIO()
    providers.Current().down(purge=True, progress=Progress(stream=said))
    assert "stays as it is" in said.getvalue()


def test_a_step_ends_with_a_tick_and_its_seconds():
    said = io.StringIO()
    with Progress(stream=said, width=14).step("control plane"):
        pass
    assert said.getvalue() == "ok   control plane     0.0 s\n"


def test_a_step_that_fails_is_marked_and_its_error_travels_on():
    said = io.StringIO()
    with pytest.raises(LocalClusterError), Progress(stream=said).step("network"):
        raise LocalClusterError("no")
    assert said.getvalue().startswith("FAIL network")


class Log(io.StringIO):
    """Notes each write; is a terminal if told so."""

    def __init__(self, *, terminal=False):
        super().__init__()
        self.writes, self._terminal = [], terminal

    def write(self, text):
        self.writes.append(text)
        return super().write(text)

    def isatty(self):
        return self._terminal


def test_a_line_is_one_write_so_that_two_commands_may_share_a_log():
    log = Log()
    said = Progress(stream=log, width=8)
    with said.step("network"):
        said.say("one")
    assert log.writes == ["one\n", "ok   network     0.0 s\n"]


def test_a_line_on_a_terminal_does_not_run_into_the_step_that_is_shown():
    log = Log(terminal=True)
    said = Progress(stream=log, width=8)
    with said.step("network"):
        said.say("one")
    said.say("two")
    clear = "\r\x1b[K"
    assert log.writes == [
        "..   network",
        f"{clear}one\n..   network",
        f"{clear}ok   network     0.0 s\n",
        "two\n",
    ]
