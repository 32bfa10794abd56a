"""Where children keep the byte code of torch and transformers, if Python keeps none beside the packages.

It compiles some 2,700 modules at every start then (77 MB), which takes longer than all else. A child that is given a
folder of the user's own writes there what it compiles, and finds it there the next time; Python itself notices a source
that has changed.

- Nothing is written into an installation.
- What lies in such a folder is run: one that somebody else may write to is not used.
- Where the user has chosen a folder (PYTHONPYCACHEPREFIX), it is theirs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import platformdirs

PREFIX = "PYTHONPYCACHEPREFIX"
NONE_WRITTEN = "PYTHONDONTWRITEBYTECODE"
_PACKAGES = ("torch", "transformers")
_FOLDER = "bytecode-v1"
_OTHERS_MAY_WRITE = 0o022


def is_kept() -> bool:
    """Whether this process finds the byte code of what is large, beside it or in the folder it was given."""
    return all(Path(cache_from_source(source)).exists() for source in _sources())


def folder_for(environment: Mapping[str, str]) -> Path | None:
    """The folder that a child with this environment is to be given; None where it needs none, or there is none."""
    if environment.get(PREFIX) or all(_keeps(source, environment) for source in _sources()):
        return None
    return _own_folder(platformdirs.user_cache_path("modelfetch") / _FOLDER)


def _sources() -> list[str]:
    specs = (find_spec(package) for package in _PACKAGES)
    return [spec.origin for spec in specs if spec is not None and spec.origin is not None]


def _keeps(source: str, environment: Mapping[str, str]) -> bool:
    """Whether Python has the byte code of this package, or will write it by itself the first time."""
    beside = Path(cache_from_source(source))
    return beside.exists() or (not environment.get(NONE_WRITTEN) and os.access(Path(source).parent, os.W_OK))


def _own_folder(folder: Path) -> Path | None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = folder.stat()
    except OSError:
        return None
    is_ours = not hasattr(os, "getuid") or state.st_uid == os.getuid()
    return folder if is_ours and not state.st_mode & _OTHERS_MAY_WRITE else None
