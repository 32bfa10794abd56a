"""The store against a dict: any order of pulls, removals, damage and restarts, checked after every step."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelfetch.adopt import adopt, place_at
from modelfetch.manifest import Manifest
from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import Reference
from modelfetch.store import Snapshot, Store
from modelfetch.store.files import files_below
from modelfetch.store.views import folder, huggingface
from modelfetch.verification import verify
from tests.other_tools import huggingface_cache, write
from tests.stored import bring, contents, digests_of, manifest_of

# Few names and few contents, so that bytes are shared, replaced and brought again all the time.
HUBS = st.sampled_from(["huggingface", "modelscope"])
REPOS = st.sampled_from(["owner/name", "owner/other"])
REVISIONS = st.sampled_from([None, "v1", "default"])
COMMITS = st.sampled_from([digit * 40 for digit in "abc"])
CONTENTS = st.sampled_from([b"", b"x", b"y" * 10, b"w" * 100_001])
# Of one commit the listing is always the same, as it is on a hub.
LISTINGS: dict[str, dict[str, bytes]] = {
    "a" * 40: {"config.json": b"x", "weights.dat": b"w" * 100_001, "empty": b""},
    "b" * 40: {"config.json": b"y" * 10, "weights.dat": b"w" * 100_001},
    "c" * 40: {"sub/folder/config.json": b"x"},
}

# Hub, repository and commit of a model.
Key = tuple[str, str, str]


@dataclass
class Expected:
    """What the store must answer, kept in plain dicts."""

    files: dict[Key, dict[str, bytes]] = field(default_factory=dict)
    references: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    # What a plain folder of the user's shows at least: files by their paths.
    shown: dict[str, bytes] = field(default_factory=dict)

    def needed(self) -> set[bytes]:
        return {content for files in self.files.values() for content in files.values()}


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        # In memory where that is possible: thousands of fsyncs are of no interest here.
        memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="modelfetch-store-", dir=memory))
        self.expected = Expected()
        # What was published once may be there or not; what is needed must be.
        self.damaged: set[bytes] = set()
        # The models of which the user's folder may show something: those may stay when others go.
        self.linked: set[Key] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @initialize()
    def open(self) -> None:
        self.store = Store.open(self.folder / "home")

    @rule(hub=HUBS, repo=REPOS, revision=REVISIONS, commit=COMMITS, data=st.data())
    def pull(self, hub: str, repo: str, revision: str | None, commit: str, data: st.DataObject) -> None:
        listing = LISTINGS[commit]
        chosen = data.draw(st.sets(st.sampled_from(sorted(listing)), min_size=1))
        manifest: Manifest = manifest_of(listing, hub=hub, repo=repo, revision=revision, commit=commit)
        files = {path: listing[path] for path in chosen}
        bring(self.store, files, manifest)
        self.expected.files.setdefault((hub, repo, commit), {}).update(files)
        self.expected.references[hub, repo, revision] = commit
        self.damaged -= set(files.values())

    @precondition(lambda self: self._whole())
    @rule(data=st.data())
    def link(self, data: st.DataObject) -> None:
        """Into the user's folder: what another model has put there stays, but for the names that both have."""
        key = data.draw(st.sampled_from(sorted(self._whole())))
        folder.link(self.store, self._snapshot(key), self.folder / "shown")
        self.expected.shown |= self.expected.files[key]
        self.linked.add(key)

    @precondition(lambda self: self.expected.shown)
    @rule(data=st.data())
    def take_from_the_view(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(self.expected.shown)))
        (self.folder / "shown" / path).unlink()
        del self.expected.shown[path]

    @precondition(lambda self: self._whole())
    @rule(data=st.data())
    def link_and_unlink_a_cache(self, data: st.DataObject) -> None:
        """Hugging Face's cache shows what is linked there, and nothing when that is taken away again."""
        key = data.draw(st.sampled_from(sorted(self._whole())))
        cache = self.folder / "cache"
        shown = huggingface.link(self.store, self._snapshot(key), cache)
        assert contents(shown.folder).items() >= self.expected.files[key].items()
        shutil.rmtree(cache)

    @rule(commit=COMMITS)
    def adopt(self, commit: str) -> None:
        """From another tool's cache, which must not change."""
        files = {path: content for path, content in LISTINGS[commit].items() if content}
        theirs = self.folder / "theirs"
        huggingface_cache(theirs, files, repo="owner/adopted", commit=commit, branch=None)
        report = adopt(self.store, [place_at(theirs)])
        assert report.ok
        shown = theirs / "models--owner--adopted/snapshots" / commit
        assert contents(shown) == files
        shutil.rmtree(theirs)
        self.expected.files.setdefault(("huggingface", "owner/adopted", commit), {}).update(files)
        self.damaged -= set(files.values())

    @rule()
    def spoil_the_lists_of_pieces(self) -> None:
        for sha256, _ in self.store.blobs.sizes():
            write(self.store.blobs.root / "pieces" / sha256[:2] / sha256, b"modelfetch-pieces 1 4194304 7 00000000\nx")

    @precondition(lambda self: self.expected.files)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        hub, repo, commit = data.draw(st.sampled_from(sorted(self.expected.files)))
        going = self._snapshot((hub, repo, commit))
        before = self.expected.needed()
        removal = self.store.remove(going, dry_run=False)
        self._forget({(hub, repo, commit)})
        gone = before - self.expected.needed()
        assert removal.freed_bytes == sum(map(len, gone))
        self.damaged -= gone

    @rule(models=st.booleans())
    def prune(self, models: bool) -> None:
        """A year later, what nobody needs; with `models`, all of these too but what is in the user's folder."""
        wishes = Wishes(keep_within_s=0.0 if models else None)
        now = time.time() + 365 * 24 * 60 * 60
        done = carry_out(self.store, look_and_plan(self.store, wishes, now=now), wishes, now=now)
        assert look_and_plan(self.store, wishes, now=now).goes == ()
        if not models:
            assert done.snapshots == ()
            return
        gone = {(one.manifest.hub, one.manifest.repo, one.manifest.commit) for one in done.snapshots}
        assert gone >= self.expected.files.keys() - self.linked
        self._forget(gone)
        self.damaged &= self.expected.needed()
        if not self.expected.files:
            left = {path.relative_to(self.store.home).as_posix() for path in files_below(self.store.home)}
            assert left == {"store-version"}

    def _forget(self, keys: set[Key]) -> None:
        for key in keys:
            del self.expected.files[key]
        self.linked -= keys
        self.expected.references = {
            name: target for name, target in self.expected.references.items() if (*name[:2], target) not in keys
        }

    @precondition(lambda self: self.expected.needed() - self.damaged - {b""})
    @rule(data=st.data(), how=st.sampled_from(["change", "cut", "lose"]))
    def damage(self, data: st.DataObject, how: str) -> None:
        content = data.draw(st.sampled_from(sorted(self.expected.needed() - self.damaged - {b""})))
        blob = self._blob(content)
        blob.unlink()
        if how != "lose":
            blob.write_bytes(bytes([content[0] ^ 1]) + content[1:] if how == "change" else content[1:])
        self.damaged.add(content)

    @rule()
    def restart(self) -> None:
        self.store = Store.open(self.folder / "home")

    @rule()
    def lose_every_hint(self) -> None:
        for kind in ("verified", "git-sha1", "pieces"):
            shutil.rmtree(self.store.blobs.root / kind, ignore_errors=True)

    @rule()
    def repair(self) -> None:
        def fetch_again(snapshot: object, paths: frozenset[str]) -> None:
            for files in self.expected.files.values():
                for path in paths & files.keys():
                    digests = digests_of(files[path])
                    self.store.publish_bytes(files[path], digests)

        report = verify(self.store, repair=fetch_again, jobs=2)
        assert report.ok
        assert any(finding.repaired for finding in report.findings) == bool(self.damaged)
        self.damaged.clear()

    @invariant()
    def the_store_has_what_was_pulled(self) -> None:
        found = {
            (snapshot.manifest.hub, snapshot.manifest.repo, snapshot.manifest.commit): snapshot
            for snapshot in self.store.snapshots()
        }
        assert {key: snapshot.paths for key, snapshot in found.items()} == {
            key: files.keys() for key, files in self.expected.files.items()
        }
        for key, files in self.expected.files.items():
            whole = {path: content for path, content in files.items() if content not in self.damaged}
            here = contents(found[key].folder)
            assert {path: here[path] for path in whole} == whole

    @invariant()
    def a_name_leads_where_the_last_pull_of_it_went(self) -> None:
        for (hub, repo, revision), commit in self.expected.references.items():
            owner, _, name = repo.partition("/")
            snapshot = self.store.lookup(Reference(owner, name, hub, revision))
            assert snapshot is not None
            assert snapshot.manifest.commit == commit

    @invariant()
    def a_blob_is_found_when_it_is_whole_and_only_then(self) -> None:
        for content in self.expected.needed():
            found = self.store.find(digests_of(content), len(content))
            assert found == (None if content in self.damaged else digests_of(content))

    @invariant()
    def nothing_is_kept_that_nothing_needs(self) -> None:
        needed = {digests_of(content).sha256 for content in self.expected.needed()}
        assert {sha256 for sha256, _ in self.store.blobs.sizes()} <= needed

    @invariant()
    def a_folder_shows_what_was_linked_and_is_never_taken_away(self) -> None:
        shown = contents(self.folder / "shown")
        # A repair makes again what was taken from a view of which some is left, of whichever model it mends.
        assert shown.keys() >= self.expected.shown.keys()
        for path, content in shown.items():
            assert content in [files.get(path) for files in LISTINGS.values()]

    def _whole(self) -> list[Key]:
        """The models without damage."""
        return [key for key, files in self.expected.files.items() if not self.damaged & set(files.values())]

    def _snapshot(self, key: Key) -> Snapshot:
        [snapshot] = [
            snapshot
            for snapshot in self.store.snapshots()
            if (snapshot.manifest.hub, snapshot.manifest.repo, snapshot.manifest.commit) == key
        ]
        return snapshot

    def _blob(self, content: bytes) -> Path:
        digest = digests_of(content).sha256
        assert digest is not None
        return self.store.blob(digest)


StoreMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestStore = StoreMachine.TestCase
