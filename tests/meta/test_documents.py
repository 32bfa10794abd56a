"""What is written about the commands, the errors and the layers is what they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import FOLDER, pages
from modelfetch.cli import ALIASES, COMMANDS
from modelfetch.errors import INTERRUPTED, READER_GONE, ModelfetchError
from tests.meta.source import LAYER_OF, ROOT

READMES = ("README.md", "README.zh-CN.md")
STATUSES = {0, ModelfetchError.exit_status, INTERRUPTED, READER_GONE} | {
    kind.exit_status for kind in ModelfetchError.__subclasses__()
}
_LINK = re.compile(r"\]\(([^)#]*)(?:#[^)]*)?\)")
_WRITTEN = sorted([*ROOT.glob("*.md"), *FOLDER.rglob("*.md")])


@pytest.mark.parametrize("name", pages())
def test_the_generated_pages_are_current(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "make docs"


@pytest.mark.parametrize("readme", READMES)
def test_a_readme_names_every_command(readme: str) -> None:
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"modelfetch {name}" not in text] == []


@pytest.mark.parametrize("page", [*READMES, "docs/errors.md"])
def test_every_exit_status_has_its_row(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    documented = {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == STATUSES


def test_no_two_kinds_of_error_share_an_exit_status_but_a_kind_and_its_special_cases() -> None:
    statuses = [kind.exit_status for kind in ModelfetchError.__subclasses__()]
    assert len(statuses) == len(set(statuses))


@pytest.mark.parametrize("page", _WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file(page: Path) -> None:
    targets = [target for target in _LINK.findall(page.read_text(encoding="utf-8")) if target]
    broken = [each for each in targets if "://" not in each and not (page.parent / each).exists()]
    assert broken == []


@pytest.mark.parametrize("page", _WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_names_no_command_that_there_is_not(page: Path) -> None:
    named = set(re.findall(r"(?:`|\$ |^ {4}|\()modelfetch ([a-z]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= COMMANDS.keys() | ALIASES.keys()


@pytest.mark.parametrize("page", _WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_page_tells_to_make_only_what_can_be_made(page: Path) -> None:
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[0].split()
    told = set(re.findall(r"(?:`|^)make ([a-z0-9]+)\b", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert told <= set(targets)


def test_ci_runs_what_a_person_types() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^make .*", script, re.MULTILINE) == ["make check", "make test"]


def test_the_architecture_names_every_module_and_can_be_read_at_one_go() -> None:
    text = (FOLDER / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in LAYER_OF if name not in text] == []
    assert len(text.splitlines()) <= 200


def test_there_are_few_records_of_decisions() -> None:
    assert 1 <= len(list((FOLDER / "decisions").glob("*.md"))) <= 8
