"""The functions of the library, under the names that the README gives them."""

from __future__ import annotations

import importlib
import operator
import subprocess
import sys

import pytest

import modelfetch

HOMES = {
    "pull": "pulling",
    "verify": "verification",
    "smoke": "smoketest",
    "inspect": "inspection",
    "doctor": "diagnosis",
}


@pytest.mark.parametrize("name", HOMES)
def test_a_function_is_found_by_its_name_whatever_was_imported_before(name: str) -> None:
    home = importlib.import_module(f"modelfetch.{HOMES[name]}")
    assert getattr(modelfetch, name) is getattr(home, name)
    assert name in dir(modelfetch)
    assert name in modelfetch.__all__


def test_a_name_that_is_not_there_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'push'"):
        operator.attrgetter("push")(modelfetch)


def test_nothing_is_imported_before_it_is_named() -> None:
    program = "import sys, modelfetch; print(sorted(name for name in sys.modules if name.startswith('modelfetch.')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
