"""An import points down, siblings are strangers, and what decides cannot do. docs/architecture.md draws it."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.meta.source import LAYER_OF, LAYERS, ROOT, Module, modules

PURE = {"planning", "reference", "manifest", "hashing", "piecelist", "selection", "events", "errors", "redact", "units"}
DOING = {"socket", "threading", "time", "pathlib", "subprocess", "os", "random", "http", "ssl"}
HEAVY = {"torch", "transformers", "accelerate", "safetensors"}
HTTP_LIBRARIES = {"http.client", "urllib.request", "urllib3", "requests", "httpx", "aiohttp", "pycurl"}


def test_every_module_has_its_layer() -> None:
    # `modelfetch/__init__.py` is above them all and imports none.
    assert {module.top for module in modules()} - {""} == LAYER_OF.keys()


def test_an_import_points_down_and_siblings_are_strangers() -> None:
    wrong = [
        f"{module.name} imports {target}"
        for module, target in _imports_of_ours()
        if target != module.top and not _may_import(module.top, target)
    ]
    assert wrong == []


def test_errors_imports_nothing_of_ours() -> None:
    assert [target for module, target in _imports_of_ours() if module.name == "errors"] == []


def test_what_decides_imports_no_socket_thread_clock_or_path() -> None:
    assert _offenders(lambda module: module.top in PURE, DOING) == []


def test_only_the_command_line_knows_click_and_progress_bars() -> None:
    assert _offenders(lambda module: module.top != "cli", {"click", "tqdm"}) == []


def test_only_the_http_module_talks_http() -> None:
    # The child of `sdk` holds a hub's own client to the token's rule, in the library that this client talks through.
    assert _offenders(lambda module: module.top != "http" and module.name != "sdk.child", HTTP_LIBRARIES) == []


def test_only_a_child_process_imports_the_heavy_stack() -> None:
    assert _offenders(lambda module: ".child" not in module.name, HEAVY) == []


def test_only_the_command_line_prints_prompts_or_exits() -> None:
    # A child is a process of its own: its standard output is the pipe to its parent.
    calls = [
        f"{module.name}:{node.lineno} {ast.unparse(node.func)}"
        for module in modules()
        if module.top != "cli" and ".child" not in module.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write"}
    ]
    assert calls == []


def test_a_file_in_cli_without_an_underscore_is_a_command() -> None:
    from modelfetch.cli import COMMANDS

    files = {module.path.stem for module in modules() if module.top == "cli"}
    assert {name for name in files if not name.startswith("_")} == COMMANDS.keys()


@pytest.mark.parametrize("group", ["dependencies", "smoke", "sdk"])
def test_what_is_declared_is_imported(group: str) -> None:
    declared = _declared(group)
    imported = {canonicalize_name(name) for names in _foreign_imports().values() for name in names}
    # transformers finds these by itself.
    unused = declared - imported - {"accelerate", "safetensors"}
    assert unused == set()


def test_what_is_imported_is_declared() -> None:
    declared = _declared("dependencies") | _declared("smoke") | _declared("sdk")
    undeclared = {
        module: names
        for module, names in _foreign_imports().items()
        if not declared & {canonicalize_name(name) for name in names}
    }
    assert undeclared == {}


def _may_import(importer: str, target: str) -> bool:
    above, below = LAYER_OF.get(importer, len(LAYERS)), LAYER_OF[target]
    return below < above or below == above == 0


def _imports_of_ours() -> Iterator[tuple[Module, str]]:
    known = {module.name for module in modules()}
    for module in modules():
        for name in module.imports():
            target = name.removeprefix("modelfetch.")
            if name != target and (target in known or target.partition(".")[0] in LAYER_OF):
                yield module, target.partition(".")[0]


def _offenders(where: Callable[[Module], bool], forbidden: set[str]) -> list[str]:
    return [
        f"{module.name} imports {name}"
        for module in modules()
        if where(module)
        for name in module.imports()
        if name in forbidden or name.partition(".")[0] in forbidden
    ]


def _foreign_imports() -> dict[str, list[str]]:
    """Each imported module that is neither ours nor Python's, with the distributions that bring it."""
    distributions = packages_distributions()
    names = {name.partition(".")[0] for module in modules() for name in module.imports()}
    foreign = names - {"modelfetch", "__future__"} - sys.stdlib_module_names
    return {name: distributions.get(name, []) for name in foreign}


def _declared(group: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = project["dependencies"] if group == "dependencies" else project["optional-dependencies"][group]
    return {canonicalize_name(Requirement(text).name) for text in requirements}
