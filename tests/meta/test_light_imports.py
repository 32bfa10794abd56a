"""What answers at once must not wait for what it does not use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from modelfetch.cli import COMMANDS

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


def _run(*arguments: str) -> tuple[int, list[str]]:
    """The exit status of a command line and which heavy modules it loaded."""
    command = [sys.executable, "-c", _LOADED, json.dumps(arguments), json.dumps(HEAVY)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
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
