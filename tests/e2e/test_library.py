"""What docs/library.md shows is typed as it says, for a program that has only the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed import ROOT, scripts

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def checked(program: str, folder: Path) -> str:
    """What mypy, as strict as it can be, says of a program."""
    pytest.importorskip("mypy", reason="there is no mypy to ask")
    (folder / "program.py").write_text(program, encoding="utf-8")
    python = scripts() / "python"
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), "program.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_programs_of_the_page_are_typed_and_a_name_that_is_not_there_is_noticed(tmp_path: Path) -> None:
    page = (ROOT / "docs/library.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    assert "Success" in checked(program, tmp_path)
    assert '"push"' in checked(f"{program}\nmodelfetch.push()\n", tmp_path)
