"""Whether the packages that run models are there as a whole: their files, what lists them, and the right to read them.

- An installation that cannot be told from its metadata (an editable one, conda's) is taken to be whole.
- Nothing is imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelfetch.config import Settings
from modelfetch.diagnosis.machine import Machine

_EXAMINED = ("torch", "transformers")


@dataclass(frozen=True)
class WholenessFacts:
    """Each by its package: `gone` are versions that are listed and whose files are not there, `unlisted` the folders of
    those whose metadata a removal took away, `closed` the folders that this user may not read.
    """

    gone: Mapping[str, str] = field(default_factory=dict)
    unlisted: Mapping[str, Path] = field(default_factory=dict)
    closed: Mapping[str, Path] = field(default_factory=dict)

    @property
    def broken(self) -> frozenset[str]:
        return frozenset((*self.gone, *self.unlisted, *self.closed))


def read_wholeness(machine: Machine, _settings: Settings) -> WholenessFacts:
    gone: dict[str, str] = {}
    unlisted: dict[str, Path] = {}
    closed: dict[str, Path] = {}
    for name in _EXAMINED:
        package = machine.module(name)
        listed = list(_listed(machine, name))
        if package is not None and _is_closed(package):
            closed[name] = package
        elif package is None:
            gone.update((name, _version_of(entry)) for entry in listed if _has_listed_files(entry, name))
        elif listed and not any((entry / "METADATA").is_file() for entry in listed):
            unlisted[name] = package
    return WholenessFacts(gone, unlisted, closed)


def _listed(machine: Machine, name: str) -> Iterator[Path]:
    for folder in machine.import_folders:
        yield from sorted(folder.glob(f"{name}-*.dist-info"))


def _version_of(metadata_folder: Path) -> str:
    return metadata_folder.stem.partition("-")[2]


def _has_listed_files(metadata_folder: Path, name: str) -> bool:
    """Whether this metadata says that the package itself was put beside it."""
    try:
        return f"{name}/__init__.py," in (metadata_folder / "RECORD").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _is_closed(package: Path) -> bool:
    try:
        (package / "__init__.py").is_file()
    except OSError:
        return True
    return False
