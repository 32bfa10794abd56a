"""What the installed transformers knows, read from its source: an import of it costs seconds, this 0.2 s.

- A table that is not where it is looked for is empty, and an empty table decides nothing: loading will tell.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_CLASSES = "models/auto/modeling_auto.py"
_MODEL_TYPES = ("models/auto/auto_mappings.py", "models/auto/configuration_auto.py")
_QUANTISERS = "quantizers/auto.py"
_CONFIGS = "CONFIG_MAPPING_NAMES"

Classes = tuple[str, ...]


@dataclass(frozen=True)
class Tables:
    """`classes` maps a table such as `CAUSAL_LM` to its classes by model type."""

    classes: Mapping[str, Mapping[str, Classes]] = field(default_factory=dict)
    model_types: frozenset[str] = frozenset()
    quantisations: frozenset[str] = frozenset()

    def has_class(self, name: str) -> bool:
        return any(name in each for table in self.classes.values() for each in table.values())

    def in_table(self, table: str, name: str) -> bool:
        return any(name in each for each in self.classes.get(table, {}).values())

    def class_for(self, table: str, model_type: str) -> str | None:
        return next(iter(self.classes.get(table, {}).get(model_type, ())), None)


def read_tables(transformers: Path) -> Tables:
    """The tables of the transformers package in the folder `transformers`."""
    model_types: set[str] = set()
    for name in _MODEL_TYPES:
        for statement in _statements(transformers / name):
            model_types |= _config_keys(statement)
    return Tables(_read_classes(transformers / _CLASSES), frozenset(model_types), _read_quantisations(transformers))


def _statements(path: Path) -> list[ast.stmt]:
    try:
        return ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError):
        return []


def _assigned(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id, statement.value
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
        return statement.target.id, statement.value
    return None


def _read_classes(path: Path) -> dict[str, dict[str, Classes]]:
    tables: dict[str, dict[str, Classes]] = {}
    for statement in _statements(path):
        assigned = _assigned(statement)
        if assigned and assigned[0].endswith("_MAPPING_NAMES"):
            tables[_table_name(assigned[0])] = dict(_pairs(assigned[1], tables))
    return tables


def _pairs(value: ast.expr, tables: Mapping[str, Mapping[str, Classes]]) -> Iterator[tuple[str, Classes]]:
    """The pairs of `OrderedDict([(type, class), …])`, where a class may be several and a table may take in another."""
    for item in _listed(value):
        if isinstance(item, ast.Starred):
            for name in ast.walk(item):
                if isinstance(name, ast.Name):
                    yield from tables.get(_table_name(name.id), {}).items()
        elif isinstance(item, ast.Tuple) and len(item.elts) == 2:
            model_type, *_ = _strings(item.elts[0])
            yield model_type, tuple(_strings(item.elts[1]))


def _listed(value: ast.expr) -> Iterator[ast.expr]:
    for node in ast.walk(value):
        if isinstance(node, ast.List):
            yield from node.elts


def _strings(value: ast.expr) -> list[str]:
    return [each.value for each in ast.walk(value) if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def _table_name(name: str) -> str:
    return name.removesuffix("_MAPPING_NAMES").removeprefix("MODEL_FOR_")


def _config_keys(statement: ast.stmt) -> set[str]:
    """The model types in a statement that fills the table of configurations, whichever way it does."""
    nodes = list(ast.walk(statement))
    if not any(isinstance(node, ast.Name) and node.id == _CONFIGS for node in nodes):
        return set()
    keys: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Dict):
            keys.update(text for key in node.keys if key for text in _strings(key))
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            keys.update(_strings(node.elts[0]))
    return keys


def _read_quantisations(transformers: Path) -> frozenset[str]:
    for statement in _statements(transformers / _QUANTISERS):
        assigned = _assigned(statement)
        if assigned and assigned[0] == "AUTO_QUANTIZATION_CONFIG_MAPPING" and isinstance(assigned[1], ast.Dict):
            return frozenset(str(key.value) for key in assigned[1].keys if isinstance(key, ast.Constant))
    return frozenset()
