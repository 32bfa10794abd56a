"""What a command prints reaches whoever reads it, or it is said why not: the rules of `cli._streams`."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest

from modelfetch import cli
from modelfetch.errors import READER_GONE, ConfigError, DiskFullError, UsageError
from modelfetch.store import Store
from tests.stored import bring

FULL = Path("/dev/full")
# No encoding but Unicode's own has all of these.
NAME, HOME = "说明🙂.txt", "模型🙂"
PRINTING = [["ls"], ["ls", "--json"], ["path", "owner/name"], ["--help"]]


def modelfetch(*arguments: str, stdout: int | IO[bytes] = subprocess.PIPE, **environment: str) -> Any:
    """A command in a process of its own, whose `stdout` may be anything."""
    return subprocess.run(
        [sys.executable, "-m", "modelfetch", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
        check=False,
    )


@pytest.fixture
def folder(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a model that is in the store."""
    monkeypatch.setenv("MODELFETCH_HOME", str(own_environment / HOME))
    return bring(Store.open(own_environment / HOME), {NAME: b"hello", "config.json": b"{"}).folder


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_stdout_that_is_full_is_said_to_be(arguments: list[str], unbuffered: str, folder: Path) -> None:
    with FULL.open("wb") as full:
        done = modelfetch(*arguments, stdout=full, PYTHONUNBUFFERED=unbuffered)
    told = done.stderr.decode().splitlines()
    assert done.returncode == DiskFullError.exit_status
    assert told[0] == "error: what is printed cannot be written to stdout"
    assert told[1].split() == ["why:", *os.strerror(errno.ENOSPC).split()]
    assert told[2].startswith("hint: ")
    assert len(told) == 3


def test_a_stdout_that_nobody_may_write_to_is_said_to_be(folder: Path) -> None:
    with Path(os.devnull).open("rb") as closed:
        done = modelfetch("ls", stdout=closed)
    assert done.returncode == UsageError.exit_status
    assert b"cannot be written to stdout" in done.stderr


@pytest.mark.parametrize("arguments", PRINTING, ids=" ".join)
def test_a_reader_that_has_gone_ends_a_command_quietly(arguments: list[str], folder: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = modelfetch(*arguments, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (READER_GONE, b"")


@pytest.mark.parametrize("encoding", ["latin-1", "gbk"])
def test_a_sign_that_an_encoding_lacks_is_escaped(encoding: str, folder: Path) -> None:
    done = modelfetch("config", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "\\U0001f642" in done.stdout.decode(encoding)


def test_where_the_encoding_is_ascii_no_locale_was_set_and_it_is_written_in_utf_8(folder: Path) -> None:
    done = modelfetch("config", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert HOME in done.stdout.decode()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "gbk"])
def test_a_document_is_json_in_every_encoding(encoding: str, folder: Path) -> None:
    done = modelfetch("verify", "owner/name", "--json", PYTHONIOENCODING=encoding)
    assert done.stderr.decode("ascii").count("error") == 0
    told = json.loads(done.stdout.decode(encoding))
    assert {finding["path"] for finding in told["findings"]} == {"config.json"}
    told = json.loads(modelfetch("config", "--json", PYTHONIOENCODING=encoding).stdout.decode(encoding))
    assert HOME in str(told)


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_path_is_printed_to_its_last_byte(encoding: str, folder: Path) -> None:
    done = modelfetch("path", "owner/name", PYTHONIOENCODING=encoding)
    assert done.stdout == os.fsencode(folder) + b"\n"


def test_a_command_in_a_folder_that_is_gone_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setenv("MODELFETCH_HOME", "below")
    assert cli.run(["ls"]) == UsageError.exit_status
    assert "the folder that this was started in is not there any more" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are in UTF-8 whatever the locale says")
def test_a_name_that_the_file_system_has_no_letters_for_is_named(folder: Path) -> None:
    done = modelfetch("verify", "owner/name", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", LC_ALL="C")
    assert done.returncode == ConfigError.exit_status
    assert b"cannot be a file's name where names are written in" in done.stderr
    assert b"hint: PYTHONUTF8=1" in done.stderr
