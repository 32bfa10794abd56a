"""`adopt` of caches and folders that the hubs' own clients made, and those clients after it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.adopt import Place, State, Tool, adopt, place_at
from modelfetch.manifest import content_digest
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from modelfetch.verification import verify
from tests.other_tools import older_modelscope_repository
from tests.pulling import endpoint, pull, settings
from tests.simulator import FakeHub
from tests.stored import contents, digests_of

pytestmark = pytest.mark.e2e

REPO = "own/name"
SCRIPTS = Path(sys.executable).parent
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(model_files: dict[str, bytes]) -> Iterator[FakeHub]:
    with FakeHub({REPO: {**model_files, "sub/notes.txt": b"in a folder"}}) as running:
        yield running


@pytest.fixture
def files(model_files: dict[str, bytes]) -> dict[str, bytes]:
    return {**model_files, "sub/notes.txt": b"in a folder"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def client(hub: FakeHub, *command: str, **variables: Path | str) -> str:
    """Run a hub's own client, whose only settings are these."""
    done = subprocess.run(
        [str(SCRIPTS / command[0]), *command[1:]],
        env={
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "MODELSCOPE_ENDPOINT": hub.url,
            **{name: str(value) for name, value in variables.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def saved(store: Store, reference: str = REPO) -> Snapshot:
    snapshot = store.lookup(parse(reference))
    assert snapshot is not None
    return snapshot


def same_file(one: Path, other: Path) -> bool:
    return one.stat().st_ino == other.stat().st_ino


def test_a_cache_that_hf_made_is_adopted_and_both_go_on_without_a_byte(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url))
    client(hub, "hf", "download", REPO, HF_HUB_CACHE=given.hf_cache)
    cached = given.hf_cache / f"models--own--name/snapshots/{hub.commit(REPO)}"
    report = adopt(store, [Place(Tool.HUGGINGFACE, given.hf_cache, "given")])
    snapshot = saved(store)
    assert (snapshot.manifest.hub, snapshot.manifest.commit) == ("huggingface", hub.commit(REPO))
    assert snapshot.complete
    assert contents(snapshot.folder) == contents(cached) == files
    assert report.ok
    assert not report.refusals
    assert same_file(snapshot.file(WEIGHTS), cached / WEIGHTS)
    # What people edit in place they do not edit in the store.
    assert not same_file(snapshot.file("config.json"), cached / "config.json")
    assert verify(store).ok

    sent = hub.bytes_sent()
    client(hub, "hf", "download", REPO, HF_HUB_CACHE=given.hf_cache)
    client(hub, "hf", "cache", "verify", REPO, "--revision", hub.commit(REPO), HF_HUB_CACHE=given.hf_cache)
    pulled = pull(given, f"{REPO}@{hub.commit(REPO)}", all_files=True)
    assert {file.state for file in pulled.files} == {"reused"}
    assert hub.bytes_sent() == sent

    again = adopt(store, [Place(Tool.HUGGINGFACE, given.hf_cache, "given")])
    assert again.files(State.LINKED, State.COPIED, State.LEFT, State.DAMAGED, State.REPEATED) == ()
    assert [model.is_new for model in again.models] == [False]

    client(hub, "hf", "cache", "rm", f"model/{REPO}", "--yes", HF_HUB_CACHE=given.hf_cache)
    assert contents(snapshot.folder) == files


def test_a_cache_without_links_is_adopted(hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path) -> None:
    client(hub, "hf", "download", REPO, HF_HUB_CACHE=tmp_path / "hf", HF_HUB_DISABLE_SYMLINKS="1")
    cached = tmp_path / f"hf/models--own--name/snapshots/{hub.commit(REPO)}"
    assert not (cached / WEIGHTS).is_symlink()
    adopt(store, [place_at(tmp_path / "hf")])
    snapshot = saved(store)
    assert contents(snapshot.folder) == files
    assert same_file(snapshot.file(WEIGHTS), cached / WEIGHTS)
    assert client(hub, "hf", "download", REPO, HF_HUB_CACHE=tmp_path / "hf", HF_HUB_DISABLE_SYMLINKS="1")
    assert contents(cached) == files


def test_of_one_file_that_hf_fetched_nothing_more_is_believed(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url))
    client(hub, "hf", "download", REPO, WEIGHTS, HF_HUB_CACHE=given.hf_cache)
    for tree in given.hf_cache.glob("*/trees/*.json"):
        tree.unlink()
    adopt(store, [place_at(given.hf_cache)])
    snapshot = saved(store)
    assert snapshot.paths == {WEIGHTS}
    assert not snapshot.complete
    pulled = pull(given, f"{REPO}@{hub.commit(REPO)}", all_files=True)
    assert pulled.snapshot is not None
    assert contents(pulled.snapshot.folder) == files
    assert hub.bytes_sent(WEIGHTS) == len(files[WEIGHTS])


def test_a_folder_that_hf_downloaded_to_is_adopted_under_a_name(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    client(hub, "hf", "download", REPO, "--local-dir", str(tmp_path / "folder"))
    (tmp_path / "folder/README.md").write_text("mine", encoding="utf-8")
    os.utime(tmp_path / "folder/README.md", (2e9, 2e9))
    report = adopt(store, [place_at(tmp_path / "folder")], name=parse("own/name"))
    snapshot = saved(store)
    assert (snapshot.manifest.hub, snapshot.manifest.commit) == ("huggingface", hub.commit(REPO))
    assert contents(snapshot.folder) == {path: files[path] for path in files if path != "README.md"}
    assert [refusal.path.name for refusal in report.refusals] == ["README.md"]
    assert same_file(snapshot.file(WEIGHTS), tmp_path / "folder" / WEIGHTS)
    (tmp_path / "folder/config.json").write_text("edited", encoding="utf-8")
    assert (snapshot.folder / "config.json").read_bytes() == files["config.json"]
    client(hub, "hf", "download", REPO, "--local-dir", str(tmp_path / "folder"))
    assert (tmp_path / "folder" / WEIGHTS).read_bytes() == files[WEIGHTS]


def test_a_cache_that_modelscope_made_is_adopted_as_the_commit_that_a_pull_finds(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url, "modelscope"))
    client(hub, "ms-hub", "download", REPO, MODELSCOPE_CACHE=given.modelscope_cache)
    adopt(store, [Place(Tool.MODELSCOPE, given.modelscope_cache, "given")])
    snapshot = saved(store)
    assert snapshot.manifest.hub == "modelscope"
    assert contents(snapshot.folder) == files
    sent = hub.bytes_sent()
    pulled = pull(given, all_files=True)
    assert pulled.snapshot is not None
    assert pulled.snapshot.manifest.commit == snapshot.manifest.commit
    client(hub, "ms-hub", "download", REPO, MODELSCOPE_CACHE=given.modelscope_cache)
    assert hub.bytes_sent() == sent
    assert contents(given.modelscope_cache / "models/own--name/snapshots/master") == files


def test_a_client_that_fetches_again_does_not_write_into_the_store(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    hf, ms, folder = tmp_path / "hf", tmp_path / "ms", tmp_path / "folder"
    clients: list[tuple[tuple[str, ...], dict[str, Path | str]]] = [
        (("hf", "download", REPO), {"HF_HUB_CACHE": hf}),
        (("hf", "download", REPO, "--local-dir", str(folder)), {}),
        (("ms-hub", "download", REPO), {"MODELSCOPE_CACHE": ms}),
    ]
    for command, variables in clients:
        client(hub, *command, **variables)
    adopt(store, [place_at(hf), place_at(folder), place_at(ms)])
    hub.replace(REPO, {path: content[::-1] for path, content in files.items()})
    for command, variables in clients:
        force = "--force" if command[0] == "ms-hub" else "--force-download"
        client(hub, *command, force, **variables)
    assert (folder / WEIGHTS).read_bytes() == files[WEIGHTS][::-1]
    assert verify(store, deep=True).ok
    assert {contents(snapshot.folder)[WEIGHTS] for snapshot in store.snapshots()} == {files[WEIGHTS]}


def test_a_layout_of_an_older_client_stays_its_own(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    folder = older_modelscope_repository(tmp_path / "ms/models/own/name", files)
    adopt(store, [place_at(tmp_path / "ms")])
    sent = hub.bytes_sent()
    client(hub, "ms-hub", "download", REPO, MODELSCOPE_CACHE=tmp_path / "ms")
    assert hub.bytes_sent() == sent
    assert {path: content for path, content in contents(folder).items() if path in files} == files
    assert contents(saved(store).folder) == files


def test_a_folder_that_modelscope_downloaded_to_is_adopted_under_a_name(
    hub: FakeHub, files: dict[str, bytes], store: Store, tmp_path: Path
) -> None:
    client(hub, "ms-hub", "download", REPO, "--local-dir", str(tmp_path / "folder"))
    adopt(store, [place_at(tmp_path / "folder")], name=parse("me/mine"))
    snapshot = saved(store, "me/mine")
    assert snapshot.manifest.hub == "local"
    assert snapshot.manifest.commit == content_digest(snapshot.manifest.entries)[:40]
    assert contents(snapshot.folder) == files


def test_what_the_command_adopted_is_listed_found_and_linked(
    hub: FakeHub, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELFETCH_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    client(hub, "hf", "download", REPO)
    blob = next((tmp_path / "hf/models--own--name/blobs").glob(digests_of(files[WEIGHTS]).sha256 or ""))
    blob.chmod(0o644)
    with blob.open("r+b") as weights:
        weights.seek(1000)
        weights.write(b"\0\0\0\0\0\0\0\0")
    done = _modelfetch("adopt", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 8
    assert [damaged["path"] for damaged in document["damaged"]] == [str(blob)]
    assert document["models"][0]["files_in_store"] == len(files) - 1
    folder = Path(_modelfetch("path", REPO).stdout.strip())
    assert contents(folder) == {path: files[path] for path in files if path != WEIGHTS}


def _modelfetch(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "modelfetch", *arguments], capture_output=True, text=True, check=False)
