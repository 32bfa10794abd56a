"""Finds the models in places, each by the layout of the tool that made it.

- A folder of one's own is one model when files lie in it; else each folder below it may be one.
- A place that is not there, or cannot be read, has no models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from modelfetch.adopt import huggingface, modelscope, ollama
from modelfetch.adopt.candidate import Candidate, Scan, name_problem
from modelfetch.adopt.places import Place, Tool
from modelfetch.adopt.real_files import file_behind, real_files

# As deep as people file models: by hub, by owner, by name.
_DEEPEST = 3


def scan_place(place: Place, *, ours: Path | None = None) -> Scan:
    """Every model in `place`, and what is refused there. `ours` is where the store's own payloads are."""
    scan = Scan(ours)
    _SCANNERS[place.tool](place, scan)
    return scan


def _scan_folder(place: Place, scan: Scan) -> None:
    if place.root.is_dir():
        for folder in _models_below(place.root, _DEEPEST):
            scan.add(_in_folder(folder, scan))
    elif problem := name_problem(place.root.name):
        scan.refuse(place.root, problem)
    elif found := file_behind(place.root, (place.root.parent,), scan):
        scan.add(Candidate(place.root.name, place.root, (found,)))


def _in_folder(folder: Path, scan: Scan) -> Candidate:
    if modelscope.has_marks(folder):
        return modelscope.repository_in(folder, scan)
    files = real_files(folder, scan)
    noted = huggingface.local_folder(folder, files)
    if noted is None:
        return Candidate(folder.name, folder, files)
    of_commit = {found.path for found in noted.files}
    for found in files:
        if found.path not in of_commit:
            scan.refuse(folder / found.path, "it is not, or no longer, what the client downloaded")
    return replace(noted, files=noted.files)


def _models_below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        names = sorted(folder.iterdir())
    except OSError:
        return
    if any(not path.is_dir() and not path.name.startswith(".") for path in names):
        yield folder
    elif depth > 0:
        for path in names:
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _models_below(path, depth - 1)


_SCANNERS: dict[Tool, Callable[[Place, Scan], None]] = {
    Tool.HUGGINGFACE: huggingface.scan_cache,
    Tool.MODELSCOPE: modelscope.scan_cache,
    Tool.OLLAMA: ollama.scan_cache,
    Tool.FOLDER: _scan_folder,
}
