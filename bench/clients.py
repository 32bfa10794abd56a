"""Runs one command line in a folder and a home of its own, and says how it ended.

- No setting and no saved token of whoever runs the benchmark is seen; the vendors' telemetry is off.
- Beyond loopback every way ends at once, at a proxy that is not there.
- A model counts as delivered when every file of it is below the folder, under its name and with its sha256.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench import launch
from bench.model import MadeModel, sha256_of
from bench.values import REPO, WEIGHTS, State, Usage

# The discard service, which nobody runs: a connection to it is refused at once.
_NOWHERE = "http://127.0.0.1:9"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
_LOOK_EVERY_S = 0.005


@dataclass(frozen=True)
class Place:
    """Where a command runs and what its line may name."""

    folder: Path
    names: Mapping[str, str]
    limit_s: float

    def words(self, command: str) -> list[str]:
        """The command line with its names filled in, as a shell would cut it."""
        return shlex.split(Template(command).substitute(self.names))


def place(folder: Path, hub_urls: list[str], model: MadeModel, limit_s: float) -> Place:
    """A new folder to run in, with the addresses of all files in aria2c's form."""
    folder.mkdir(parents=True)
    names = {"MODEL": str(model.folder), "CORES": str(os.cpu_count() or 1), "SHA256": model.sha256.get(WEIGHTS, "")}
    names |= dict(zip(("HUB", "SECOND"), hub_urls, strict=False))
    if hub_urls:
        lines = [f"{hub_urls[0]}/{REPO}/resolve/main/{name}\n  out={name}\n" for name in model.files]
        (folder / "urls.txt").write_text("".join(lines))
    return Place(folder, names, limit_s)


def find(program: str) -> str | None:
    """Where a program is, or None; those beside this Python come first."""
    return shutil.which(program, path=PATH)


def run(command: str, where: Place) -> Usage:
    """Run a command to its end, or stop it when it takes too long."""
    report = where.folder / "usage.json"
    began = time.monotonic()
    with _started(command, where, report) as process:
        try:
            process.wait(where.limit_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            return Usage(time.monotonic() - began, 0.0, 0, None)
    return Usage(**json.loads(report.read_text()))


def run_until(command: str, where: Place, is_enough: Callable[[], bool]) -> None:
    """Start a command and kill it, its children too, when it has done enough; one that ends before is let be."""
    deadline = time.monotonic() + where.limit_s
    with _started(command, where, where.folder / "usage.json") as process:
        while process.poll() is None and not is_enough() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)
        _kill(process)


def judge(usage: Usage, where: Place, wanted: Mapping[str, str]) -> State:
    """How a run ended, by its exit status and by what lies in its folder; `wanted` are sha256s by name."""
    if usage.exit_status is None:
        return State.TOO_LONG
    if usage.exit_status != 0:
        return State.FAILED
    return State.RIGHT if all(_is_there(where.folder, *item) for item in wanted.items()) else State.WRONG


def drop_from_page_cache(folder: Path) -> None:
    """Let the next reader of the files below `folder` find them on the disk only."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _started(command: str, where: Place, report: Path) -> subprocess.Popen[bytes]:
    launcher = [sys.executable, "-I", "-S", launch.__file__, str(report)]
    with (where.folder / "output.log").open("ab") as output:
        return subprocess.Popen(
            [*launcher, *where.words(command)],
            cwd=where.folder,
            env=_environment(where),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and all that it started, without a chance to tidy up."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _environment(where: Place) -> dict[str, str]:
    settings = {
        "PATH": PATH,
        "HOME": str(where.folder),
        "LC_ALL": "C.UTF-8",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "no_proxy": "127.0.0.1,localhost",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    settings |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), _NOWHERE)
    if "HUB" in where.names:
        settings |= dict.fromkeys(("HF_ENDPOINT", "MODELSCOPE_ENDPOINT"), where.names["HUB"])
    return settings


def _is_there(folder: Path, name: str, sha256: str) -> bool:
    # Links and what they lead to are one file, and it is read once.
    found = {path.stat().st_ino: path for path in folder.rglob(name) if path.is_file()}
    return bool(found) and all(sha256_of(path) == sha256 for path in found.values())
