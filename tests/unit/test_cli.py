"""The command line as a whole: names, exit statuses, and what a foreseen and an unforeseen failure look like."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modelfetch import cli
from modelfetch.cli._output import say
from modelfetch.errors import NotFoundError


@pytest.mark.parametrize("word", ["pull", "download"])
def test_usage_names_the_command_and_not_its_alias(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([word]) == 2
    assert "Usage: modelfetch pull " in capsys.readouterr().err


def test_a_command_that_is_none_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["pul"]) == 2
    assert "pul" in capsys.readouterr().err


def test_every_listed_command_is_there_and_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    for name in [*cli.COMMANDS, *cli.ALIASES]:
        assert cli.run([name, "--help"]) == 0
        assert "Usage: modelfetch" in capsys.readouterr().out


def test_a_foreseen_failure_ends_with_its_status_and_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["path", "own/absent"]) == NotFoundError.exit_status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "hint: " in printed.err
    assert "Traceback" not in printed.err


def test_what_a_stranger_wrote_commands_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(arguments: list[str]) -> int:
        say("licence: \x1b]0;mine\x07")
        raise NotFoundError(f"`{arguments[0]}`", facts={"answer": "\x1b[2J\u202eno"})

    monkeypatch.setattr(cli, "_run", refuse)
    cli.run(["own/name"])
    shown = capsys.readouterr().err
    assert shown == "licence: \\x1b]0;mine\\x07\nerror: `own/name`\n  answer: \\x1b[2J\\u202eno\n"


def test_a_bug_is_called_one_and_shown_whole_on_request(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("surprise")

    monkeypatch.setattr("modelfetch.config.load", broken)
    assert cli.run(["pull", "own/name"]) == 1
    assert "this is a bug in modelfetch: RuntimeError: surprise" in capsys.readouterr().err
    monkeypatch.setenv("MODELFETCH_DEBUG", "1")
    with pytest.raises(RuntimeError, match="surprise"):
        cli.run(["pull", "own/name"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    shell = f"{sys.executable} -m modelfetch --help | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"
    assert "Traceback" not in done.stderr
