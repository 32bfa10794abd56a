"""A machine is held to a lock file: what is missing or other is found, what is there besides is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.config import load
from modelfetch.lock import Lock, LockedModel, render
from modelfetch.manifest import Manifest
from modelfetch.store import FolderDestination, Snapshot, Store
from modelfetch.verification import Finding, Problem, Severity, hold_to_lock
from tests.conftest import safetensors_bytes
from tests.stored import COMMIT, bring, deliver, digests_of, manifest_of

WEIGHTS = safetensors_bytes({"weight": b"w" * 200_000})
FILES = {"config.json": b'{"a": 1}', "model.safetensors": WEIGHTS}


@pytest.fixture
def store() -> Store:
    return Store.open(load().home)


def locked(manifest: Manifest | None = None, *, left: frozenset[str] = frozenset()) -> LockedModel:
    manifest = manifest or manifest_of(FILES)
    return LockedModel(manifest, frozenset(entry.path for entry in manifest.entries) - left, {})


def held(store: Store, *models: LockedModel) -> list[Finding]:
    return list(hold_to_lock(models, store.snapshots(), where="models.lock").findings)


def test_what_is_here_as_it_is_locked_is_no_finding(store: Store) -> None:
    snapshot = bring(store, FILES)
    found = hold_to_lock([locked()], store.snapshots(), where="models.lock")
    assert found.findings == ()
    assert [each.manifest for each in found.snapshots] == [snapshot.manifest]


def test_files_and_models_besides_are_no_finding(store: Store) -> None:
    bring(store, FILES)
    bring(store, FILES, manifest_of(FILES, repo="owner/other"))
    found = hold_to_lock([locked(left=frozenset({"config.json"}))], store.snapshots(), where="models.lock")
    assert found.findings == ()
    assert len(found.snapshots) == 1


def test_a_model_that_is_not_here_is_missing(store: Store) -> None:
    (finding,) = held(store, locked())
    assert (finding.problem, finding.severity, finding.path) == (Problem.MISSING_MODEL, Severity.ERROR, "*")
    assert (finding.expected, finding.got) == (f"huggingface {COMMIT[:12]}", "no snapshot")
    assert finding.hint == "modelfetch pull huggingface:owner/name --locked models.lock"
    assert not finding.can_be_repaired


def test_another_commit_or_another_hub_is_another_model_and_told(store: Store) -> None:
    bring(store, FILES, manifest_of(FILES, commit="f" * 40))
    bring(store, FILES, manifest_of(FILES, hub="modelscope"))
    (finding,) = held(store, locked())
    assert finding.problem is Problem.MISSING_MODEL
    assert set(str(finding.got).split(", ")) == {f"huggingface {'f' * 12}", f"modelscope {COMMIT[:12]}"}


def test_a_file_that_the_pull_left_out_is_found(store: Store) -> None:
    bring(store, {"config.json": FILES["config.json"]}, manifest_of(FILES))
    (finding,) = held(store, locked())
    assert (finding.path, finding.problem, finding.expected) == (
        "model.safetensors",
        Problem.NOT_PULLED,
        f"{len(WEIGHTS)} bytes",
    )


def test_other_bytes_under_the_locked_commit_are_found(store: Store) -> None:
    other = {**FILES, "config.json": b'{"a": 2}'}
    bring(store, other)
    (finding,) = held(store, locked())
    assert (finding.path, finding.problem) == ("config.json", Problem.NOT_AS_LOCKED)
    assert (finding.expected, finding.got) == (
        digests_of(FILES["config.json"]).sha256,
        digests_of(other["config.json"]).sha256,
    )


def test_every_model_and_file_is_found_not_only_the_first(store: Store) -> None:
    bring(store, {"config.json": b"{}"}, manifest_of({"config.json": b"{}"}))
    others = [locked(manifest_of(FILES, repo=f"owner/{name}")) for name in "ab"]
    assert [finding.problem for finding in held(store, locked(), *others)] == [
        Problem.NOT_AS_LOCKED,
        Problem.NOT_PULLED,
        Problem.MISSING_MODEL,
        Problem.MISSING_MODEL,
    ]


def test_of_several_places_of_a_commit_the_one_that_has_most_speaks(store: Store, tmp_path: Path) -> None:
    bring(store, {"config.json": FILES["config.json"]}, manifest_of(FILES))
    plain = deliver(FolderDestination(store, tmp_path / "mine"), FILES, manifest_of(FILES))
    found = hold_to_lock([locked()], store.snapshots(), where="models.lock")
    assert found.findings == ()
    assert [each.folder for each in found.snapshots] == [plain.folder]


def test_a_commit_that_is_locked_by_two_names_is_verified_once(store: Store) -> None:
    bring(store, FILES)
    tagged = replace(locked(), manifest=manifest_of(FILES, revision="v1"))
    assert len(hold_to_lock([locked(), tagged], store.snapshots(), where="models.lock").snapshots) == 1


class TestCommand:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        path = tmp_path / "models.lock"
        models = (locked(), locked(manifest_of(FILES, repo="owner/other")))
        path.write_text(render(Lock(models)), encoding="utf-8")
        return str(path)

    @pytest.fixture
    def snapshots(self, store: Store) -> list[Snapshot]:
        return [bring(store, FILES), bring(store, FILES, manifest_of(FILES, repo="owner/other"))]

    @pytest.mark.usefixtures("snapshots")
    def test_a_machine_that_has_everything_passes(self, path: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["verify", "--locked", path]) == 0
        assert "every file is as it was locked" in capfd.readouterr().err

    def test_damage_on_the_disk_is_found_as_always(
        self, path: str, store: Store, snapshots: list[Snapshot], capfd: pytest.CaptureFixture[str]
    ) -> None:
        blob = store.blob(str(digests_of(WEIGHTS).sha256))
        blob.unlink()
        assert run(["verify", "--locked", path]) == 8
        assert "model.safetensors: missing (expected" in capfd.readouterr().out

    def test_what_is_not_here_ends_with_status_8_and_the_command_that_brings_it(
        self, path: str, store: Store, capfd: pytest.CaptureFixture[str]
    ) -> None:
        bring(store, FILES)
        assert run(["verify", "--locked", path]) == 8
        out, err = capfd.readouterr()
        assert out.splitlines() == [
            f"error: owner/other *: missing model (expected huggingface {COMMIT[:12]}, got no snapshot)",
            f"  hint: modelfetch pull huggingface:owner/other --locked {path}",
        ]
        assert "verify --repair" not in err
        assert run(["verify", "--locked", path, "owner/name"]) == 0
        assert run(["verify", "--locked", path, "owner/absent"]) == 4

    @pytest.mark.usefixtures("store")
    def test_json_has_the_findings_of_both(self, path: str, capfd: pytest.CaptureFixture[str]) -> None:
        assert run(["verify", "--locked", path, "--json"]) == 8
        document = json.loads(capfd.readouterr().out)
        assert document["ok"] is False
        assert [(each["repo"], each["problem"]) for each in document["findings"]] == [
            ("owner/name", "missing model"),
            ("owner/other", "missing model"),
        ]

    @pytest.mark.usefixtures("store")
    def test_a_damaged_lock_file_is_a_configuration_that_cannot_be_used(self, tmp_path: Path) -> None:
        (tmp_path / "models.lock").write_text("{}", encoding="utf-8")
        assert run(["verify", "--locked", str(tmp_path / "models.lock")]) == 3
