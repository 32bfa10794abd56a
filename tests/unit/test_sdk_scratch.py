"""The folder that a hub's own client works in, with real files."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from modelfetch import events
from modelfetch.errors import ConfigError, StoreError, UsageError
from modelfetch.manifest import Entry
from modelfetch.sdk import check_sdk
from modelfetch.sdk.scratch import Scratch
from tests.pulling import Heard, noise
from tests.stored import digests_of

CONTENT = noise(3_000_000)
ENTRY = Entry("sub/model.safetensors", len(CONTENT), digests_of(CONTENT))


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    scratch = Scratch(tmp_path / "sdk-0")
    scratch.prepare()
    scratch.file(ENTRY).parent.mkdir()
    return scratch


def begun(scratch: Scratch) -> Path:
    return scratch.files / f"{ENTRY.path}.incomplete"


def takes_over(scratch: Scratch) -> None:
    """What another process does that holds the owner for dead: the next number is its own, and the dead one's goes."""
    (scratch.folder / "owner.2").touch()
    (scratch.folder / "owner.1").unlink()


def test_its_places_mean_the_same_in_another_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scratch = Scratch(Path("sdk-0"))
    assert {place.parent for place in (scratch.files, scratch.home, scratch.log)} == {tmp_path / "sdk-0"}


def test_a_second_owner_waits_and_says_for_whom(tmp_path: Path) -> None:
    heard, entered, leave = Heard(), threading.Event(), threading.Event()

    def first() -> None:
        with Scratch(tmp_path / "sdk-0").owned("own/name", events.ignore):
            entered.set()
            leave.wait()

    def second(event: events.Event) -> None:
        heard(event)
        leave.set()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with Scratch(tmp_path / "sdk-0").owned("own/name", second):
        assert leave.is_set()
    thread.join()
    assert [type(event) for event in heard.events] == [events.Waiting]


def test_whoever_lost_the_folder_to_another_process_stops(scratch: Scratch) -> None:
    with scratch.owned("own/name", events.ignore):
        scratch.beat()
        takes_over(scratch)
        scratch._beat_at = 0.0
        with pytest.raises(StoreError, match="took"):
            scratch.beat()


def test_nothing_is_left_of_a_cleared_folder_and_all_of_another(tmp_path: Path) -> None:
    for clear in (False, True):
        scratch = Scratch(tmp_path / "sdk-0")
        with scratch.owned("own/name", events.ignore):
            scratch.prepare()
            (scratch.files / "config.json").write_text("{}")
            scratch.log.touch()
            if clear:
                scratch.clear()
        assert scratch.folder.exists() is not clear


def test_a_file_counts_by_its_size_and_what_is_begun_only_for_a_client_that_goes_on(scratch: Scratch) -> None:
    assert scratch.present_bytes(ENTRY, partly=True) == 0
    begun(scratch).write_bytes(CONTENT[:1000])
    assert scratch.present_bytes(ENTRY, partly=True) == 1000
    assert scratch.present_bytes(ENTRY, partly=False) == 0
    scratch.file(ENTRY).write_bytes(CONTENT[:-1])
    assert not scratch.has(ENTRY)
    scratch.file(ENTRY).write_bytes(CONTENT)
    assert scratch.present_bytes(ENTRY, partly=False) == len(CONTENT)


def test_a_link_is_no_file(scratch: Scratch, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(CONTENT)
    scratch.file(ENTRY).symlink_to(tmp_path / "elsewhere")
    assert not scratch.has(ENTRY)


def test_what_no_client_goes_on_with_is_removed(scratch: Scratch) -> None:
    orphan = scratch.files / ".cache" / "huggingface" / "download" / "sub" / "x.0a1b2c3d.incomplete"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(CONTENT)
    begun(scratch).write_bytes(CONTENT[:1000])
    scratch.prepare()
    assert not orphan.exists()
    assert begun(scratch).exists()


def test_both_digests_of_every_file_are_computed(scratch: Scratch) -> None:
    scratch.file(ENTRY).write_bytes(CONTENT)
    small = Entry("config.json", 2, digests_of(b"{}"))
    scratch.file(small).write_bytes(b"{}")
    hashed = scratch.hashed([ENTRY, small])
    assert {path: running.digests() for path, running in hashed.items()} == {
        ENTRY.path: digests_of(CONTENT),
        small.path: digests_of(b"{}"),
    }


def test_whoever_loses_the_folder_while_hashing_does_not_hash_on(scratch: Scratch) -> None:
    # Hashing a terabyte of nothing would take longer than a test may.
    with scratch.file(ENTRY).open("wb") as stream:
        stream.truncate(1 << 40)
    with scratch.owned("own/name", events.ignore):
        takes_over(scratch)
        with pytest.raises(StoreError, match="took"):
            scratch.hashed([ENTRY])


def test_the_size_is_that_of_all_files(scratch: Scratch) -> None:
    begun(scratch).write_bytes(CONTENT[:1000])
    (scratch.files / "config.json").write_bytes(b"{}")
    assert scratch.size_bytes() == 1002


def test_a_hub_without_a_client_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match="a-plug-in"):
        check_sdk("a-plug-in")


def test_a_client_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # None is how Python marks a module that cannot be imported.
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="huggingface_hub") as raised:
        check_sdk("huggingface")
    assert "pip install" in str(raised.value.hint)
