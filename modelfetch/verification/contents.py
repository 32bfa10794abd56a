"""Opens what has the right bytes: can it work at all? Headers, indexes, JSON and names only; no tensor is read.

What is wrong here is wrong at the hub as well: fetching it again does not mend it.

- A weight file's header agrees with itself and with the file's length: `model.headers`, `model.gguf`.
- An index names shards that are there, and agrees with what is in them: `indexes`.
- What weights need beside them is beside them: `companions`. What a pull left out is told, not blamed.
- Pickled weights can run code when they are loaded: they are named.
- Whatever a file holds, its check ends in findings, costs a bounded amount, and hides no other one. What a finding
  quotes from a file is shown as what it is: no control characters, and not at any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any

from modelfetch.manifest import Entry
from modelfetch.model.gguf import read_gguf
from modelfetch.model.headers import BrokenHeader, read_safetensors
from modelfetch.store import Snapshot
from modelfetch.verification.companions import lacks
from modelfetch.verification.documents import LONGEST_BYTES, BadDocument, Document, read_json
from modelfetch.verification.indexes import Surroundings, index_flaws, is_index, part_flaws
from modelfetch.verification.report import Finding, Problem, Severity

_CONFIG = "config.json"
_PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth"})
# A pickle of protocol 2 or later, and the zip archive that torch puts one into.
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
_LONGEST_QUOTE = 300


def check_contents(snapshot: Snapshot, entries: Iterable[Entry]) -> Iterator[Finding]:
    """Findings about `entries` of the snapshot, whose bytes are known to be right."""
    contents = _Contents(snapshot)
    # An index is judged by the headers of its shards.
    for entry in sorted(entries, key=lambda entry: is_index(entry.path)):
        if check := contents.check_for(entry.path):
            try:
                yield from check(entry)
            except OSError as error:
                yield contents.finding(entry.path, Problem.UNREADABLE, error.strerror or str(error))
    yield from contents.check_companions()


class _Contents:
    """Opens files of one snapshot, and keeps what the later checks need of them."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._listed = frozenset(entry.path for entry in snapshot.manifest.entries)
        self._tensors: dict[str, frozenset[str]] = {}
        self._config: Any = None

    def check_for(self, path: str) -> Callable[[Entry], Iterator[Finding]] | None:
        """What opens the file at `path`, None where nothing does."""
        name, suffix = PurePosixPath(path).name, PurePosixPath(path).suffix
        if suffix == ".safetensors":
            return self._check_safetensors
        if suffix == ".gguf":
            return self._check_gguf
        if is_index(path):
            return self._check_index
        if suffix in _PICKLE_SUFFIXES:
            return self._check_pickle
        # Loaders read the JSON at the top, and configurations anywhere; the rest is data of any kind under that name.
        return self._check_json if suffix == ".json" and ("/" not in path or name.endswith(_CONFIG)) else None

    def check_companions(self) -> Iterator[Finding]:
        """Once every file was opened: what is not beside the weights."""
        for lack in lacks(self._listed, self._snapshot.paths, self._config):
            yield self.finding(lack.path, lack.problem, lack.what, lack.severity)

    def finding(self, path: str, problem: Problem, got: str, severity: Severity = Severity.ERROR) -> Finding:
        """What was seen at `path`; `got` may quote what the file says."""
        return Finding(self._snapshot.manifest.repo, path, problem, severity, got=_quotable(got))

    def _check_safetensors(self, entry: Entry) -> Iterator[Finding]:
        try:
            tensors = read_safetensors(self._snapshot.file(entry.path))
        except BrokenHeader as error:
            yield self.finding(entry.path, Problem.BAD_SAFETENSORS, str(error))
        else:
            self._tensors[entry.path] = frozenset(tensor.name for tensor in tensors)

    def _check_gguf(self, entry: Entry) -> Iterator[Finding]:
        try:
            read_gguf(self._snapshot.file(entry.path))
        except BrokenHeader as error:
            yield self.finding(entry.path, Problem.BAD_GGUF, str(error))
        for flaw in part_flaws(entry.path, self._around()):
            yield self.finding(entry.path, flaw.problem, flaw.what, flaw.severity)

    def _check_index(self, entry: Entry) -> Iterator[Finding]:
        try:
            document = self._document(entry)
        except BadDocument as error:
            yield self.finding(entry.path, Problem.BAD_JSON, f"an index that {error}")
            return
        yield from self._repeated(entry, document)
        for flaw in index_flaws(entry.path, document.value, self._around()):
            yield self.finding(entry.path, flaw.problem, flaw.what, flaw.severity)

    def _check_json(self, entry: Entry) -> Iterator[Finding]:
        try:
            document = self._document(entry)
        except BadDocument as error:
            yield self.finding(entry.path, Problem.BAD_JSON, str(error), Severity.WARNING)
            return
        if entry.path == _CONFIG:
            self._config = document.value
        yield from self._repeated(entry, document)

    def _repeated(self, entry: Entry, document: Document) -> Iterator[Finding]:
        if document.repeated:
            got = f"`{document.repeated[0]}` stands twice in one object, and a loader takes the last"
            yield self.finding(entry.path, Problem.BAD_JSON, got, Severity.WARNING)

    def _check_pickle(self, entry: Entry) -> Iterator[Finding]:
        with self._snapshot.file(entry.path).open("rb") as file:
            start = file.read(4)
        if start.startswith(_PICKLE_STARTS):
            yield self.finding(entry.path, Problem.PICKLE, "can run code when it is loaded", Severity.INFO)

    def _around(self) -> Surroundings:
        return Surroundings(self._listed, self._snapshot.paths, self._tensors, self._snapshot.whole_listing)

    def _document(self, entry: Entry) -> Document:
        with self._snapshot.file(entry.path).open("rb") as file:
            return read_json(file.read(LONGEST_BYTES + 1))


def _quotable(text: str) -> str:
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text[:_LONGEST_QUOTE])
    return shown + "…" if len(text) > _LONGEST_QUOTE else shown
