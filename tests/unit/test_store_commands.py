"""`ls`, `path`, `rm`, `verify`, `link`: what they print where, and how they end."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Snapshot, Store
from modelfetch.store.views import huggingface
from tests.conftest import safetensors_bytes
from tests.stored import COMMIT, bring, contents, deliver, digests_of, manifest_of

FILES = {"config.json": b"{}", "model.safetensors": safetensors_bytes({"weight": b"w" * 1_200_000})}
SIZE = sum(map(len, FILES.values()))


@pytest.fixture
def store(own_environment: Path) -> Store:
    return Store.open(own_environment / "modelfetch")


@pytest.fixture
def snapshot(store: Store) -> Snapshot:
    return bring(store, FILES)


def damage(store: Store, content: bytes) -> None:
    path = store.blob(str(digests_of(content).sha256))
    path.unlink()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def test_path_prints_the_folder_and_nothing_else(snapshot: Snapshot, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["path", "owner/name"]) == 0
    out, err = capfd.readouterr()
    assert out == f"{snapshot.folder}\n"
    assert err == ""


def test_a_model_that_is_not_here_ends_with_status_4_and_how_to_bring_it(
    snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["path", "o/other"], ["rm", "o/other"], ["verify", "o/other"], ["link", "o/other", "--to", "x"]):
        assert run(arguments) == 4
        out, err = capfd.readouterr()
        assert out == ""
        assert err.splitlines()[-1] == "hint: modelfetch pull o/other"


def test_the_error_names_what_is_here_instead(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    bring(store, FILES, manifest_of(FILES, revision="v1"))
    assert run(["path", "owner/name"]) == 4
    assert "huggingface:owner/name@v1" in capfd.readouterr().err


def test_reading_commands_make_no_store(own_environment: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["ls"]) == 0
    assert run(["verify"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert "modelfetch pull" in err
    assert not (own_environment / "modelfetch").exists()


def test_ls_counts_shared_bytes_once_and_says_so(
    store: Store, snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(store, FILES, manifest_of(FILES, hub="modelscope", commit="f" * 40))
    assert run(["ls"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == [
        "REPO",
        "HUB",
        "REVISION",
        "COMMIT",
        "SIZE",
        "FILES",
        "PULLED",
        "VERIFIED",
        "SMOKE",
        "WHERE",
    ]
    assert len(lines) == 4
    assert lines[-1] == "2.4 MB in 2 models, 1.2 MB on disk; what is shared is counted once there"
    assert "on arrival" in lines[1]


def test_ls_shows_who_shares_what_and_which_views_there_are(
    store: Store, snapshot: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    newer = {**FILES, "config.json": b'{"newer": true}'}
    bring(store, newer, manifest_of(newer, revision="v2", commit="f" * 40))
    bring(store, {"alone.txt": b"x"}, manifest_of({"alone.txt": b"x"}, repo="owner/alone"))
    huggingface.link(store, snapshot, tmp_path / "hub")
    assert run(["ls", "-v"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "huggingface:owner/alone (01234567)  1 B  1 file(s)  store",
        "huggingface:owner/name@v2 (ffffffff)  1.2 MB  2 file(s)  store",
        "└── shares 1.2 MB in 1 file(s) with huggingface:owner/name (01234567)",
        "huggingface:owner/name (01234567)  1.2 MB  2 file(s)  store",
        "├── shares 1.2 MB in 1 file(s) with huggingface:owner/name@v2 (ffffffff)",
        f"└── shown to huggingface in {tmp_path / 'hub'}",
        "2.4 MB in 3 models, 1.2 MB on disk; what is shared is counted once there",
    ]


def test_ls_says_what_another_program_took_from_a_view(
    store: Store, snapshot: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    view = huggingface.link(store, snapshot, tmp_path / "hub")
    (view.folder / "config.json").unlink()
    assert run(["ls", "-v"]) == 0
    assert capfd.readouterr().out.splitlines()[1] == (
        f"└── shown to huggingface in {tmp_path / 'hub'}: 1 of 2 files, another program took the rest; "
        "modelfetch link huggingface:owner/name --to huggingface"
    )


def test_ls_json_has_the_keys_of_the_contract(
    store: Store, snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    store.note_verified(snapshot)
    assert run(["ls", "--json"]) == 0
    (document,) = json.loads(capfd.readouterr().out)
    assert document.pop("pulled_at").endswith("+00:00")
    assert document.pop("verified_at").endswith("+00:00")
    assert document == {
        "repo": "owner/name",
        "hub": "huggingface",
        "revision": None,
        "commit": COMMIT,
        "size_bytes": SIZE,
        "files": 2,
        "smoke": None,
        "folder": str(snapshot.folder),
    }


def test_ls_tells_what_is_partial_elsewhere_gone_and_damaged(
    store: Store, snapshot: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(store, {"config.json": b"{}"}, manifest_of(FILES, repo="owner/half"))
    deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES, repo="owner/plain"))
    (tmp_path / "mine").rename(tmp_path / "unmounted")
    store.records.record(snapshot).write_bytes(b"{")
    assert run(["list"]) == 0
    out, err = capfd.readouterr()
    assert "1 of 2" in out
    assert f"{tmp_path / 'mine'} (gone)" in out
    assert str(store.records.record(snapshot)) in err


def test_rm_says_what_goes_and_what_stays_before_it_does(
    store: Store, snapshot: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(store, {"config.json": b"{}"}, manifest_of({"config.json": b"{}"}, repo="owner/other"))
    assert run(["rm", "owner/name", "--dry-run"]) == 0
    dry = capfd.readouterr().out
    assert "goes: 1 file(s), 1.2 MB (no other snapshot needs it)" in dry
    assert "stays: 1 file(s), 2 B (needed by huggingface:owner/other (01234567))" in dry
    assert store.lookup(parse("owner/name")) is not None
    assert run(["rm", "owner/name"]) == 0
    assert capfd.readouterr().out == dry
    assert store.lookup(parse("owner/name")) is None


def test_rm_without_a_revision_takes_them_all(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, revision="v1", commit="f" * 40))
    assert run(["rm", "owner/name", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["freed_bytes"] == SIZE
    assert {removed["commit"] for removed in document["removed"]} == {COMMIT, "f" * 40}
    assert store.usage().blobs == 0


def test_rm_asks_on_a_terminal_and_takes_no_for_an_answer(
    store: Store, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    leader, follower = os.openpty()
    os.write(leader, b"n\n")
    with os.fdopen(follower, "r") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        assert run(["rm", "owner/name"]) == 130
        assert store.snapshots() == [snapshot]
        assert run(["rm", "owner/name", "--yes"]) == 0
    os.close(leader)
    assert store.snapshots() == []


def test_verify_ends_with_status_8_and_names_the_file(
    store: Store, snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "--deep"]) == 0
    assert "read 1.2 MB: every file is as it was pulled" in capfd.readouterr().err
    damage(store, FILES["model.safetensors"])
    assert run(["verify", "owner/name"]) == 8
    out, err = capfd.readouterr()
    assert out.startswith("error: owner/name model.safetensors: changed (expected ")
    assert "modelfetch verify --repair" in err


def test_verify_says_a_shared_damage_once_and_offers_no_repair_of_what_the_hub_has_broken(
    store: Store, snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    bring(store, FILES, manifest_of(FILES, hub="modelscope", commit="f" * 40))
    damage(store, FILES["config.json"])
    assert run(["verify"]) == 8
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1
    assert "1 file(s) damaged" in err
    broken = {"model.safetensors": b"no header"}
    bring(store, broken, manifest_of(broken, repo="owner/broken"))
    assert run(["verify", "owner/broken"]) == 8
    out, err = capfd.readouterr()
    assert "bad safetensors (its header claims" in out
    assert "--repair" not in err


def test_verify_json_is_one_document(store: Store, snapshot: Snapshot, capfd: pytest.CaptureFixture[str]) -> None:
    damage(store, FILES["config.json"])
    assert run(["verify", "--json"]) == 8
    document = json.loads(capfd.readouterr().out)
    assert document["ok"] is False
    assert document["checked_bytes"] + document["known_bytes"] == SIZE
    assert document["checked_bytes"] == len(FILES["config.json"])
    assert [finding["path"] for finding in document["findings"]] == ["config.json"]


def test_verify_knows_what_did_not_change_since_it_was_read(
    snapshot: Snapshot, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify"]) == 0
    assert "read 0 B, 1.2 MB unchanged since they were read: every file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("target", "place"), [("huggingface", "hub"), ("hf", "hub"), ("modelscope", "ms"), ("ms", "ms"), ("DIR", "DIR")]
)
def test_link_makes_the_view_and_prints_its_folder(
    snapshot: Snapshot,
    target: str,
    place: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "ms"))
    monkeypatch.chdir(tmp_path)
    assert run(["link", "owner/name", "--to", target]) == 0
    printed = Path(capfd.readouterr().out.rstrip("\n"))
    assert printed.is_relative_to(tmp_path / place)
    assert contents(printed) == FILES


def test_link_says_what_it_kept_of_the_users(
    snapshot: Snapshot, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text("mine")
    assert run(["link", "owner/name", "--to", str(tmp_path / "mine"), "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["to"] == "folder"
    assert document["saved"] == [str(tmp_path / "mine/config.json.saved")]
    assert (document["linked"], document["copied"], document["copied_bytes"]) == (1, 1, 2)


@pytest.mark.parametrize("command", ["ls", "path", "rm", "prune", "verify", "link"])
def test_a_store_of_another_version_ends_with_status_9(
    command: str, own_environment: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = own_environment / "modelfetch"
    home.mkdir()
    (home / "store-version").write_text("modelfetch store 7\n")
    arguments = {"ls": [], "prune": [], "verify": [], "link": ["owner/name", "--to", "huggingface"]}.get(
        command, ["owner/name"]
    )
    assert run([command, *arguments]) == 9
    assert "modelfetch store 7" in capfd.readouterr().err


@pytest.mark.parametrize("command", ["ls", "path", "rm", "prune", "verify", "link"])
def test_help_has_an_example_that_begins_with_the_command(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    assert f"modelfetch {command}" in capfd.readouterr().out
