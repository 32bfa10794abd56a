"""What answers at once must not wait for what it does not use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from modelfetch.cli import COMMANDS
from tests import pulling
from tests.simulator import FakeHub

HEAVY = (
    "torch",
    "transformers",
    "huggingface_hub",
    "modelscope",
    "modelscope_hub",
    "urllib3",
    "requests",
    "httpx",
    "http.client",
    "ssl",
    "tqdm",
)
_LOADED = """
import json, os, sys
from modelfetch.cli import run
status = run(json.loads(sys.argv[1]))
print(json.dumps([status, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]), file=sys.stderr)
"""


# What brings and learns is not needed by a pull that finds everything there.
BRINGING = (
    "modelfetch.transfer.engine",
    "modelfetch.sdk",
    "modelfetch.experience",
    "huggingface_hub",
    "modelscope_hub",
)


def _run(*arguments: str, heavy: Sequence[str] = HEAVY, **environment: str) -> tuple[int, list[str]]:
    """The exit status of a command line and which heavy modules it loaded."""
    command = [sys.executable, "-c", _LOADED, json.dumps(arguments), json.dumps(heavy)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    status, loaded = json.loads(done.stderr.splitlines()[-1])
    return status, loaded


def test_help_loads_nothing_heavy() -> None:
    assert _run("--help") == (0, [])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_loads_nothing_heavy(name: str) -> None:
    assert _run(name, "--help") == (0, [])


def test_importing_the_package_loads_no_module_of_it() -> None:
    code = "import modelfetch, sys; print([name for name in sys.modules if name.startswith('modelfetch.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_pull_that_finds_everything_there_loads_nothing_that_brings(tmp_path: Path) -> None:
    with FakeHub({pulling.REPO: {"config.json": b"{}"}}) as hub:
        where = {
            "HOME": str(tmp_path),
            "HF_ENDPOINT": hub.url,
            "HF_HUB_CACHE": str(tmp_path / "hf"),
            "MODELFETCH_HOME": str(tmp_path / "store"),
        }
        command = ("pull", pulling.REPO, "--source", "hf")
        assert _run(*command, heavy=BRINGING, **where) == (0, ["modelfetch.transfer.engine", "modelfetch.experience"])
        assert _run(*command, heavy=BRINGING, **where) == (0, [])
