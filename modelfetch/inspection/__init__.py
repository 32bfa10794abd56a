"""Says what a model is: what it is built of, what it takes, how it reads text and what it would say next.

Judges nothing and prints nothing.

- What the files say (`inspection`) is read from them alone: no torch, no transformers, no weights.
- What a tokenizer or the weights say (`answers`) is asked of a child process (`asking`), which knows no token, is
  offline, and runs code of the model only with consent.
"""

from __future__ import annotations

from pathlib import Path

from modelfetch.inspection.answers import Answers
from modelfetch.inspection.asking import Permission, ask
from modelfetch.inspection.inspection import Inspection, Subject, read_inspection
from modelfetch.inspection.request import Questions
from modelfetch.store import Snapshot

__all__ = ["Answers", "Inspection", "Permission", "Questions", "Subject", "ask", "inspect"]


def inspect(model: Snapshot | Path) -> Inspection:
    """What the files of a snapshot, or in a folder, say of the model: read in milliseconds, nothing of it run.

    What only its tokenizer or its weights can tell is asked with `modelfetch.inspection.ask`.

    Raises:
        NotFoundError: the folder is not there or empty, or has no file of the quantisation that is meant.
    """
    if isinstance(model, Path):
        return read_inspection(Subject(str(model), str(model)))
    manifest = model.manifest
    return read_inspection(
        Subject(model.model, str(model.folder), manifest.commit, manifest.facts.licence, model.quant)
    )
