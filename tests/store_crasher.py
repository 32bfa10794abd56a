"""`store_crasher FOLDER`: kills the store's work before every single change of the disk, and checks what is left.

Run in a process of its own by `test_store_crash`: it forks, and Python's audit events announce every change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Snapshot, Store
from modelfetch.store.views import folder, huggingface, modelscope
from modelfetch.verification import verify
from tests.conftest import safetensors_bytes
from tests.stored import bring, contents, deliver, digests_of, manifest_of, write_data

WEIGHTS = safetensors_bytes({"weight": b"w" * 1_200_000})
OLD = {"config.json": b'{"old": true}', "model.safetensors": WEIGHTS}
NEW = {"config.json": b'{"new": true}', "model.safetensors": WEIGHTS, "sub/vocab.txt": b"a\nb\n"}
OLD_COMMIT, NEW_COMMIT = "a" * 40, "b" * 40
EDITED = b"edited by the user"
KNOWN = {*OLD.values(), *NEW.values(), EDITED}

# After every kill the step is done again; after every so many the rest of the way is, too.
WALKED_TO_THE_END = 4

CHANGES = frozenset({"os.chmod", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink"})


def pull_old(home: Path) -> None:
    bring(open_store(home), OLD, manifest_of(OLD, commit=OLD_COMMIT))


def pull_new(home: Path) -> None:
    bring(open_store(home), NEW, manifest_of(NEW, commit=NEW_COMMIT))


def link_to_tools(home: Path) -> None:
    store = open_store(home)
    huggingface.link(store, newest(store), home / "hub")
    modelscope.link(store, newest(store), home / "ms")


def link_everywhere(home: Path) -> None:
    link_to_tools(home)
    store = open_store(home)
    folder.link(store, newest(store), home / "mine")


def pull_into_folder(home: Path) -> None:
    deliver(FolderDestination(open_store(home), home / "plain"), OLD, manifest_of(OLD, repo="owner/plain"))


def mend(home: Path) -> None:
    store = open_store(home)
    blob = store.blob(str(digests_of(WEIGHTS).sha256))
    if blob.exists() and blob.read_bytes() == WEIGHTS:
        blob.unlink()
        blob.write_bytes(b"X" + WEIGHTS[1:])

    def fetch_again(snapshot: Snapshot, paths: frozenset[str]) -> None:
        files = OLD if snapshot.manifest.commit == OLD_COMMIT else NEW
        for path in paths:
            store.publish_bytes(files[path], digests_of(files[path]))

    assert verify(store, repair=fetch_again, jobs=1).ok


def remove_old(home: Path) -> None:
    store = open_store(home)
    store.remove(*store.matching(parse(f"owner/name@{OLD_COMMIT}")), dry_run=False)


def remove_all(home: Path) -> None:
    store = open_store(home)
    store.remove(*store.matching(parse("owner/name")), dry_run=False)
    assert not store.matching(parse("owner/name"))


def prune_all(home: Path) -> None:
    """Everything that is not used, a year later: models with their views, unnamed bytes, a dead partial, hints."""
    store = open_store(home)
    dead = store.partials / ("d" * 64)
    if not dead.exists():
        write_data(dead, b"half")
    now, wishes = time.time() + 365 * 24 * 60 * 60, Wishes(keep_within_s=0.0)
    carry_out(store, look_and_plan(store, wishes, now=now), wishes, now=now)
    assert not store.matching(parse("owner/name"))
    # The user's folder has a hard link of the weights, and a kill may have left one in a cache: removing frees nothing.
    assert all(store.blob(sha256).stat().st_nlink > 1 for sha256, _ in store.blobs.sizes())
    assert not list(store.partials.iterdir())


STEPS: tuple[Callable[[Path], None], ...] = (
    pull_old,
    link_everywhere,
    pull_new,
    link_everywhere,
    pull_into_folder,
    mend,
    remove_old,
    remove_all,
    pull_new,
    link_to_tools,
    prune_all,
)
REMOVERS = (mend, remove_old, remove_all, prune_all)


def open_store(home: Path) -> Store:
    return Store.open(home / "store")


def newest(store: Store) -> Snapshot:
    snapshot = store.lookup(parse("owner/name"))
    assert snapshot is not None
    return snapshot


def check(home: Path, step: Callable[[Path], None]) -> None:
    """What docs/store.md promises after a kill."""
    store = Store.open(home / "store", create=False)
    if step is not mend:
        for sha256, _ in store.blobs.sizes():
            assert hashlib.sha256(store.blob(sha256).read_bytes()).hexdigest() == sha256
    assert store.damaged_records() == ()
    if step not in REMOVERS:
        assert verify(store, jobs=1).ok
    for place in ("mine", "plain"):
        assert set(contents(home / place).values()) <= KNOWN
    hub = home / "hub/models--owner--name"
    for reference in (hub / "refs").glob("*"):
        shown = contents(hub / "snapshots" / reference.read_text())
        assert shown in (OLD, NEW) or step in REMOVERS
    for record in store.snapshots():
        if step not in REMOVERS:
            assert contents(record.folder) in (OLD, NEW)


def killed_before(change: int, home: Path, step: Callable[[Path], None]) -> bool:
    """Run `step` in a child that is killed before that change; False when it ended before."""
    child = os.fork()
    if child == 0:
        seen = count(1)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in CHANGES or writes) and next(seen) == change:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        try:
            step(home)
        except BaseException as error:  # noqa: BLE001 - the child must not run on as a second parent
            print(f"{step.__name__}: {error!r}", flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status not in {0, -signal.SIGKILL}:
        raise AssertionError(f"{step.__name__} failed before change {change}")
    return status != 0


def main() -> None:
    root = Path(sys.argv[1])
    kills = 0
    for position, step in enumerate(STEPS):
        for change in count(1):
            home = root / f"{position}-{change}"
            home.mkdir()
            for earlier in STEPS[:position]:
                earlier(home)
            killed = killed_before(change, home, step)
            check(home, step)
            if killed:
                assert not killed_before(0, home, step)
                check(home, step)
            if killed and change % WALKED_TO_THE_END == 0:
                for later in STEPS[position + 1 :]:
                    later(home)
                # Whatever was interrupted, the way ends where it would have without.
                assert contents(home / "mine") == NEW
                assert contents(home / "plain") == OLD
                assert open_store(home).usage().snapshots == 1
            shutil.rmtree(home)
            if not killed:
                break
            kills += 1
    print(kills)


if __name__ == "__main__":
    main()
