"""How a client's words find a snapshot, and for how long the answer is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.reference import Reference
from modelfetch.serve.catalogue import REMEMBERED_S, Shelf, branches
from tests.catalogue import FolderCatalogue, FolderSnapshot, write_snapshot

REPO = "own/name"


class CountingCatalogue(FolderCatalogue):
    """Remembers what it was asked."""

    def __init__(self, found: list[FolderSnapshot]) -> None:
        super().__init__(found)
        self.asked: list[str] = []

    def lookup(self, reference: Reference) -> FolderSnapshot | None:
        self.asked.append(str(reference))
        return super().lookup(reference)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_snapshot_is_remembered_for_a_moment_and_no_longer(tmp_path: Path) -> None:
    catalogue, clock = CountingCatalogue([write_snapshot(tmp_path, REPO, {"a": b"a"})]), Clock()
    shelf = Shelf(catalogue, clock)
    for _ in range(3):
        assert shelf.find("huggingface", REPO, "main") is catalogue.found[0]
    assert len(catalogue.asked) == 1
    clock.now += REMEMBERED_S
    catalogue.found.clear()
    assert shelf.find("huggingface", REPO, "main") is None


def test_what_is_not_there_is_asked_for_again(tmp_path: Path) -> None:
    catalogue = CountingCatalogue([])
    shelf = Shelf(catalogue, Clock())
    assert shelf.find("huggingface", REPO, "main") is None
    catalogue.found.append(write_snapshot(tmp_path, REPO, {"a": b"a"}))
    assert shelf.find("huggingface", REPO, "main") is catalogue.found[0]


def test_the_dialects_own_hub_is_asked_first_and_then_any(tmp_path: Path) -> None:
    catalogue = CountingCatalogue([write_snapshot(tmp_path, REPO, {"a": b"a"}, hub="huggingface")])
    assert Shelf(catalogue, Clock()).find("modelscope", REPO, "v1") is None
    assert catalogue.asked == [f"modelscope:{REPO}@v1", f"{REPO}@v1"]
    assert Shelf(catalogue, Clock()).find("modelscope", REPO, "master") is catalogue.found[0]


@pytest.mark.parametrize(
    ("repo", "revision"),
    [
        ("own", "main"),
        ("a/b/c", "main"),
        ("../x", "main"),
        ("own/x:Q4", "main"),
        (REPO, ".."),
        (REPO, "main:Q4"),
        (REPO, ""),
    ],
)
def test_words_that_name_nothing_reach_no_catalogue(repo: str, revision: str) -> None:
    catalogue = CountingCatalogue([])
    assert Shelf(catalogue, Clock()).find("huggingface", repo, revision) is None
    assert catalogue.asked == []


def test_branches_leave_out_what_was_pulled_by_its_commit(tmp_path: Path) -> None:
    default = write_snapshot(tmp_path / "a", REPO, {"a": b"a"})
    tagged = write_snapshot(tmp_path / "b", REPO, {"a": b"b"}, revision="v1")
    pinned = write_snapshot(tmp_path / "c", REPO, {"a": b"c"}, revision="pinned")
    pinned = FolderSnapshot(replace(pinned.manifest, revision=pinned.manifest.commit), pinned.paths, pinned.folder)
    assert branches([default, tagged, pinned], "main") == ["main", "v1"]
