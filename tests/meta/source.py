"""The package as it is written: its layers, its modules, their trees, and what each imports anywhere in its file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "modelfetch"

# From the ground up. Within the lowest layer modules may know each other; above it siblings may not.
LAYERS = (
    [
        "errors",
        "redact",
        "units",
        "reference",
        "manifest",
        "hashing",
        "events",
        "diskfaults",
        "limits",
        "processes",
        "selection",
        "planning",
        "piecelist",
        "config",
        "lock",
    ],
    ["http"],
    ["hubs", "transfer", "store", "model", "experience"],
    ["sdk"],
    ["pulling", "verification", "smoketest", "chat", "inspection", "serve", "adopt", "prune", "mirrors"],
    ["diagnosis"],
    ["demo_model"],
    ["demo"],
    ["cli"],
    ["__main__"],
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}


@dataclass(frozen=True)
class Module:
    """One file. `name` is dotted, without `modelfetch.` in front: `store.blobs`; the package itself is empty."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def top(self) -> str:
        """The module or package right under `modelfetch` that it belongs to."""
        return self.name.partition(".")[0]

    def imports(self) -> Iterator[str]:
        """Every module that it imports, by its full name; of `from a import b` both a.b and a."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path} imports relatively"
                assert node.module is not None
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the package."""
    return tuple(_read(path) for path in sorted(PACKAGE.rglob("*.py")))


def _read(path: Path) -> Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    name = ".".join(part for part in parts if part != "__init__")
    return Module(name, path, ast.parse(path.read_text(encoding="utf-8"), str(path)))
