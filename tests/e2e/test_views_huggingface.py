"""The Hugging Face view before the real clients, offline: transformers, huggingface_hub, `hf cache`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from modelfetch.store.views import huggingface
from tests.models import tiny
from tests.stored import COMMIT, bring, contents, manifest_of

pytestmark = pytest.mark.e2e

REPO = "owner/tiny"
MS_COMMIT = "e" * 40


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny model that was never trained, and a file in a folder."""
    folder = tiny("chat", tmp_path_factory.mktemp("tiny") / "chat")
    return {**contents(folder), "extra/notes.txt": b"kept in a folder\n"}


class Machine:
    """A home with a store and a Hugging Face cache, for child processes that are offline."""

    def __init__(self, home: Path) -> None:
        self.store = Store.open(home / "modelfetch")
        self.cache = home / ".cache/huggingface/hub"

    def python(self, script: str) -> Any:
        """Run `script` in a fresh process, offline, with no other setting; what it printed last, as JSON."""
        done = subprocess.run(
            [sys.executable, "-W", "error::UserWarning", "-c", script],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def hf(self, *arguments: str) -> str:
        """Run the `hf` command."""
        done = subprocess.run(
            [str(Path(sys.executable).with_name("hf")), *arguments],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def machine(own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.delenv("XDG_CACHE_HOME")
    return Machine(own_environment)


def linked(machine: Machine, files: dict[str, bytes], **manifest: Any) -> Snapshot:
    snapshot = bring(machine.store, files, manifest_of(files, repo=REPO, **manifest))
    huggingface.link(machine.store, snapshot, machine.cache)
    return snapshot


LOAD = f"""
import json, torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
config = AutoConfig.from_pretrained("{REPO}")
tokenizer = AutoTokenizer.from_pretrained("{REPO}")
model = AutoModelForCausalLM.from_pretrained("{REPO}")
ids = tokenizer("hello", return_tensors="pt")
with torch.no_grad():
    logits = model(**ids).logits
print(json.dumps([config.model_type, list(logits.shape)[-1] == config.vocab_size]))
"""


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_transformers_loads_by_name(machine: Machine, files: dict[str, bytes], hub: str) -> None:
    linked(machine, files, hub=hub, commit=COMMIT if hub == "huggingface" else MS_COMMIT)
    model_type, right_size = machine.python(LOAD)
    assert model_type == json.loads(files["config.json"])["model_type"]
    assert right_size


def test_transformers_loads_over_two_disks(machine: Machine, files: dict[str, bytes], tmp_path: Path) -> None:
    other_disk = Path("/dev/shm")
    if not other_disk.is_dir() or other_disk.stat().st_dev == machine.store.home.stat().st_dev:
        pytest.skip("needs a second file system at /dev/shm")
    home = other_disk / f"modelfetch-views-{os.getpid()}"
    machine.store = Store.open(home)
    try:
        snapshot = linked(machine, files)
        blob = next((machine.cache / "models--owner--tiny/blobs").iterdir())
        assert blob.is_symlink()
        assert machine.python(LOAD)[1]
        machine.hf("cache", "rm", "model/owner/tiny", "--yes")
        assert contents(snapshot.folder) == files, "the client removed its own names only"
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)


def test_the_hubs_own_readers_find_every_file(machine: Machine, files: dict[str, bytes]) -> None:
    linked(machine, files)
    folder, cached, not_cached, tree = machine.python(
        f"""
import json
from huggingface_hub import get_cached_repo_tree, snapshot_download, try_to_load_from_cache
folder = snapshot_download("{REPO}", local_files_only=True)
cached = try_to_load_from_cache("{REPO}", "extra/notes.txt")
not_cached = try_to_load_from_cache("{REPO}", "no-such-file")
tree = sorted(entry.path for entry in get_cached_repo_tree("{REPO}", revision="{COMMIT}"))
print(json.dumps([folder, cached, not_cached, tree]))
"""
    )
    assert contents(Path(folder)) == files
    assert Path(cached).read_bytes() == files["extra/notes.txt"]
    assert not_cached is None
    assert tree == sorted(files)


def test_half_a_listing_is_readable_offline(machine: Machine, files: dict[str, bytes]) -> None:
    """With a tree that lists more than is here, the client would refuse the folder."""
    half = {path: files[path] for path in ("config.json", "tokenizer.json")}
    snapshot = bring(machine.store, half, manifest_of(files, repo=REPO))
    huggingface.link(machine.store, snapshot, machine.cache)
    folder = machine.python(
        f"""
import json
from huggingface_hub import snapshot_download
print(json.dumps(snapshot_download("{REPO}", local_files_only=True)))
"""
    )
    assert contents(Path(folder)) == half


SCAN = """
import json
from huggingface_hub import scan_cache_dir
info = scan_cache_dir()
print(json.dumps([
    [str(warning) for warning in info.warnings],
    [[repo.repo_id, repo.nb_files, sorted(repo.refs), repo.size_on_disk] for repo in info.repos],
    len(info.incomplete_files),
]))
"""


def test_the_scan_of_the_cache_has_no_complaint(machine: Machine, files: dict[str, bytes]) -> None:
    linked(machine, files)
    linked(machine, {"config.json": b"{}"}, commit="d" * 40, revision="d" * 40)
    warnings, repos, incomplete = machine.python(SCAN)
    assert warnings == []
    assert incomplete == 0
    ((repo, count, refs, size),) = repos
    assert repo == REPO
    # Files with the same bytes share one blob.
    assert count == len(set(files.values()) | {b"{}"})
    assert refs == ["main", f"modelfetch/{'d' * 40}"]
    assert size == sum(map(len, set(files.values()) | {b"{}"}))


def test_the_clients_own_verification_is_content(machine: Machine, files: dict[str, bytes]) -> None:
    """What `hf cache verify` compares, with the hub's answer made of our manifest instead of asked for."""
    linked(machine, files)
    manifest = manifest_of(files, repo=REPO)
    remote = [
        {"path": entry.path, "size": entry.size, "oid": entry.digests.git_sha1}
        | ({"lfs": {"oid": entry.digests.sha256, "size": entry.size, "pointerSize": 130}} if entry.lfs else {})
        for entry in manifest.entries
    ]
    checked, mismatches, missing, extra = machine.python(
        f"""
import json
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils._verification import collect_local_files, resolve_local_root, verify_maps
remote = {{entry["path"]: RepoFile(**entry) for entry in {remote!r}}}
root, revision = resolve_local_root(repo_id="{REPO}", repo_type="model", revision=None, cache_dir=None, local_dir=None)
result = verify_maps(
    remote_by_path=remote, local_by_path=collect_local_files(root), revision=revision, verified_path=root
)
print(json.dumps([result.checked_count, result.mismatches, result.missing_paths, result.extra_paths]))
"""
    )
    assert any(entry.lfs for entry in manifest.entries)
    assert (checked, mismatches, missing, extra) == (len(files), [], [], [])


def test_hf_cache_lists_and_removes_and_our_blobs_survive(machine: Machine, files: dict[str, bytes]) -> None:
    snapshot = linked(machine, files)
    assert "model/owner/tiny" in machine.hf("cache", "ls")
    machine.hf("cache", "rm", COMMIT, "--yes")
    assert not (machine.cache / "models--owner--tiny/snapshots" / COMMIT).exists()
    assert contents(snapshot.folder) == files
    current = machine.store.lookup(parse(REPO))
    assert current is not None
    assert set(huggingface.missing(current, machine.cache)) == set(files)
    huggingface.link(machine.store, current, machine.cache)
    assert machine.python(SCAN)[0] == []


def test_hf_cache_prune_keeps_what_we_linked_and_clears_what_a_crash_left(
    machine: Machine, files: dict[str, bytes]
) -> None:
    linked(machine, files, revision=COMMIT)
    leftover = machine.cache / "models--owner--tiny/blobs" / f"{'0' * 40}.12345678.incomplete"
    leftover.write_bytes(b"half")
    machine.hf("cache", "prune", "--yes")
    assert contents(machine.cache / "models--owner--tiny/snapshots" / COMMIT) == files
    assert not leftover.exists()


def test_our_rm_leaves_a_cache_that_the_client_can_scan(machine: Machine, files: dict[str, bytes]) -> None:
    snapshot = linked(machine, files)
    other = linked(machine, {"config.json": b"{}"}, commit="d" * 40, revision="v1")
    machine.store.remove(machine.store.matching(parse(f"{REPO}@{COMMIT}"))[0], dry_run=False)
    warnings, repos, _ = machine.python(SCAN)
    assert warnings == []
    assert [repo[:3] for repo in repos] == [[REPO, 1, ["v1"]]]
    assert contents(other.folder) == {"config.json": b"{}"}
    machine.store.remove(machine.store.matching(parse(REPO))[0], dry_run=False)
    assert machine.python(SCAN)[:2] == [[], []]
    assert snapshot.folder.exists() is False
