"""Where doctor looks: at the running system by default, at a made-up one in a test."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


def _import_folders() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(entry).resolve() for entry in sys.path if entry and Path(entry).is_dir()))


@dataclass(frozen=True)
class Machine:
    """`root` stands before every path of /sys, /proc, /dev and /etc; `import_folders` is what `python` imports from."""

    root: Path = Path("/")
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    import_folders: tuple[Path, ...] = field(default_factory=_import_folders)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    architecture: str = field(default_factory=platform.machine)

    def read(self, path: str) -> str | None:
        """The text of a file under `root`, stripped; None where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None
