"""The wheel, built once a session and installed into an environment of its own, as a user has it."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def wheel() -> Path:
    """The wheel of this checkout."""
    target = _session_folder() / "dist"
    _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(ROOT))
    (built,) = target.glob("*.whl")
    return built


@cache
def scripts() -> Path:
    """The folder of `modelfetch` and `python` of an environment that has the wheel, and the tests' other packages."""
    environment = _session_folder() / "environment"
    _run(sys.executable, "-m", "venv", "--without-pip", str(environment))
    python = environment / "bin" / "python"
    _run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(wheel()),
    )
    # Behind the wheel: a checkout that is installed editable is not seen, because a .pth file in there is not read.
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return environment / "bin"


@cache
def _session_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="modelfetch-wheel-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
