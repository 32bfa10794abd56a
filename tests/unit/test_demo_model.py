"""The demo's model is made in a child that works in a folder of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from modelfetch import demo_model

# Makes what the conversion makes, without the half minute.
_CONVERT = "import pathlib, sys; made = pathlib.Path(sys.argv[-1]); made.mkdir(); (made / 'model.safetensors').touch()"


@pytest.fixture(autouse=True)
def quick_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_model, "find_spec", lambda _: __spec__)
    monkeypatch.setattr(demo_model, "child_command", lambda *words: [sys.executable, "-c", _CONVERT, *words])


def test_a_relative_folder_is_as_good_as_an_absolute_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo_model.make_demo_model(Path("kept/model")) == tmp_path / "kept/model"
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["model"]


def test_what_was_made_is_readable_by_everybody(tmp_path: Path) -> None:
    made = demo_model.make_demo_model(tmp_path / "model")
    assert (made / "model.safetensors").stat().st_mode & 0o777 == 0o644
