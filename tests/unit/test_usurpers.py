"""A module of somebody's that stands before Python's own is named, in whatever way it fails."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from modelfetch.cli._usurpers import usurped


@pytest.mark.parametrize("text", ["", "x = 1\n"])
def test_a_module_on_pythonpath_that_stands_before_pythons_own_is_no_bug_of_ours(tmp_path: Path, text: str) -> None:
    (tmp_path / "random.py").write_text(text)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    command = [sys.executable, "-c", "from modelfetch.cli import main; main()", "doctor", "interpreter", "--offline"]
    ended = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert ended.returncode == 3
    assert f"`{tmp_path / 'random.py'}` stands in the place of Python's own `random`" in ended.stderr
    assert ended.stderr.rstrip().endswith("hint: unset PYTHONPATH")


def test_other_errors_are_told_as_before() -> None:
    assert usurped(ValueError("no")) is None
    assert usurped(ImportError("no", name="torch", path="/x/torch.py")) is None
    assert usurped(ImportError("no", name="random", path=random.__file__)) is None
    assert usurped(AttributeError("no", name="x", obj=random)) is None
    assert usurped(AttributeError("no", name="x", obj="text")) is None
