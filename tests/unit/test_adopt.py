"""`adopt` with real files: what is linked, copied, left and named, and what the next run finds."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Never

import pytest

from modelfetch.adopt import Adoption, Hashed, Place, State, Tool, adopt, place_at
from modelfetch.errors import DiskFullError, StoreError, UsageError
from modelfetch.manifest import Digests, content_digest
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store, adopting, files
from modelfetch.store.adopting import Hears, NotTaken, Obstacle, Source, take_in
from modelfetch.store.links import Method, reflink
from modelfetch.store.views import huggingface, modelscope
from modelfetch.transfer.needs import needed
from modelfetch.verification import verify
from tests.conftest import safetensors_bytes
from tests.other_tools import etag, huggingface_cache, older_modelscope_repository, ollama_model, write, write_all
from tests.stored import COMMIT, bring, contents, digests_of, manifest_of

WEIGHTS = safetensors_bytes({"weight": bytes(range(256)) * 8192})
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS, "sub/vocab.txt": b"a\n"}
_NOBODY = Hears(announce=lambda _: None, advanced=lambda _: None)
OTHER_COMMIT = "ab" * 20


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Hugging Face's cache with one model."""
    huggingface_cache(tmp_path / "hub", FILES)
    return tmp_path / "hub"


@pytest.fixture
def no_reflinks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hard links are what is tested: where the tests run on a file system with reflinks, those are out of the way."""
    probe = write(tmp_path / "probe", b"x")
    if reflink(probe, tmp_path / "probed"):
        monkeypatch.setattr("modelfetch.store.adopting.reflink", lambda *_: False)


pytestmark = pytest.mark.usefixtures("no_reflinks")


def saved(store: Store, reference: str = "own/name") -> Snapshot:
    snapshot = store.lookup(parse(reference))
    assert snapshot is not None
    return snapshot


def _unreadable(*_: object) -> Never:
    raise adopting._UnreadableError("Input/output error")


def count(report: Adoption) -> dict[str, int]:
    return {state: len(report.files(state)) for state in State if report.files(state)}


def blob(cache: Path, content: bytes = WEIGHTS) -> Path:
    return cache / "models--own--name/blobs" / etag(content)


def disk(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything that another tool could notice, but for the permission to write and the number of links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = b"" if path.is_dir() else str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        found[str(path)] = (status.st_ino, status.st_mtime_ns, content)
    return found


def test_weights_are_linked_and_what_people_edit_is_copied(store: Store, cache: Path) -> None:
    report = adopt(store, [place_at(cache)])
    assert count(report) == {State.LINKED: 1, State.COPIED: 2}
    snapshot = saved(store)
    assert contents(snapshot.folder) == FILES
    assert snapshot.file("model.safetensors").samefile(blob(cache))
    assert not snapshot.file("config.json").samefile(blob(cache, b"{}"))
    assert verify(store).ok


def test_nothing_of_the_other_tools_is_changed(store: Store, cache: Path) -> None:
    before = disk(cache)
    adopt(store, [place_at(cache)])
    assert disk(cache) == before


def test_a_hard_link_loses_the_permission_to_be_written_and_gains_none(store: Store, cache: Path) -> None:
    blob(cache).chmod(0o640)
    adopt(store, [place_at(cache)])
    assert stat.S_IMODE(blob(cache).stat().st_mode) == 0o440


def test_a_second_run_reads_nothing_and_finds_nothing_new(store: Store, cache: Path, tmp_path: Path) -> None:
    older_modelscope_repository(tmp_path / "ms/hub/own/other", {"model.safetensors": WEIGHTS[::-1]})
    places = [place_at(cache), place_at(tmp_path / "ms")]
    adopt(store, places)
    heard: list[Hashed] = []
    again = adopt(store, places, listener=heard.append)
    assert count(again) == {State.HERE: 4}
    assert [model.is_new for model in again.models] == [False, False]
    assert heard == []


def test_a_file_that_is_not_what_its_name_says_is_named_and_stops_nothing(store: Store, cache: Path) -> None:
    blob(cache).write_bytes(WEIGHTS[:-1] + b"!")
    report = adopt(store, [place_at(cache)])
    assert not report.ok
    (damaged,) = report.files(State.DAMAGED)
    assert (damaged.path, damaged.expected, damaged.got) == (
        blob(cache),
        etag(WEIGHTS),
        digests_of(WEIGHTS[:-1] + b"!").sha256,
    )
    assert contents(saved(store).folder).keys() == {"config.json", "sub/vocab.txt"}
    assert os.access(blob(cache), os.W_OK)
    assert blob(cache).stat().st_nlink == 1


def test_a_small_file_that_is_not_what_its_git_name_says_is_not_taken(store: Store, cache: Path) -> None:
    blob(cache, b"{}").write_bytes(b"[]")
    (damaged,) = adopt(store, [place_at(cache)]).files(State.DAMAGED)
    assert (damaged.expected, damaged.got) == (etag(b"{}"), etag(b"[]"))


def test_where_one_copy_is_damaged_the_other_is_taken(store: Store, cache: Path) -> None:
    other = huggingface_cache(cache, FILES, repo="own/the-fork")
    blob(cache).write_bytes(WEIGHTS[:-1] + b"!")
    report = adopt(store, [place_at(cache)])
    assert len(report.files(State.DAMAGED)) == 1
    assert saved(store, "own/the-fork").file("model.safetensors").samefile(other / "model.safetensors")
    assert contents(saved(store, "own/the-fork").folder) == FILES


def test_a_name_that_says_something_else_of_a_taken_file_gets_nothing(store: Store, cache: Path) -> None:
    snapshot = huggingface_cache(cache, {"config.json": b"{}"}, repo="own/other")
    wrong = cache / "models--own--other/blobs" / ("ab" * 32)
    wrong.hardlink_to(blob(cache))
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{wrong.name}")
    adopt(store, [place_at(cache)])
    assert contents(saved(store).folder) == FILES
    assert contents(saved(store, "own/other").folder) == {"config.json": b"{}"}


def test_the_same_bytes_in_two_caches_are_taken_once_and_told(store: Store, cache: Path, tmp_path: Path) -> None:
    older_modelscope_repository(tmp_path / "ms/hub/own/name", FILES)
    report = adopt(store, [place_at(cache), place_at(tmp_path / "ms")])
    assert report.size_bytes(State.REPEATED) == len(WEIGHTS)
    assert contents(saved(store, "ms:own/name").folder) == contents(saved(store, "hf:own/name").folder) == FILES
    assert store.usage().blobs == len(FILES)


def test_a_file_that_several_names_lead_to_is_read_once(store: Store, cache: Path) -> None:
    huggingface_cache(cache, {}, commit=OTHER_COMMIT, branch="old")
    snapshots = cache / "models--own--name/snapshots"
    (snapshots / OTHER_COMMIT).mkdir(parents=True)
    (snapshots / OTHER_COMMIT / "renamed.safetensors").symlink_to(f"../../blobs/{etag(WEIGHTS)}")
    heard: list[Hashed] = []
    adopt(store, [place_at(cache)], listener=heard.append)
    assert sum(hashed.advanced for hashed in heard) == sum(map(len, FILES.values())) == heard[0].total_bytes
    assert contents(saved(store, "own/name@old").folder) == {"renamed.safetensors": WEIGHTS}


def test_what_it_counts_on_is_named_for_whoever_removes(store: Store, cache: Path) -> None:
    bring(store, {"other.txt": b"{}"}, manifest_of({"other.txt": b"{}"}, repo="own/other"))
    named: set[str] = set()
    adopt(store, [place_at(cache)], listener=lambda _: named.update(needed(store.partials, time.time())))
    assert digests_of(b"{}").sha256 in named
    assert needed(store.partials, time.time()) == {}


def test_a_blob_is_named_before_it_is_published(store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(complete: Path, final: Path) -> None:
        assert final.name in needed(store.partials, time.time())
        files.publish(complete, final)

    monkeypatch.setattr("modelfetch.store.adopting.publish", publish)
    assert count(adopt(store, [place_at(cache)])) == {State.LINKED: 1, State.COPIED: 2}


def test_a_dry_run_hashes_and_changes_nothing(tmp_path: Path, cache: Path) -> None:
    before = disk(tmp_path)
    heard: list[Hashed] = []
    report = adopt(Store(tmp_path / "none"), [place_at(cache)], dry_run=True, listener=heard.append)
    assert count(report) == {State.LINKED: 1, State.COPIED: 2}
    assert disk(tmp_path) == before
    assert heard == []


class TestRecords:
    def test_a_listing_that_is_not_the_whole_is_never_taken_for_it(self, store: Store, cache: Path) -> None:
        adopt(store, [place_at(cache)])
        snapshot = saved(store)
        assert not snapshot.complete
        assert not snapshot.whole_listing

    def test_what_is_found_later_of_the_same_commit_comes_to_it(self, store: Store, cache: Path) -> None:
        adopt(store, [place_at(cache)])
        huggingface_cache(cache, {"more.txt": b"more"})
        blob(cache, b"{}").unlink()
        adopt(store, [place_at(cache)])
        assert contents(saved(store).folder) == {**FILES, "more.txt": b"more"}

    def test_a_cached_listing_is_the_whole_one(self, store: Store, tmp_path: Path) -> None:
        huggingface_cache(tmp_path / "hub", {"config.json": b"{}"}, tree=FILES)
        adopt(store, [place_at(tmp_path / "hub")])
        snapshot = saved(store)
        assert (snapshot.whole_listing, snapshot.paths) == (True, frozenset({"config.json"}))
        assert {entry.path for entry in snapshot.manifest.entries} == FILES.keys()

    def test_what_a_pull_listed_stays_when_less_is_adopted(self, store: Store, cache: Path) -> None:
        pulled = {**FILES, "pulled.txt": b"pulled"}
        listed = {**pulled, "left.txt": b"left"}
        bring(store, pulled, manifest_of(listed, repo="own/name"))
        huggingface_cache(cache, {"left.txt": b"left"})
        adopt(store, [place_at(cache)])
        snapshot = saved(store)
        assert snapshot.complete
        assert contents(snapshot.folder) == listed

    def test_an_older_commit_does_not_take_the_reference_of_what_was_pulled(self, store: Store, cache: Path) -> None:
        pulled = bring(
            store, {"config.json": b"new"}, manifest_of({"config.json": b"new"}, repo="own/name", commit=OTHER_COMMIT)
        )
        adopt(store, [place_at(cache)])
        assert saved(store).manifest.commit == pulled.manifest.commit
        assert contents(saved(store, f"own/name@{COMMIT}").folder) == FILES

    def test_a_reference_follows_what_its_client_asked_for_since(self, store: Store, cache: Path) -> None:
        adopt(store, [place_at(cache)])
        huggingface_cache(cache, {"config.json": b"new"}, commit=OTHER_COMMIT)
        os.utime(cache / "models--own--name/refs/main", (4e9, 4e9))
        adopt(store, [place_at(cache)])
        assert saved(store).manifest.commit == OTHER_COMMIT
        assert contents(saved(store, f"own/name@{COMMIT}").folder) == FILES

    def test_a_listing_that_comes_later_makes_it_whole(self, store: Store, cache: Path) -> None:
        adopt(store, [place_at(cache)])
        huggingface_cache(cache, FILES, tree=FILES)
        adopt(store, [place_at(cache)])
        assert saved(store).complete

    def test_a_part_of_what_the_store_has_is_no_further_model(self, store: Store, tmp_path: Path) -> None:
        commit = content_digest(manifest_of(FILES).entries)[:40]
        bring(store, FILES, manifest_of(FILES, hub="modelscope", repo="own/name", commit=commit))
        older_modelscope_repository(tmp_path / "ms/hub/own/name", {"config.json": b"{}"})
        report = adopt(store, [place_at(tmp_path / "ms")])
        assert [model.is_new for model in report.models] == [False]
        assert len(store.snapshots()) == 1

    def test_the_commit_of_modelscopes_model_is_the_digest_of_its_files(self, store: Store, tmp_path: Path) -> None:
        older_modelscope_repository(tmp_path / "ms/hub/own/na___me", FILES)
        adopt(store, [place_at(tmp_path / "ms")])
        manifest = saved(store, "ms:own/na.me").manifest
        assert manifest.commit == content_digest(manifest_of(FILES).entries)[:40]

    @pytest.mark.parametrize("is_known", [True, False])
    def test_a_view_of_ours_is_not_another_model(self, store: Store, tmp_path: Path, *, is_known: bool) -> None:
        entries = manifest_of(FILES).entries
        commit = content_digest(entries)[:40]
        pulled = bring(store, FILES, manifest_of(FILES, hub="modelscope", repo="own/name", commit=commit))
        huggingface.link(store, pulled, tmp_path / "hub")
        modelscope.link(store, pulled, tmp_path / "ms")
        here = store if is_known else Store.open(tmp_path / "another")
        report = adopt(here, [place_at(tmp_path / "hub"), place_at(tmp_path / "ms")])
        assert report.refusals == () or not is_known
        assert {str(snapshot.manifest.hub) for snapshot in here.snapshots()} == {"modelscope"}
        assert len(here.snapshots()) == 1

    def test_a_view_of_a_part_of_another_hubs_model_is_not_another_model(self, store: Store, tmp_path: Path) -> None:
        commit = content_digest(manifest_of(FILES).entries)[:40]
        manifest = manifest_of(FILES, hub="modelscope", repo="own/name", commit=commit)
        huggingface.link(store, bring(store, {"config.json": b"{}"}, manifest), tmp_path / "hub")
        report = adopt(store, [place_at(tmp_path / "hub")])
        assert [model.is_new for model in report.models] == [False]
        assert len(store.snapshots()) == 1


class TestNames:
    def test_ollamas_weights_come_without_a_record_and_under_a_name_with_one(
        self, store: Store, tmp_path: Path
    ) -> None:
        weights = ollama_model(tmp_path / "ollama", WEIGHTS)
        report = adopt(store, [place_at(tmp_path / "ollama")])
        assert count(report) == {State.LINKED: 1}
        assert store.snapshots() == []
        assert store.find(Digests(digests_of(WEIGHTS).sha256), len(WEIGHTS)) is not None
        adopt(store, [place_at(tmp_path / "ollama")], name=parse("me/smol"))
        snapshot = saved(store, "local:me/smol")
        assert snapshot.file("smollm2-latest.gguf").samefile(weights)

    def test_of_a_folder_without_a_name_only_the_weights_are_taken(self, store: Store, tmp_path: Path) -> None:
        write_all(tmp_path / "mine", FILES)
        report = adopt(store, [place_at(tmp_path / "mine")])
        assert [fate.path.name for fate in report.fates] == ["model.safetensors"]
        adopt(store, [place_at(tmp_path / "mine")], name=parse("me/mine"))
        assert contents(saved(store, "me/mine").folder) == FILES

    def test_the_name_leads_to_the_whole_after_a_run_that_could_take_a_part(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write_all(tmp_path / "mine", FILES)
        with monkeypatch.context() as failing:
            failing.setattr("modelfetch.store.adopting._hash", _unreadable)
            adopt(store, [place_at(folder)], name=parse("me/mine"))
        part = saved(store, "me/mine")
        assert contents(part.folder) == {path: FILES[path] for path in FILES if path != "model.safetensors"}
        assert not part.complete
        adopt(store, [place_at(folder)], name=parse("me/mine"))
        assert contents(saved(store, "me/mine").folder) == FILES
        assert saved(store, "me/mine").complete

    @pytest.mark.parametrize("names", [[], ["one", "two"]])
    def test_a_name_is_for_exactly_one_model(self, store: Store, tmp_path: Path, names: list[str]) -> None:
        (tmp_path / "models").mkdir()
        for name in names:
            write_all(tmp_path / "models" / name, FILES)
        with pytest.raises(UsageError, match="one model without a name"):
            adopt(store, [place_at(tmp_path / "models")], name=parse("me/mine"))
        assert store.usage().blobs == 0


class TestDisks:
    @pytest.fixture
    def elsewhere(self, tmp_path: Path) -> Path:
        """A folder on another file system than the store's."""
        folder = Path("/dev/shm")
        if not folder.is_dir() or folder.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system here")
        made = subprocess.run(["mktemp", "-d", "-p", folder], capture_output=True, text=True, check=True)
        return Path(made.stdout.strip())

    def test_what_is_on_another_disk_is_left_and_copied_on_request(self, store: Store, elsewhere: Path) -> None:
        try:
            huggingface_cache(elsewhere, FILES)
            report = adopt(store, [place_at(elsewhere)])
            assert count(report) == {State.LEFT: 3}
            assert report.size_bytes(State.LEFT) == sum(map(len, FILES.values()))
            assert store.snapshots() == []
            copied = adopt(store, [place_at(elsewhere)], copy=True)
            assert count(copied) == {State.COPIED: 3}
            assert contents(saved(store).folder) == FILES
            assert verify(store).ok
            assert stat.S_IMODE(blob(elsewhere).stat().st_mode) & 0o200
        finally:
            subprocess.run(["rm", "-r", elsewhere], check=True)

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give files away")
    def test_another_users_file_is_never_hard_linked(self, store: Store, cache: Path) -> None:
        os.chown(blob(cache), 12345, 12345)
        report = adopt(store, [place_at(cache)])
        assert [fate.why for fate in report.files(State.LEFT)] == ["it belongs to another user, who may write to it"]
        assert blob(cache).stat().st_nlink == 1
        assert stat.S_IMODE(blob(cache).stat().st_mode) & 0o200
        assert count(adopt(store, [place_at(cache)], copy=True)) == {State.COPIED: 1, State.HERE: 2}

    def test_a_full_disk_is_said_and_leaves_the_store_as_it_was(
        self, store: Store, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(28, os.strerror(28))

        monkeypatch.setattr("modelfetch.store.adopting.fsync_file", full)
        with pytest.raises(DiskFullError):
            adopt(store, [place_at(cache)])
        assert store.snapshots() == []
        assert store.usage().blobs == 0
        assert list((store.blobs.root / ".temporary").iterdir()) == []

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write to everything")
    def test_a_store_that_cannot_be_written_to_is_said(self, store: Store, cache: Path) -> None:
        store.blobs.root.mkdir(mode=0o500)
        with pytest.raises(StoreError, match="cannot be written to"):
            adopt(store, [place_at(cache)])


class TestChanges:
    @pytest.mark.parametrize("how", ["ab", "r+b"])
    def test_a_file_that_is_written_to_while_it_is_hashed_is_not_taken(
        self, store: Store, cache: Path, how: str
    ) -> None:
        os.utime(blob(cache), (1e9, 1e9))

        def listen(hashed: Hashed) -> None:
            if hashed.path == blob(cache):
                with hashed.path.open(how) as file:
                    file.write(WEIGHTS[:4])

        report = adopt(store, [place_at(cache)], listener=listen)
        (left,) = report.files(State.LEFT)
        assert (left.path, left.why) == (blob(cache), "it was written to meanwhile")
        assert blob(cache).stat().st_nlink == 1

    def test_a_file_that_was_exchanged_since_it_was_found_is_not_taken(self, store: Store, tmp_path: Path) -> None:
        file = write(tmp_path / "file", b"one")
        source = Source(file, file.lstat(), Digests())
        file.unlink()
        file.symlink_to(write(tmp_path / "other", b"one"))
        assert take_in(store, source, (Method.HARD_LINK, Method.COPY), _NOBODY) == NotTaken(Obstacle.CHANGED)

    def test_a_file_that_is_exchanged_before_it_is_linked_is_not_taken(
        self, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file, other = write(tmp_path / "file", b"one"), write(tmp_path / "other", b"one")

        def hard_link(source: Path, target: Path) -> bool:
            other.replace(source)
            os.link(source, target)
            return True

        monkeypatch.setattr("modelfetch.store.adopting.hard_link", hard_link)
        source = Source(file, file.lstat(), Digests())
        assert take_in(store, source, (Method.HARD_LINK,), _NOBODY) == NotTaken(Obstacle.NO_LINK)
        assert store.usage().blobs == 0

    def test_a_file_that_cannot_be_read_is_left(self, store: Store, cache: Path) -> None:
        place = place_at(cache)
        blob(cache).unlink()
        blob(cache).symlink_to("/proc/self/mem")
        report = adopt(store, [place])
        assert [refusal.path.name for refusal in report.refusals] == ["model.safetensors"]
        source = Source(cache, cache.lstat(), Digests())
        outcome = take_in(store, source, (Method.COPY,), _NOBODY)
        assert isinstance(outcome, NotTaken)
        assert outcome.obstacle is Obstacle.UNREADABLE

    def test_an_interruption_leaves_the_store_and_the_cache_as_they_were(self, store: Store, cache: Path) -> None:
        before = disk(cache)

        def interrupt(hashed: Hashed) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            adopt(store, [place_at(cache)], listener=interrupt)
        assert disk(cache) == before
        assert blob(cache).stat().st_nlink == 1
        assert store.snapshots() == []

    @pytest.mark.parametrize(
        "dies_in", ["publish", "fsync_file", "Blobs.stamp", "Store.save", "Records.write_reference"]
    )
    def test_killed_anywhere_the_next_run_heals(self, store: Store, cache: Path, dies_in: str) -> None:
        module = {"Blobs.stamp": "blobs", "Store.save": "store", "Records.write_reference": "records"}.get(
            dies_in, "adopting"
        )
        script = f"""
            import os, sys
            from pathlib import Path
            from modelfetch.adopt import adopt, place_at
            from modelfetch.store import Store, adopting, blobs, records, store
            def die(*_, **__): os.kill(os.getpid(), 9)
            {module}.{dies_in} = die
            adopt(Store.open(Path(sys.argv[1])), [place_at(Path(sys.argv[2]))])
        """
        died = subprocess.run([sys.executable, "-c", textwrap.dedent(script), store.home, cache], check=False)
        assert died.returncode == -9
        assert verify(store).ok
        assert contents(cache / f"models--own--name/snapshots/{COMMIT}") == FILES
        adopt(store, [place_at(cache)])
        assert contents(saved(store).folder) == FILES
        assert verify(store).ok


def test_two_processes_that_adopt_the_same_cache_both_succeed(store: Store, cache: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from modelfetch.adopt import adopt, place_at
        from modelfetch.store import Store
        assert adopt(Store.open(Path(sys.argv[1])), [place_at(Path(sys.argv[2]))]).ok
    """
    command: list[str | Path] = [sys.executable, "-c", textwrap.dedent(script), store.home, cache]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert contents(saved(store).folder) == FILES
    assert saved(store).file("model.safetensors").samefile(blob(cache))
    assert list((store.blobs.root / ".temporary").iterdir()) == []


def test_places_that_are_not_there_have_nothing(store: Store, tmp_path: Path) -> None:
    report = adopt(store, [Place(tool, tmp_path / "nowhere", "default") for tool in Tool])
    assert (report.models, report.fates, report.orphans, report.ok) == ((), (), (), True)
