"""Observations as lines of JSON and back: how they cross the border of a process.

- A line that is no observation becomes `Garbled`, never an exception.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from modelfetch.model.documents import read_value
from modelfetch.smoketest.observations import OBSERVATIONS, Garbled, Observation


def to_line(observation: Observation) -> str:
    """One line of JSON, without the line's end."""
    return json.dumps({"observation": type(observation).__name__, **asdict(observation)}, ensure_ascii=True)


def from_line(line: str) -> Observation:
    """What `to_line` wrote, or `Garbled` for anything else."""
    try:
        document = json.loads(line)
        return read_value(document, OBSERVATIONS[document.pop("observation")])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return Garbled(line[:200])
