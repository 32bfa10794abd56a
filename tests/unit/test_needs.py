"""What a running pull counts on is named before it is looked for, as long as the pull lives and no longer."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.errors import StoreError
from modelfetch.manifest import Digests, Entry
from modelfetch.pulling.announced import Announced
from modelfetch.store import Store, StoreDestination
from modelfetch.transfer.needs import Needs, needed
from tests.stored import COMMIT, digests_of, manifest_of, write_data

CONTENT = b"x" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "home")


def entry() -> Entry:
    (found,) = manifest_of({"x.dat": CONTENT}).entries
    return found


def named(store: Store) -> set[str]:
    return set(needed(store.partials, time.time()))


def test_a_name_is_kept_while_its_pull_runs(store: Store) -> None:
    with Needs(store.partials) as needs:
        assert [needs.add("a" * 64), needs.add("a" * 64), needs.add("b" * 64)] == [True, False, True]
        assert (needs.folder / "needs").read_text() == f"{'a' * 64}\n{'b' * 64}\n"
        assert named(store) == {"a" * 64, "b" * 64}
    assert named(store) == set()
    assert not list(store.partials.iterdir())


def test_a_line_that_was_torn_names_nothing(store: Store) -> None:
    with Needs(store.partials) as needs:
        needs.add("a" * 64)
        with (needs.folder / "needs").open("a") as names:
            names.write("b" * 63)
        assert named(store) == {"a" * 64}


def test_a_store_without_partials_has_no_names(tmp_path: Path) -> None:
    assert needed(tmp_path / "nothing", time.time()) == {}


def test_a_store_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / "partials").write_text("a file")
    with pytest.raises(StoreError):
        Needs(tmp_path / "partials")


class Asking(StoreDestination):
    """The store; remembers what had been named when it was asked."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.store = store
        self.named: list[set[str]] = []

    def find(self, entry: Entry) -> Digests | None:
        self.named.append(named(self.store))
        return super().find(entry)


def test_a_blob_is_named_before_it_is_looked_for(store: Store) -> None:
    with Needs(store.partials) as needs:
        asking = Asking(store)
        assert Announced(asking, needs).find(entry()) is None
        assert asking.named == [{entry().digests.sha256}]


def test_one_that_is_found_by_its_git_sha1_is_looked_for_again_once_it_is_named(store: Store) -> None:
    store.publish_bytes(CONTENT, digests_of(CONTENT))
    listed = replace(entry(), digests=Digests(None, entry().digests.git_sha1))
    with Needs(store.partials) as needs:
        asking = Asking(store)
        assert Announced(asking, needs).find(listed) is not None
        assert asking.named == [set(), {entry().digests.sha256}]


@pytest.mark.parametrize("from_memory", [True, False])
def test_a_blob_is_named_when_it_is_published(store: Store, from_memory: bool) -> None:
    with Needs(store.partials) as needs:
        destination = Announced(StoreDestination(store), needs)
        if from_memory:
            destination.publish_bytes(entry(), CONTENT, digests_of(CONTENT))
        else:
            data = write_data(destination.partial(entry()), CONTENT)
            destination.publish(entry(), data, digests_of(CONTENT))
        assert named(store) == {entry().digests.sha256}
        manifest = manifest_of({"x.dat": CONTENT})
        assert destination.finish(manifest, frozenset({"x.dat"})).manifest.commit == COMMIT
