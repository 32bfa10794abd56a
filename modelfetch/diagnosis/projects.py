"""Where the project that somebody works on keeps its environment. Reads names only, and starts nothing.

- `.venv` in the current folder or above it, as far up as the project goes: a file of its own says where it begins.
  Beyond that a folder may be anybody's.
- Poetry keeps environments in its cache, under a name that holds a digest of the project's folder.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

_BEGINS = ("pyproject.toml", ".git")


def environments_of(folder: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    """The folders that may be the environment of the project in `folder`, the likeliest first."""
    above = (folder, *folder.parents)
    root = next((each for each in above if any((each / name).exists() for name in _BEGINS)), folder)
    yield from (each / ".venv" for each in above[: above.index(root) + 1])
    yield from _of_poetry(root, environment)


def _of_poetry(root: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    caches = Path(environment.get("XDG_CACHE_HOME") or Path(environment.get("HOME") or Path.home()) / ".cache")
    poetry = Path(environment.get("POETRY_CACHE_DIR") or caches / "pypoetry")
    folder = Path(environment.get("POETRY_VIRTUALENVS_PATH") or poetry / "virtualenvs")
    digest = hashlib.sha256(os.path.normcase(root.resolve()).encode()).digest()
    yield from sorted(folder.glob(f"*-{base64.urlsafe_b64encode(digest).decode()[:8]}-py*"))
