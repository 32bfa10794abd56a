"""docs/store.md against the disk: every file that a used store, folder or view has is one that the page describes."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from modelfetch.hashing import Pieces
from modelfetch.planning.scheduler import PIECE
from modelfetch.sdk.order import Order
from modelfetch.store import FolderDestination, Store
from modelfetch.store.listing import read_summaries
from modelfetch.store.store import VERSION_FILE
from modelfetch.store.views import folder, huggingface, modelscope
from modelfetch.transfer.needs import Needs
from tests.pulling import endpoint
from tests.stored import bring, deliver, manifest_of

PAGE = (Path(__file__).parents[2] / "docs/store.md").read_text()
FILES = {"config.json": b"{}", "weights.dat": b"w" * 1_200_000, "sub/folder/vocab.txt": b"a\nb\n"}
PLACEHOLDERS = {
    "sha256": "[0-9a-f]{64}",
    "git-sha1": "[0-9a-f]{40}",
    "digest": "[0-9a-f]{40,64}",
    "commit": "[0-9a-f]{40}",
    "16 hex": "[0-9a-f]{16}",
    "hub": "[a-z]+",
    "owner": "[^/]+",
    "name": "[^/]+",
    "revision": "[^/]+",
    "path": ".+",
}


def described(root: str) -> list[re.Pattern[str]]:
    """The paths of the block that begins with `root`, as patterns; a folder without lines of its own may hold any."""
    lines = PAGE[PAGE.index(f"    {root}/") :].split("\n\n")[0].splitlines()
    depths = [len(line) - len(line.lstrip()) for line in lines]
    patterns = []
    parents: dict[int, str] = {}
    for number, line in enumerate(lines):
        depth = depths[number]
        name = line.strip().split("  ")[0].removeprefix(f"{root}/")
        parent = parents[max(known for known in parents if known < depth)] if depth > depths[0] else ""
        if name.endswith("/") or not name:
            parents = {known: path for known, path in parents.items() if known < depth} | {depth: parent + name}
            if number + 1 < len(lines) and depths[number + 1] > depth:
                continue
            name += "**"
        patterns.append(re.compile(_as_pattern(parent + name)))
    return patterns


def _as_pattern(path: str) -> str:
    pattern = re.escape(path).replace("/ab/", "/[0-9a-f]{2}/").replace(r"\*\*", ".*")
    for placeholder, allowed in PLACEHOLDERS.items():
        pattern = pattern.replace(re.escape(f"<{placeholder}>"), allowed)
    assert "<" not in pattern, f"{path} has a placeholder that this test does not know"
    return pattern


def not_described(folder_path: Path, patterns: list[re.Pattern[str]]) -> list[str]:
    names = [path.relative_to(folder_path).as_posix() for path in folder_path.rglob("*") if not path.is_dir()]
    assert names
    return [name for name in names if not any(pattern.fullmatch(name) for pattern in patterns)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(tmp_path / "home")
    bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, hub="modelscope", revision="feature/x"))
    bring(store, {"damaged.dat": b"d" * 200_000}, manifest_of({"damaged.dat": b"d" * 200_000}, repo="owner/other"))
    store.blobs.set_damaged_aside(next(sha256 for sha256, size in store.blobs.sizes() if size == 200_000))
    store.blobs.pieces.keep(Pieces(PIECE + 1, (b"\x01" * 32, b"\x02" * 32)))
    partial = store.partial(manifest_of(FILES).entries[0].digests)
    partial.mkdir(parents=True)
    (partial / "data").write_bytes(b"half")
    order = Order(manifest_of(FILES), endpoint("https://hub.example.com"))
    log = store.partials / order.name / "log"
    log.parent.mkdir()
    log.write_text("what the client said", encoding="utf-8")
    announce(store)
    for snapshot in store.snapshots():
        store.records.note_used(snapshot)
    read_summaries(store.records)
    return store


def announce(store: Store) -> None:
    """What a pull that is killed leaves of its needs."""
    needs = Needs(store.partials)
    needs.add("a" * 64)
    with needs:
        shutil.copytree(needs.folder, store.partials / f"pull-{'0' * 16}")


def test_a_store_has_only_what_the_page_describes(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES, repo="owner/third"))
    assert not_described(store.home, described("$MODELFETCH_HOME")) == []


def test_the_page_describes_nothing_that_is_not_made(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES, repo="owner/third"))
    for snapshot in store.snapshots():
        store.records.note_used(snapshot)
    names = [path.relative_to(store.home).as_posix() for path in store.home.rglob("*") if not path.is_dir()]
    unused = [
        pattern.pattern
        for pattern in described("$MODELFETCH_HOME")
        if not any(pattern.fullmatch(name) for name in names) and ".temporary" not in pattern.pattern.replace("\\", "")
    ]
    assert unused == []


def test_a_plain_folder_has_only_what_the_page_describes(store: Store, tmp_path: Path) -> None:
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    state = tmp_path / "mine/.modelfetch"
    allowed = [pattern for pattern in described("DIR") if "modelfetch" in pattern.pattern]
    assert (
        not_described(state, [re.compile(pattern.pattern.removeprefix(r"\.modelfetch/")) for pattern in allowed]) == []
    )
    stamp = json.loads((state / "stamps.jsonl").read_text().split("\n")[1])
    assert all(f'"{key}"' in PAGE for key in stamp)


def test_a_record_has_only_the_keys_that_the_page_describes(store: Store) -> None:
    snapshot = bring(store, FILES)
    keys = json.loads(store.records.record(snapshot).read_text()).keys() - snapshot.manifest.to_json().keys()
    assert all(f"`{key}`" in PAGE for key in keys)


def test_the_version_is_the_one_on_the_page(store: Store) -> None:
    assert f'"{(store.home / VERSION_FILE).read_text().strip()}"' in PAGE


def test_views_have_only_what_the_page_describes(store: Store, tmp_path: Path) -> None:
    snapshot = bring(store, FILES)
    huggingface.link(store, snapshot, tmp_path / "hub")
    modelscope.link(store, snapshot, tmp_path / "ms")
    folder.link(store, snapshot, tmp_path / "mine")
    hub = r"CACHEDIR\.TAG|\.locks/.*\.lock|models--owner--name/(blobs|snapshots|trees|refs)/.*"
    assert not_described(tmp_path / "hub", [re.compile(hub)]) == []
    ms = r"models/owner--name/(snapshots/master/.*|\.modelfetch/stamps\.jsonl)"
    assert not_described(tmp_path / "ms", [re.compile(ms)]) == []
    own = r"\.modelfetch/stamps\.jsonl|" + "|".join(map(re.escape, FILES))
    assert not_described(tmp_path / "mine", [re.compile(own)]) == []
