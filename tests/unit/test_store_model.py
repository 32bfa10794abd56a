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

from modelfetch.manifest import Manifest
from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import Reference
from modelfetch.store import Store
from modelfetch.store.files import files_below
from modelfetch.verify import verify
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


@dataclass
class Expected:
    """What the store must answer, kept in plain dicts."""

    files: dict[tuple[str, str, str], dict[str, bytes]] = field(default_factory=dict)
    references: dict[tuple[str, str, str | None], str] = field(default_factory=dict)

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

    @precondition(lambda self: self.expected.files)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        hub, repo, commit = data.draw(st.sampled_from(sorted(self.expected.files)))
        snapshots = [
            snapshot
            for snapshot in self.store.snapshots()
            if (snapshot.manifest.hub, snapshot.manifest.repo, snapshot.manifest.commit) == (hub, repo, commit)
        ]
        assert len(snapshots) == 1
        before = self.expected.needed()
        removal = self.store.remove(*snapshots, dry_run=False)
        del self.expected.files[hub, repo, commit]
        self.expected.references = {
            name: target
            for name, target in self.expected.references.items()
            if (*name[:2], target) != (hub, repo, commit)
        }
        gone = before - self.expected.needed()
        assert removal.freed_bytes == sum(map(len, gone))
        self.damaged -= gone

    @rule(models=st.booleans())
    def prune(self, models: bool) -> None:
        """A year later, what nobody needs; with `models`, all of these too."""
        wishes = Wishes(keep_within_s=0.0 if models else None)
        now = time.time() + 365 * 24 * 60 * 60
        done = carry_out(self.store, look_and_plan(self.store, wishes, now=now), wishes, now=now)
        assert look_and_plan(self.store, wishes, now=now).goes == ()
        if models:
            assert len(done.snapshots) == len(self.expected.files)
            self.expected = Expected()
            self.damaged.clear()
            left = {path.relative_to(self.store.home).as_posix() for path in files_below(self.store.home)}
            assert left == {"store-version"}

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
        for kind in ("verified", "git-sha1"):
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

    def _blob(self, content: bytes) -> Path:
        digest = digests_of(content).sha256
        assert digest is not None
        return self.store.blob(digest)


StoreMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)
TestStore = StoreMachine.TestCase
