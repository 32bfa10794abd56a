"""Finds the models in places, each by the layout of the tool that made it.

- A folder of one's own is one model when it looks like one; else each folder below that does is one.
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
_MODEL_NAMES = frozenset({"config.json", "configuration.json", "model_index.json", "modules.json", "params.json"})
_WEIGHT_SUFFIXES = frozenset({".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".msgpack"})


def scan_place(place: Place, *, ours: Path | None = None) -> Scan:
    """Every model in `place`, and what is refused there. `ours` is where the store's own payloads are."""
    scan = Scan(ours)
    _SCANNERS[place.tool](place, scan)
    return scan


def _scan_folder(place: Place, scan: Scan) -> None:
    if place.root.is_dir():
        below = () if _looks_like_model(place.root) else tuple(_models_below(place.root, _DEEPEST))
        for folder in below or (place.root,):
            scan.add(_in_folder(folder, scan))
    elif problem := name_problem(place.root.name):
        scan.refuse(place.root, problem)
    elif found := file_behind(place.root, place.root.resolve().parent, scan):
        scan.add(Candidate(place.root.name, place.root, (replace(found, path=place.root.name),)))


def _in_folder(folder: Path, scan: Scan) -> Candidate:
    files = real_files(folder, scan, within=folder)
    if older := modelscope.local_folder(folder, files):
        return older
    noted = huggingface.local_folder(folder, files)
    if noted is None:
        return Candidate(folder.name, folder, files)
    of_commit = {found.path for found in noted.files}
    for found in files:
        if found.path not in of_commit:
            scan.refuse(folder / found.path, "it is not, or no longer, what the client downloaded")
    return noted


def _models_below(folder: Path, depth: int) -> Iterator[Path]:
    """The folders below `folder` that look like models. Links are not followed."""
    for path in _names(folder) if depth > 0 else ():
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            if _looks_like_model(path):
                yield path
            else:
                yield from _models_below(path, depth - 1)


def _looks_like_model(folder: Path) -> bool:
    return any(
        path.name in _MODEL_NAMES or path.suffix in _WEIGHT_SUFFIXES for path in _names(folder) if not path.is_dir()
    )


def _names(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


_SCANNERS: dict[Tool, Callable[[Place, Scan], None]] = {
    Tool.HUGGINGFACE: huggingface.scan_cache,
    Tool.MODELSCOPE: modelscope.scan_cache,
    Tool.OLLAMA: ollama.scan_cache,
    Tool.FOLDER: _scan_folder,
}
