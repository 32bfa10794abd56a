"""The files of a model that lies in a folder under its own names, as ModelScope's caches and people keep it.

Reads names and statuses only.

- What a client keeps there for itself, and what it did not finish, is no part of the model.
- A link is followed inside its cache or folder and refused when it leads out. What is neither file nor link is refused.
- A folder of more files than a model has is refused as a whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from modelfetch.adopt.candidate import Found, Scan, name_problem
from modelfetch.adopt.orphans import is_part
from modelfetch.adopt.places import MODELSCOPE_MARKS, MODELSCOPE_TEMPORARIES
from modelfetch.manifest import MAX_DEPTH, MAX_FILES

_NOT_OF_THE_MODEL = frozenset({".cache", ".git", ".modelfetch", "__pycache__", MODELSCOPE_TEMPORARIES})
_NO_MODEL_FILES = MODELSCOPE_MARKS | {".DS_Store", ".lock"}
_UNFINISHED = frozenset({".incomplete", ".parallel_tmp", ".aria2", ".part", ".crdownload"})


def real_files(root: Path, scan: Scan, *, within: Path) -> tuple[Found, ...]:
    """The files below `root`, all of them `within` a folder; none when it is refused. `scan` hears of refusals."""
    found: list[Found] = []
    for count, path in enumerate(_names(root)):
        if count >= MAX_FILES:
            scan.refuse(root, f"more than {MAX_FILES} files are in it")
            return ()
        relative = path.relative_to(root).as_posix()
        if problem := name_problem(relative):
            scan.refuse(path, problem)
        elif (file := file_behind(path, within, scan)) and not is_part(path.name, file.status.st_size):
            found.append(Found(relative, file.file, file.status))
    return tuple(found)


def file_behind(path: Path, within: Path, scan: Scan) -> Found | None:
    """The file that `path` is or leads to, when that lies `within` a folder or is ours; else it is refused."""
    try:
        file = scan.real_paths.behind(path)
    except OSError:
        scan.refuse(path, "it leads nowhere")
        return None
    is_ours = scan.ours is not None and file.path.is_relative_to(scan.ours)
    if not is_ours and not file.path.is_relative_to(scan.real_paths.folder(within)):
        scan.refuse(path, f"it leads out of `{within}`, to `{file.path}`")
    elif not stat.S_ISREG(file.status.st_mode):
        scan.refuse(path, "it is no file")
    else:
        return Found(path.name, file.path, file.status)
    return None


def _names(root: Path) -> Iterator[Path]:
    """Every name below `root` that may be a model's file."""
    for parent, folders, files in os.walk(root):
        folder = Path(parent)
        links = [name for name in folders if (folder / name).is_symlink()]
        is_deep = len(folder.relative_to(root).parts) >= MAX_DEPTH
        folders[:] = [] if is_deep else sorted(set(folders) - _NOT_OF_THE_MODEL)
        for name in sorted((*files, *links)):
            if name not in _NO_MODEL_FILES and Path(name).suffix not in _UNFINISHED:
                yield folder / name
