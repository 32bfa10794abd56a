"""Runs one of the scripts in `child/` and returns what it said, however it ended.

- An abort or a hang of native code ends the child and never us.
- What the child said before it ended is kept.
- The child gets the environment that is being looked at, because that decides which libraries are loaded.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelfetch.processes import Group, Streams, signal_of

_SCRIPTS = Path(__file__).parent / "child"

# A killed child is gone at once, unless the kernel holds it inside a driver; then it is left behind.
_BURIAL_S = 1.0


@dataclass(frozen=True)
class Answer:
    """What a child said; `ended` is `well`, `hung`, or how it died (`SIGABRT`, `status 1`)."""

    said: Mapping[str, object]
    ended: str
    last_words: str = ""


def ask(script: str, python: Path, environment: Mapping[str, str], *, limit_s: float, isolated: bool = True) -> Answer:
    """Run `child/<script>.py` and collect its lines of JSON. Blocks for `limit_s` at most.

    Raises:
        OSError: `python` cannot be started.
    """
    # -I -S: nothing of the user's Python is needed, and without it the child starts in a third of the time.
    options = ["-I", "-S"] if isolated else []
    child = Group(
        [str(python), *options, str(_SCRIPTS / f"{script}.py")],
        environment=environment,
        streams=Streams(stdout=subprocess.PIPE, stderr=subprocess.PIPE),
    )
    try:
        output, errors = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired as expired:
        child.kill_all()
        try:
            output, errors = child.communicate(timeout=_BURIAL_S)
        except subprocess.TimeoutExpired:
            output, errors = expired.stdout or b"", expired.stderr or b""
        return Answer(_said(output), "hung", _last_line(errors))
    return Answer(_said(output), _ending(child.returncode), _last_line(errors))


def _said(output: bytes) -> dict[str, object]:
    said: dict[str, object] = {}
    for line in output.decode(errors="replace").splitlines():
        try:
            facts = json.loads(line)
        except ValueError:
            # Native libraries print to stdout too, and an abort cuts a line short.
            continue
        if isinstance(facts, dict):
            said.update(facts)
    return said


def _ending(status: int) -> str:
    return signal_of(status) or (f"status {status}" if status else "well")


def _last_line(errors: bytes) -> str:
    lines = errors.decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""
