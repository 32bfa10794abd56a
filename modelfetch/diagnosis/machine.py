"""Where doctor looks: at the running system by default, at a made-up one in a test."""

from __future__ import annotations

import os
import platform
import site
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Interpreter:
    """A Python as it says it is. `problem` is why it says nothing, and then the rest is told by its files, if at all.

    `user_site` is the folder of the user's own packages where this Python imports from it.
    """

    release: str
    prefix: Path
    cache_tag: str | None = None
    implementation: str = "cpython"
    user_site: Path | None = None
    problem: str | None = None


def _own_interpreter() -> Interpreter:
    return Interpreter(
        release=platform.python_version(),
        prefix=Path(sys.prefix),
        cache_tag=sys.implementation.cache_tag,
        implementation=sys.implementation.name,
        user_site=Path(site.getusersitepackages()) if site.ENABLE_USER_SITE else None,
    )


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder that this user can reach."""
    try:
        return path.is_dir()
    except OSError:  # a folder above it may not be entered
        return False


def existing(entries: Iterable[str]) -> tuple[Path, ...]:
    """The folders among the entries of a search path, each once."""
    return tuple(dict.fromkeys(Path(entry).resolve() for entry in entries if entry and is_folder(Path(entry))))


def _import_folders() -> tuple[Path, ...]:
    return existing(sys.path)


@dataclass(frozen=True)
class Machine:
    """`root` stands before every path of /sys, /proc, /dev and /etc; `import_folders` is what `python` imports from."""

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    import_folders: tuple[Path, ...] = field(default_factory=_import_folders)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    architecture: str = field(default_factory=platform.machine)
    interpreter: Interpreter = field(default_factory=_own_interpreter)

    @property
    def is_ours(self) -> bool:
        """Whether `python` is the one that doctor runs in."""
        return self.interpreter.prefix.resolve() == Path(sys.prefix).resolve()

    def module(self, name: str) -> Path | None:
        """Where `python` would import the module or package from; found by its name alone, nothing is run."""
        places = (place for folder in self.import_folders for place in (folder / name, folder / f"{name}.py"))
        return next((place for place in places if place.exists()), None)

    def read(self, path: str) -> str | None:
        """The text of a file under `root`, stripped; None where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None
