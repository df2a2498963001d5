import json

import pytest

from catfish_operator.plugin import __main__ as program
from catfish_operator.plugin import commands
from tests.operator.plugin.statuses import named


@pytest.mark.parametrize(
    "argv", [[], ["explain"], ["explode", "cat"], ["explain", "cat", "-o", "yaml"]], ids=str
)
def test_a_wrong_command_line_ends_with_code_2(argv, capsys):
    with pytest.raises(SystemExit, match="2"):
        program.main(argv)
    assert "usage: kubectl catfish" in capsys.readouterr().err


def test_the_help_names_every_verb_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit, match="0"):
        program.main(["--help"])
    said = capsys.readouterr().out
    assert all(verb in said for verb in commands.VERBS)
    assert "Exit codes: 0 done, 1 it cannot be done" in said


def test_there_is_a_line_of_help_for_every_verb():
    assert program.HELP.keys() == commands.VERBS.keys()


def test_an_error_is_one_line_on_stderr(tmp_path, capsys):
    assert program.main(["explain", "cat", "--kubeconfig", str(tmp_path / "none")]) == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: kubeconfig: ")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_answer_is_for_a_person_or_for_a_program(server, kubeconfig, capsys, output):
    server.answer = (200, json.dumps(named("settled")).encode())
    assert program.main(["explain", "cat", "--kubeconfig", kubeconfig, "-o", output]) == 0
    said = capsys.readouterr().out
    if output == "json":
        assert json.loads(said)["state"] == "UpToDate"
    else:
        assert said.startswith("cat (namespace pets) is up to date.\n")
    assert "\x1b" not in said
