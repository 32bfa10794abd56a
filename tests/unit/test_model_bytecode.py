"""Where the byte code of torch and transformers is kept, and when nobody is given a place for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelfetch.model import bytecode

ROOT = Path(__file__).parents[2]
IMPORTS = "import torch, transformers\nfrom modelfetch.model import bytecode\nprint(bytecode.is_kept())"
ASKS = "import os\nfrom modelfetch.model import bytecode\nprint(bytecode.folder_for(os.environ))"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages that were never imported."""
    for package in ("torch", "transformers"):
        (tmp_path / "site" / package).mkdir(parents=True)
        (tmp_path / "site" / package / "__init__.py").write_text("LARGE = True\n")
    return tmp_path / "site"


def run(code: str, site: Path, **environment: str) -> str:
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}{os.pathsep}{ROOT}", **environment}
    given |= {"HOME": str(site.parent), "XDG_CACHE_HOME": str(site.parent / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_python_that_keeps_byte_code_by_itself_is_given_no_folder(site: Path) -> None:
    assert run(ASKS, site) == "None"
    assert run(IMPORTS, site) == "True"
    assert run(ASKS, site, PYTHONDONTWRITEBYTECODE="1") == "None", "it is there already"


def test_python_that_keeps_none_is_given_a_folder_that_only_its_user_may_write_to(site: Path) -> None:
    folder = Path(run(ASKS, site, PYTHONDONTWRITEBYTECODE="1"))
    assert folder == site.parent / "cache/modelfetch/bytecode-v1"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_compiled_into_the_folder_is_there_the_next_time(site: Path) -> None:
    folder = run(ASKS, site, PYTHONDONTWRITEBYTECODE="1")
    asks_only = "from modelfetch.model import bytecode\nprint(bytecode.is_kept())"
    assert run(asks_only, site, PYTHONPYCACHEPREFIX=folder) == "False"
    assert run(IMPORTS, site, PYTHONPYCACHEPREFIX=folder) == "True"
    assert run(asks_only, site, PYTHONPYCACHEPREFIX=folder) == "True"
    assert list(site.rglob("__pycache__")) == [], "nothing is written into the installation"


def test_a_folder_of_the_users_own_choice_is_left_alone(site: Path) -> None:
    assert run(ASKS, site, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=str(site.parent / "own")) == "None"


def test_a_folder_that_others_may_write_to_is_not_used(site: Path) -> None:
    folder = Path(run(ASKS, site, PYTHONDONTWRITEBYTECODE="1"))
    folder.chmod(0o770)
    assert run(ASKS, site, PYTHONDONTWRITEBYTECODE="1") == "None"


def test_a_folder_that_cannot_be_made_is_none(site: Path) -> None:
    (site.parent / "cache").write_text("no folder")
    assert run(ASKS, site, PYTHONDONTWRITEBYTECODE="1") == "None"


@pytest.mark.parametrize("foreign", [False, True])
def test_a_child_that_runs_a_models_own_code_leaves_no_byte_code_for_later_ones(site: Path, foreign: bool) -> None:
    code = (
        "import json, os, sys\nfrom pathlib import Path\nfrom modelfetch.model.isolation import child_environment\n"
        f"print(json.dumps(child_environment(os.environ, Path('.'), runs_foreign_code={foreign})))"
    )
    given = json.loads(run(code, site, PYTHONDONTWRITEBYTECODE="1"))
    assert (bytecode.PREFIX in given) is not foreign
    assert (bytecode.NONE_WRITTEN in given) is foreign
