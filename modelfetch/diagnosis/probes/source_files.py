"""Python files of installed packages: parsed and never run."""

from __future__ import annotations

import ast
from pathlib import Path


def assignments(file: Path) -> list[tuple[str, ast.expr]]:
    """The names that the module in `file` sets, with what to; none of one that cannot be parsed."""
    try:
        module = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    found = []
    for statement in module.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
            found.append((statement.target.id, statement.value))
        elif isinstance(statement, ast.Assign):
            found += [(target.id, statement.value) for target in statement.targets if isinstance(target, ast.Name)]
    return found
