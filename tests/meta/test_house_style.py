"""The limits that docs/architecture.md and CONTRIBUTING.md promise to readers."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.meta.source import Module, modules

MAX_LINES_OF_FILE = 400
MAX_LINES_OF_FUNCTION = 60
MAX_PARAMETERS = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lengths = {module.path.name: len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules()}
    assert {name: length for name, length in lengths.items() if length > MAX_LINES_OF_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{module.name}.{function.name}"
        for module, function in _functions()
        if not _is_command(function) and (function.end_lineno or 0) - function.lineno >= MAX_LINES_OF_FUNCTION
    ]
    assert long == []


def test_no_function_has_more_parameters_than_can_be_kept_in_mind() -> None:
    many = [
        f"{module.name}.{function.name}"
        for module, function in _functions()
        if not _is_command(function) and _parameters(function) > MAX_PARAMETERS
    ]
    assert many == []


def test_every_module_says_what_it_is_for() -> None:
    assert [module.name for module in modules() if not ast.get_docstring(module.tree)] == []


def test_there_is_no_drawer_for_everything() -> None:
    drawers = {"utils", "util", "helpers", "misc", "common"}
    assert [module.name for module in modules() if module.path.stem in drawers] == []


def _functions() -> Iterator[tuple[Module, Function]]:
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, Function):
                yield module, node


def _is_command(function: Function) -> bool:
    """Whether click calls it: one parameter for each option, declared line by line."""
    return any(".command" in ast.unparse(each) or ".group" in ast.unparse(each) for each in function.decorator_list)


def _parameters(function: Function) -> int:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])
