"""`pull --lock` writes down which bytes came; `pull --locked` brings exactly those, from whoever has them, or says who
has not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfetch import lock, reference
from modelfetch.cli import run as run_command
from modelfetch.config import Settings
from modelfetch.errors import (
    ConfigError,
    DigestMismatchError,
    GatedError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
    UsageError,
)
from modelfetch.lock import LockedModel
from modelfetch.manifest import Facts
from modelfetch.pulling import Pulled, Request, run
from modelfetch.pulling.locking import check_lock, lock_pulled
from modelfetch.reference import Reference
from tests.pulling import MIB, REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub

LARGE = "weights.data"
FILES = {"config.json": b'{"a": 1}', LARGE: noise(5 * MIB, seed=21), "sub/vocab.txt": b"a\nb\n"}
MOVED = {**FILES, LARGE: noise(5 * MIB, seed=22), "config.json": b'{"a": 2}'}
DEAD = endpoint("http://127.0.0.1:9", name="dead")


def make_lock(given: Settings, path: Path, text: str = REPO, **request: Any) -> LockedModel:
    """Pull as `pull --lock` does; what the file says of the model then."""
    asked = Request(reference.parse(text), **request)
    lock_pulled(path, asked, run(asked, settings=given))
    (model,) = lock.read(path).meant_by((asked.reference,), where=str(path))
    return model


def pull_locked(given: Settings, model: LockedModel, **request: Any) -> Pulled:
    return run(Request(model.reference, locked=model, **request), settings=given)


def locked_at(hub: FakeHub, hub_name: str, tmp_path: Path, text: str = REPO) -> LockedModel:
    """The model as the hub has it now, locked by another machine."""
    return make_lock(settings(tmp_path / "other", endpoint(hub.url, hub_name)), tmp_path / "models.lock", text)


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
def test_a_lock_names_commit_sizes_digests_and_where_they_were_seen(hub_name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        path = tmp_path / "models.lock"
        make_lock(settings(tmp_path, endpoint(hub.url, hub_name)), path)
        document = json.loads(path.read_text(encoding="utf-8"))
        assert document["modelfetch_lock"] == 1
        (model,) = document["models"]
        assert (model["repo"], model["hub"], model["revision"]) == (REPO, hub_name, None)
        if hub_name == "huggingface":
            assert model["commit"] == hub.commit(REPO)
        assert [file["path"] for file in model["files"]] == sorted(FILES)
        assert [file["size"] for file in model["files"]] == [len(FILES[path]) for path in sorted(FILES)]
        assert all(file["sha256"] for file in model["files"])
        assert all(file["seen"] == [hub.url.removeprefix("http://")] for file in model["files"])


def test_two_hubs_that_list_the_same_bytes_are_both_where_they_were_seen(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as one, FakeHub({REPO: FILES}) as other:
        given = settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, "modelscope", name="other"))
        model = make_lock(given, tmp_path / "models.lock")
        hosts = {one.url.removeprefix("http://"), other.url.removeprefix("http://")}
        # Of small files one hub lists the git-sha1 and the other the sha256: both are computed on arrival.
        assert {path: set(seen) for path, seen in model.seen.items()} == dict.fromkeys(FILES, hosts)


def test_locking_again_changes_nothing_and_another_model_is_added_in_its_place(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES, "a/first": {"config.json": b"{}"}}) as hub:
        given, path = settings(tmp_path, endpoint(hub.url)), tmp_path / "models.lock"
        make_lock(given, path)
        before = path.read_text(encoding="utf-8")
        stamp = path.stat().st_mtime_ns
        make_lock(given, path)
        assert path.stat().st_mtime_ns == stamp
        make_lock(given, path, "a/first")
        after = path.read_text(encoding="utf-8")
        assert [model.manifest.repo for model in lock.read(path).models] == ["a/first", REPO]
        assert before.splitlines()[3:-2] == after.splitlines()[-len(before.splitlines()) + 3 : -2]
        assert [each.name for each in tmp_path.iterdir() if "lock" in each.name] == ["models.lock"]


def test_a_moved_branch_changes_only_the_lines_of_what_changed(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given, path = settings(tmp_path, endpoint(hub.url)), tmp_path / "models.lock"
        make_lock(given, path)
        before = path.read_text(encoding="utf-8").splitlines()
        hub.replace(REPO, {**FILES, "config.json": b'{"a": 2}'})
        make_lock(given, path)
        after = path.read_text(encoding="utf-8").splitlines()
        assert len(before) == len(after)
        changed = [new.strip()[:24] for old, new in zip(before, after, strict=True) if old != new]
        assert [line[:8] for line in changed] == ['"commit"', '{"path":']


def test_what_the_pull_left_at_the_hub_is_listed_and_does_not_come(
    tmp_path: Path, model_files: dict[str, bytes]
) -> None:
    with FakeHub({REPO: model_files}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        assert [entry.path for entry in model.left] == ["pytorch_model.bin"]
        pulled = pull_locked(settings(tmp_path, endpoint(hub.url)), model)
        assert contents(pulled).keys() == model_files.keys() - {"pytorch_model.bin"}
        assert pulled.snapshot is not None
        assert not pulled.snapshot.complete


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
def test_the_locked_bytes_come_and_the_snapshot_has_their_commit(hub_name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, hub_name, tmp_path)
        pulled = pull_locked(settings(tmp_path, endpoint(hub.url, hub_name)), model)
        assert contents(pulled) == FILES
        assert pulled.snapshot is not None
        assert pulled.snapshot.manifest.commit == model.manifest.commit
        assert pulled.snapshot.manifest.hub == hub_name


def test_a_branch_that_has_moved_on_changes_nothing(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        hub.replace(REPO, MOVED)
        assert contents(pull_locked(settings(tmp_path, endpoint(hub.url)), model)) == FILES


def test_another_hub_that_has_the_bytes_sends_them_when_the_own_one_is_out_of_reach(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        model = locked_at(first, "huggingface", tmp_path)
    with FakeHub({REPO: FILES}) as second:
        pulled = pull_locked(settings(tmp_path, DEAD, endpoint(second.url, "modelscope")), model)
        assert contents(pulled) == FILES
        assert (pulled.manifest.hub, pulled.manifest.commit) == ("huggingface", model.manifest.commit)


def test_a_mirror_that_forgot_the_commit_is_asked_for_the_branch(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        model = locked_at(first, "huggingface", tmp_path)
    # The same files in a repository whose history began anew.
    with FakeHub({REPO: {**FILES, "new.txt": b"new"}}) as second:
        assert second.commit(REPO) != model.manifest.commit
        assert contents(pull_locked(settings(tmp_path, endpoint(second.url)), model)) == FILES


def test_another_hub_is_asked_for_the_tag_of_that_name_and_then_for_its_branch(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        model = locked_at(first, "huggingface", tmp_path)
    tagged = replace(model, manifest=replace(model.manifest, revision="v1"))
    with FakeHub({REPO: FILES}) as second:
        assert contents(pull_locked(settings(tmp_path, endpoint(second.url, "modelscope")), tagged)) == FILES
        listings = [request.path for request in second.requests if "/repo/files" in request.path]
        assert ["Revision=v1" in target for target in listings] == [True, False]


def test_another_hub_is_not_asked_for_a_commit(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        model = locked_at(first, "huggingface", tmp_path, f"{REPO}@{first.commit(REPO)}")
    with FakeHub({REPO: FILES}) as second:
        assert contents(pull_locked(settings(tmp_path, endpoint(second.url, "modelscope")), model)) == FILES
        assert not any(model.manifest.commit in request.path for request in second.requests)


def test_a_slow_hub_is_waited_for_when_the_quick_one_has_moved_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By its full name the module is hidden behind its function.
    monkeypatch.setattr(sys.modules["modelfetch.hubs.resolve"], "GRACE_S", 0.1)
    files = {"config.json": b"{}"}
    with FakeHub({REPO: files}) as first:
        model = locked_at(first, "modelscope", tmp_path)
    with FakeHub({REPO: {"config.json": b"[]"}}) as moved, FakeHub({REPO: files}, latency_s=0.6) as slow:
        quick, own = endpoint(moved.url, name="moved"), endpoint(slow.url, "modelscope", name="slow")
        assert contents(pull_locked(settings(tmp_path, quick, own), model)) == files


def test_both_hubs_send_ranges_of_what_both_have(tmp_path: Path) -> None:
    files = {LARGE: noise(24 * MIB, seed=23)}
    with FakeHub({REPO: files}, rate=4e6) as one, FakeHub({REPO: files}, rate=4e6) as other:
        model = locked_at(one, "huggingface", tmp_path)
        given = settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, "modelscope", name="other"))
        pulled = pull_locked(given, model)
        assert pulled.report is not None
        assert {"one", "other"} == pulled.report.bytes_by_endpoint.keys()


def test_a_machine_that_speaks_both_dialects_is_one_source_of_what_is_locked_as_well(tmp_path: Path) -> None:
    files = {LARGE: noise(24 * MIB, seed=23)}
    with FakeHub({REPO: files}, rate=4e6) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        given = settings(tmp_path, endpoint(hub.url, name="one"), endpoint(hub.url, "modelscope", name="same"))
        pulled = pull_locked(given, model)
        assert pulled.report is not None
        assert pulled.report.bytes_by_endpoint.keys() == {"one"}


@pytest.mark.parametrize("offline", [False, True])
def test_what_is_here_is_not_asked_for(offline: bool, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        path = tmp_path / "models.lock"
        given = settings(tmp_path, endpoint(hub.url))
        model = make_lock(given, path)
        asked = len(hub.requests)
        pulled = pull_locked(replace(given, offline=offline), model)
        assert len(hub.requests) == asked
        assert pulled.bytes_reused == sum(map(len, FILES.values()))
        assert contents(pulled) == FILES


def test_bytes_that_came_by_another_hubs_name_make_the_snapshot_without_a_request(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        given = settings(tmp_path, endpoint(hub.url, "modelscope"))
        pull(given)
        pulled = pull_locked(replace(given, offline=True), model)
        assert pulled.snapshot is not None
        assert pulled.snapshot.manifest.commit == model.manifest.commit


def test_offline_and_not_here_is_an_error_that_names_a_file(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        with pytest.raises(NoSourceError, match=r"`config\.json`") as raised:
            pull_locked(settings(tmp_path, endpoint(hub.url), offline=True), model)
        assert raised.value.facts["missing"] == "3 of 3 files"


def test_a_locked_pull_makes_the_name_mean_the_locked_commit(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        hub.replace(REPO, MOVED)
        given = settings(tmp_path, endpoint(hub.url))
        pull(given)
        pull_locked(given, model)
        main = given.hf_cache / "models--own--name/refs/main"
        assert main.read_text(encoding="utf-8") == model.manifest.commit


def error_of(given: Settings, model: LockedModel, **request: Any) -> ModelfetchError:
    with pytest.raises(ModelfetchError) as raised:
        pull_locked(given, model, **request)
    return raised.value


def test_other_bytes_everywhere_are_a_mismatch_that_names_the_file_and_both(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "modelscope", tmp_path)
        hub.replace(REPO, MOVED)
        sent = hub.bytes_sent()
        error = error_of(settings(tmp_path, endpoint(hub.url, "modelscope", name="scope")), model)
        assert isinstance(error, DigestMismatchError)
        assert "`config.json`" in error.message
        entries = {entry.path: entry for entry in model.entries}
        assert str(entries["config.json"].digests.sha256) in str(error.facts["expected"])
        assert str(error.facts["got"]).startswith("scope: 8 bytes, sha256 ")
        assert error.facts["and so are"] == LARGE
        assert hub.bytes_sent() == sent


def test_other_bytes_at_the_locked_commit_itself_are_named_as_such(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        lying = tampered(model, LARGE, sha256="0" * 64)
        error = error_of(settings(tmp_path, DEAD, endpoint(hub.url, name="hub")), lying)
        assert isinstance(error, DigestMismatchError)
        assert f"`{LARGE}`" in error.message
        assert "hub at the locked commit: " in str(error.facts["got"])


def test_a_listing_that_differs_at_the_locked_commit_is_told_and_the_bytes_come_from_elsewhere(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as changed, FakeHub({REPO: {**FILES, LARGE: MOVED[LARGE]}}) as right:
        model = tampered_to(
            locked_at(changed, "huggingface", tmp_path), locked_at(right, "modelscope", tmp_path), LARGE
        )
        given = settings(tmp_path, endpoint(changed.url, name="own"), endpoint(right.url, "modelscope", name="other"))
        pulled = pull_locked(given, model)
        assert contents(pulled)[LARGE] == MOVED[LARGE]
        assert any(note.startswith("own differs from the lock file") and LARGE in note for note in pulled.notes)
        assert changed.bytes_sent(LARGE) == len(FILES[LARGE]), "only what the lock was made with"


def test_a_hub_that_moved_on_is_no_source_of_what_changed(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as own, FakeHub({REPO: MOVED}) as other:
        model = locked_at(own, "huggingface", tmp_path)
        given = settings(tmp_path, endpoint(own.url, name="own"), endpoint(other.url, "modelscope", name="other"))
        pulled = pull_locked(given, model)
        assert contents(pulled) == FILES
        assert other.bytes_sent(LARGE) == 0
        assert any(note.startswith("other lists other bytes") for note in pulled.notes)


def test_a_file_that_is_gone_everywhere_is_not_found(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "modelscope", tmp_path)
        hub.replace(REPO, {path: content for path, content in FILES.items() if path != LARGE})
        error = error_of(settings(tmp_path, endpoint(hub.url, "modelscope")), model)
        assert isinstance(error, NotFoundError)
        assert f"`{LARGE}`" in error.message
        assert str(error.facts["got"]).endswith(": no such file")
        assert error.facts["was seen at"] == hub.url.removeprefix("http://")


def test_a_listing_without_digests_proves_nothing_and_contradicts_nothing(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
    with FakeHub({REPO: FILES}, sha256_listed=False) as silent:
        error = error_of(settings(tmp_path, endpoint(silent.url, "modelscope", name="silent")), model)
    assert isinstance(error, NoSourceError)
    assert error.facts["got"] == "silent: 8 bytes, no digest"


def test_a_hub_that_could_not_be_asked_may_have_what_the_others_have_not(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "modelscope", tmp_path)
        hub.replace(REPO, MOVED)
        error = error_of(settings(tmp_path, DEAD, endpoint(hub.url, "modelscope")), model)
        assert isinstance(error, NoSourceError)
        assert "dead: `dead` cannot be used" in str(error.facts["got"])


def test_a_model_that_nobody_has_is_an_error_as_of_any_pull(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
    with FakeHub({}) as empty:
        assert isinstance(error_of(settings(tmp_path, endpoint(empty.url)), model), NotFoundError)
    assert isinstance(error_of(settings(tmp_path, DEAD), model), NoSourceError)


def test_a_source_that_sends_other_bytes_than_it_lists_is_found_out(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        lying = tampered(model, LARGE, git_sha1="0" * 40)
        with pytest.raises(DigestMismatchError):
            pull_locked(settings(tmp_path, endpoint(hub.url)), lying)


def test_a_gated_model_is_not_brought_from_a_place_that_does_not_ask(tmp_path: Path) -> None:
    token = "hf_abcdefghijklmnop"
    with FakeHub({REPO: FILES}, token=token, gated=frozenset({REPO})) as own, FakeHub({REPO: FILES}) as other:
        allowed = settings(tmp_path / "other", endpoint(own.url, sends_token=True), tokens={"huggingface": token})
        model = make_lock(allowed, tmp_path / "models.lock")
        assert model.manifest.facts.gated
        both = settings(tmp_path, endpoint(own.url, name="own"), endpoint(other.url, "modelscope", name="other"))
        assert isinstance(error_of(both, model), GatedError)
        alone = settings(tmp_path, endpoint(other.url, "modelscope", name="other"))
        assert isinstance(error_of(alone, model), GatedError)
        assert other.bytes_sent() == 0
        assert (
            contents(pull_locked(replace(both, endpoints=(allowed.endpoints[0],), tokens=allowed.tokens), model))
            == FILES
        )


@pytest.mark.parametrize(
    "choice", [{"include": ("*.json",)}, {"exclude": ("*.json",)}, {"all_files": True}, {"via": "sdk"}]
)
def test_what_would_choose_other_files_is_refused(choice: dict[str, Any], tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        asked = len(hub.requests)
        assert isinstance(error_of(settings(tmp_path, endpoint(hub.url)), model, **choice), UsageError)
        assert len(hub.requests) == asked


def test_a_locked_pull_fills_a_plain_folder_too(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        model = locked_at(hub, "huggingface", tmp_path)
        pull_locked(settings(tmp_path, endpoint(hub.url)), model, local_dir=tmp_path / "mine")
        assert (tmp_path / "mine" / LARGE).read_bytes() == FILES[LARGE]


def tampered(model: LockedModel, path: str, **digests: str) -> LockedModel:
    """The lock with other digests of one file."""
    entries = tuple(
        replace(entry, digests=replace(entry.digests, **digests)) if entry.path == path else entry
        for entry in model.manifest.entries
    )
    return replace(model, manifest=replace(model.manifest, entries=entries))


def tampered_to(model: LockedModel, other: LockedModel, path: str) -> LockedModel:
    """The lock with what another one says of one file."""
    entry = other.manifest.entry(path)
    assert entry is not None
    return tampered(model, path, sha256=str(entry.digests.sha256), git_sha1=str(entry.digests.git_sha1))


def test_the_commands_lock_and_bring_the_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "models.lock")
    with FakeHub({REPO: FILES, "own/second": {"config.json": b"{}"}}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        assert run_command(["pull", REPO, "own/second", "--lock", path, "-q"]) == 0
        assert len(lock.read(Path(path)).models) == 2
        capsys.readouterr()
        monkeypatch.setenv("MODELFETCH_HOME", str(tmp_path / "ci"))
        assert run_command(["pull", "own/second", "--locked", path, "--json", "-q"]) == 0
        assert json.loads(capsys.readouterr().out)["repo"] == "own/second"
        hub.replace(REPO, MOVED)
        assert run_command(["pull", "--locked", path, "--json", "-q"]) == 0
        assert [each["bytes_reused"] for each in json.loads(capsys.readouterr().out)] == [0, 2]
        assert run_command(["pull", "--locked", path, "--offline", "-q"]) == 0


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--lock", "a.lock", "--locked", "models.lock"], 2),
        (["--locked", "models.lock", "--revision", "v1"], 2),
        (["--locked", "models.lock", "own/name:Q4_K_M"], 2),
        (["--locked", "models.lock", "own/name", "--include", "*"], 2),
        ([], 2),
        (["--locked", "models.lock", "own/other"], 4),
        (["--locked", "absent.lock"], 3),
        (["own/name", "--lock", "absent/models.lock"], 2),
        (["own/name", "--lock", "damaged.lock"], 3),
        (["own/name", "own/other", "--local-dir", "both"], 2),
    ],
)
def test_what_cannot_be_understood_is_refused_before_anybody_is_asked(
    arguments: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeHub({REPO: FILES}) as hub:
        locked_at(hub, "huggingface", tmp_path)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        monkeypatch.chdir(tmp_path)
        Path("damaged.lock").write_text("{", encoding="utf-8")
        asked = len(hub.requests)
        assert run_command(["pull", *arguments]) == status
        assert len(hub.requests) == asked


def test_a_dry_run_writes_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({REPO: FILES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        assert run_command(["pull", REPO, "--lock", str(tmp_path / "models.lock"), "--dry-run", "-q"]) == 0
        assert not (tmp_path / "models.lock").exists()


def test_a_lock_that_is_damaged_or_cannot_be_replaced_ends_it_before_the_pull(tmp_path: Path) -> None:
    (tmp_path / "models.lock").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="damaged"):
        check_lock(tmp_path / "models.lock")
    with pytest.raises(UsageError, match="cannot be written"):
        check_lock(tmp_path / "absent" / "models.lock")
    check_lock(tmp_path / "new.lock")


def test_a_licence_of_any_shape_makes_no_lock_that_cannot_be_read(tmp_path: Path) -> None:
    asked = Request(Reference("own", "name"))
    with FakeHub({REPO: {"config.json": b"{}"}}) as hub:
        pulled = run(asked, settings=settings(tmp_path, endpoint(hub.url)))
    for licence, written in (("mit", "mit"), ("a\nb", None), ("\x1b[31m", None)):
        manifest = replace(pulled.manifest, facts=Facts(licence=licence))
        lock_pulled(tmp_path / "models.lock", asked, replace(pulled, manifest=manifest))
        assert lock.read(tmp_path / "models.lock").models[0].manifest.facts.licence == written


def test_what_was_never_listed_whole_is_not_locked(tmp_path: Path) -> None:
    asked = Request(Reference("own", "name"))
    with FakeHub({REPO: FILES}) as hub:
        pulled = run(asked, settings=settings(tmp_path, endpoint(hub.url)))
    assert pulled.snapshot is not None
    adopted = replace(pulled, snapshot=replace(pulled.snapshot, whole_listing=False))
    with pytest.raises(UsageError, match="cannot be locked"):
        lock_pulled(tmp_path / "models.lock", asked, adopted)
    assert not (tmp_path / "models.lock").exists()


def test_a_lock_behind_a_link_is_replaced_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "models.lock").symlink_to("real/models.lock")
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        asked = Request(Reference("own", "name"))
        lock_pulled(tmp_path / "models.lock", asked, run(asked, settings=given))
    assert (tmp_path / "models.lock").is_symlink()
    assert (tmp_path / "real/models.lock").is_file()


def test_of_processes_that_lock_into_one_file_at_once_none_loses_its_entry(tmp_path: Path) -> None:
    names = [f"own/model{number}" for number in range(5)]
    with FakeHub({name: {"config.json": name.encode()} for name in names}) as hub:
        script = f"""
            import sys
            from pathlib import Path
            from modelfetch.pulling.locking import lock_pulled
            from modelfetch.pulling import Request, run
            from modelfetch.reference import parse
            from tests.pulling import endpoint, settings
            name, home, path = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
            request = Request(parse(name))
            pulled = run(request, settings=settings(home, endpoint("{hub.url}")))
            print("pulled", flush=True)
            sys.stdin.readline()
            lock_pulled(path, request, pulled)
        """
        command = [sys.executable, "-c", textwrap.dedent(script)]
        children = [
            subprocess.Popen(
                [*command, name, tmp_path / str(number), tmp_path / "models.lock"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number, name in enumerate(names)
        ]
        for child in children:
            assert child.stdout
            assert child.stdout.readline() == "pulled\n"
        for child in children:
            assert child.stdin
            child.stdin.write("go\n")
            child.stdin.flush()
        for child in children:
            child.communicate(timeout=120)
        assert [child.returncode for child in children] == [0] * len(children)
    assert sorted(model.manifest.repo for model in lock.read(tmp_path / "models.lock").models) == names
    assert not list(tmp_path.glob(".models.lock*"))
