"""Models in Ollama's folder: `manifests/<host>/<namespace>/<model>/<tag>` over `blobs/sha256-<digest>`.

Reads names and manifests; no bytes.

- The weights are taken, which are GGUF: of a model's layers those of the media types below. Templates and parameters
  are that program's own.
- A model's name there is no repository's: a hub may have another model of that name.
- A layer is found by its digest alone, which is its file's name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from modelfetch.adopt.candidate import Candidate, Found, Scan
from modelfetch.adopt.places import Place
from modelfetch.adopt.real_files import file_behind
from modelfetch.manifest import MAX_FILES, Digests, check_digest

# The library's models have neither host nor namespace in the names that people know.
_LIBRARY = ("registry.ollama.ai", "library")
# What the file of a layer is called, by its media type.
_PREFIXES = {
    "application/vnd.ollama.image.model": "",
    "application/vnd.ollama.image.projector": "mmproj-",
    "application/vnd.ollama.image.adapter": "adapter-",
}
_LARGEST_MANIFEST_BYTES = 1 << 20
_UNUSUAL = re.compile(r"[^A-Za-z0-9._-]+")


def scan_cache(place: Place, scan: Scan) -> None:
    """Every model that has a manifest."""
    manifests = place.root / "manifests"
    for count, path in enumerate(sorted(manifests.glob("*/*/*/*"))):
        if count >= MAX_FILES:
            scan.refuse(manifests, f"more than {MAX_FILES} models are in it")
            return
        if path.is_file() and (place.only is None or path.is_relative_to(place.only)):
            scan.add(_candidate(place.root, path, scan))


def _candidate(root: Path, path: Path, scan: Scan) -> Candidate:
    host, namespace, model, tag = path.relative_to(root / "manifests").parts
    place = "" if (host, namespace) == _LIBRARY else f"{namespace}/" if host == _LIBRARY[0] else f"{host}/{namespace}/"
    files: list[Found] = []
    for layer in _layers(path, scan):
        prefix = _PREFIXES.get(str(layer.get("mediaType")))
        sha256 = check_digest(str(layer.get("digest")).removeprefix("sha256:"), kind="sha256")
        if prefix is None or sha256 is None:
            continue
        if found := file_behind(root / "blobs" / f"sha256-{sha256}", root, scan):
            name = _file_name(prefix, model, tag, {other.path for other in files})
            files.append(Found(name, found.file, found.status, Digests(sha256=sha256), lfs=True))
    return Candidate(f"{place}{model}:{tag}", path, tuple(files))


def _layers(path: Path, scan: Scan) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size <= _LARGEST_MANIFEST_BYTES:
            layers = json.loads(path.read_bytes())["layers"]
            if isinstance(layers, list):
                return [layer for layer in layers if isinstance(layer, dict)]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    scan.refuse(path, "it is no manifest of Ollama's")
    return []


def _file_name(prefix: str, model: str, tag: str, taken: set[str]) -> str:
    stem = _UNUSUAL.sub("-", f"{prefix}{model}-{tag}")
    names = (f"{stem}{suffix}.gguf" for suffix in ("", *(f"-{number}" for number in range(2, len(taken) + 3))))
    return next(name for name in names if name not in taken)
