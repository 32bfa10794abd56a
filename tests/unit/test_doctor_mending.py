"""What doctor mends by itself: shown before, undone after, and nothing else touched."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.config import load
from modelfetch.config.values import Index, Settings
from modelfetch.diagnosis import doctor
from modelfetch.diagnosis.mending import MENDINGS, plan
from modelfetch.errors import ConfigError, UsageError
from modelfetch.store import Store
from tests.other_tools import write
from tests.unit.doctor_machine import FakeMachine
from tests.wire.test_doctor_asking import answering


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def settings_of(fake: FakeMachine) -> Settings:
    return load(fake.environment)


def test_byte_code_is_compiled_for_the_python_that_is_looked_at_and_the_finding_is_gone(fake: FakeMachine) -> None:
    write(fake.site / "torch/__init__.py", b"x = 1\n")
    machine = fake.machine(PYTHONDONTWRITEBYTECODE="1")
    assert [finding.name for finding in doctor(names=["byte-code"], machine=machine)] == ["py.bytecode"]
    (step,) = plan("byte-code", machine, settings_of(fake))
    assert step.does == f"{sys.executable} -I -m compileall -q -j0 {fake.site / 'torch'}"
    assert not (fake.site / "torch/__pycache__").exists()
    step.carry_out()
    assert (fake.site / f"torch/__pycache__/__init__.{sys.implementation.cache_tag}.pyc").is_file()
    assert [finding.name for finding in doctor(names=["byte-code"], machine=machine)] == ["byte-code"]
    assert plan("byte-code", machine, settings_of(fake)) == []


def test_an_index_that_answers_is_set_and_pips_file_is_kept(fake: FakeMachine) -> None:
    file = write(fake.home / "config/pip/pip.conf", b"[global]\nindex-url = http://127.0.0.1:9/simple\ntimeout = 5\n")
    with answering(200) as (url, _):
        mirror = Index("mirror", "pypi", f"{url}/simple")
        settings = replace(settings_of(fake), indexes=(mirror,))
        machine = fake.machine(UV_DEFAULT_INDEX=mirror.url)
        (step,) = plan("indexes", machine, settings)
        assert f"write index-url = {mirror.url} into {file}" in step.does
        step.carry_out()
        assert plan("indexes", machine, settings) == []
        with pytest.raises(ConfigError, match="PIP_INDEX_URL"):
            plan("indexes", fake.machine(PIP_INDEX_URL="http://127.0.0.1:9/simple"), settings)
    assert f"index-url = {mirror.url}\ntimeout = 5" in file.read_text()
    assert "127.0.0.1:9/" in (file.parent / "pip.conf.before-modelfetch").read_text()


def test_no_index_that_answers_is_an_error(fake: FakeMachine) -> None:
    settings = replace(settings_of(fake), indexes=())
    with pytest.raises(ConfigError, match="no package index"):
        plan("indexes", fake.machine(PIP_INDEX_URL="http://127.0.0.1:9/simple"), settings)


def test_only_what_dead_pulls_left_behind_goes(fake: FakeMachine) -> None:
    home = Store.open(fake.home / "store").home
    dead, partial = home / "partial-v1" / f"pull-{'a' * 16}", home / "partial-v1" / ("ab" * 32)
    for file in (dead / "needs", partial / "data"):
        write(file, b"")
        for path in (file, file.parent):
            os.utime(path, (1, 1))
    (step,) = plan("locks", fake.machine(), settings_of(fake))
    assert str(dead) in step.does
    step.carry_out()
    assert (dead.exists(), partial.exists()) == (False, True)
    assert plan("locks", fake.machine(), settings_of(fake)) == []


def test_what_doctor_cannot_mend_is_a_usage_error(fake: FakeMachine) -> None:
    with pytest.raises(UsageError, match="does not mend `driver`"):
        plan("driver", fake.machine(), settings_of(fake))
    assert set(MENDINGS) == {"byte-code", "indexes", "locks"}


def test_the_command_shows_asks_and_does_nothing_in_a_dry_run(
    own_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(own_environment / "modelfetch")
    dead = store.partials / f"pull-{'a' * 16}"
    write(dead / "needs", b"")
    for path in (dead / "needs", dead):
        os.utime(path, (1, 1))
    assert run(["doctor", "--fix", "locks", "--dry-run"]) == 0
    assert f"{dead}\n  to undo it: nothing" in capsys.readouterr().out
    assert run(["doctor", "--fix", "locks"]) == 2
    assert "there is nobody to ask" in capsys.readouterr().err
    assert dead.exists()
    assert run(["doctor", "--fix", "locks", "--yes"]) == 0
    assert not dead.exists()
    assert run(["doctor", "--fix", "locks"]) == 0
    assert "there is nothing to mend" in capsys.readouterr().err
    assert run(["doctor", "--dry-run"]) == 2
