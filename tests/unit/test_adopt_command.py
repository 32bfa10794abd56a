"""`modelfetch adopt`: what it prints, its exit statuses, and the other commands over what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelfetch.cli import run
from tests.conftest import safetensors_bytes
from tests.other_tools import etag, huggingface_cache, ollama_model, write, write_all
from tests.stored import COMMIT

WEIGHTS = safetensors_bytes({"weight": bytes(2_000_000)})
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Hugging Face's cache, as the variables tell it, with one model."""
    monkeypatch.setenv("MODELFETCH_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    huggingface_cache(tmp_path / "hub", FILES)
    return tmp_path / "hub"


def test_without_a_path_the_known_caches_are_shown_and_taken_in(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt"]) == 0
    printed = capsys.readouterr()
    assert f"huggingface: {hub} (HF_HUB_CACHE): 1 model, 2.0 MB" in printed.err
    assert "modelscope: " in printed.err
    assert "not there" in printed.err
    assert "took 2 files in " in printed.err
    assert printed.out.splitlines()[1].split() == [
        "huggingface:own/name",
        COMMIT[:12],
        "2",
        "2.0",
        "MB",
        "adopted",
    ]


@pytest.mark.usefixtures("hub")
def test_a_second_run_says_that_nothing_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt", "-q"]) == 0
    assert capsys.readouterr().err == ""
    assert run(["adopt"]) == 0
    printed = capsys.readouterr()
    assert "nothing is new here" in printed.err
    assert printed.out.splitlines()[1].endswith("known")


@pytest.mark.usefixtures("hub")
def test_what_was_adopted_is_a_model_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt", "-q"]) == 0
    for arguments in (
        ["ls"],
        ["path", "own/name"],
        ["verify", "own/name"],
        ["link", "own/name", "--to", str(tmp_path / "folder")],
        ["rm", "own/name"],
    ):
        assert run(arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "folder/model.safetensors").read_bytes() == WEIGHTS
    assert (tmp_path / f"hub/models--own--name/snapshots/{COMMIT}/model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.usefixtures("hub")
def test_of_a_model_without_its_listing_nobody_knows_how_many_files_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt", "-q"]) == 0
    assert run(["ls"]) == 0
    assert "2 of ?" in capsys.readouterr().out


def test_damage_is_named_and_ends_with_8(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blob = hub / "models--own--name/blobs" / etag(WEIGHTS)
    blob.write_bytes(bytes(len(WEIGHTS)))
    assert run(["adopt", "-q"]) == 8
    printed = capsys.readouterr()
    assert f"damaged: {blob}: expected {etag(WEIGHTS)}" in printed.err
    assert printed.out.splitlines()[1].endswith("adopted, 1 of 2 files")


def test_a_dry_run_makes_no_store(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["adopt", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["dry_run"], document["files_taken"]) == (True, 2)
    assert not (hub.parent / "store").exists()
    assert run(["adopt", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "would take 2 files without a download: 2.0 MB linked" in printed.err
    assert printed.out.splitlines()[1].endswith("would be adopted")


def test_a_model_without_a_name_is_told_how_to_get_one(
    tmp_path: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ollama_model(tmp_path / "ollama", b"GGUF" + bytes(2_000_000))
    assert run(["adopt", str(tmp_path / "ollama")]) == 0
    printed = capsys.readouterr()
    assert "without a name" in printed.out
    manifest = tmp_path / "ollama/manifests/registry.ollama.ai/library/smollm2/latest"
    assert f"modelfetch adopt '{manifest}' --as owner/name" in printed.err
    assert run(["adopt", str(manifest), "--as", "me/smol"]) == 0
    capsys.readouterr()
    assert run(["path", "local:me/smol"]) == 0
    folder = Path(capsys.readouterr().out.strip())
    assert [path.name for path in folder.iterdir()] == ["smollm2-latest.gguf"]


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere"], 4, "there is nothing at"),
        (["--as", "own/name"], 2, "for one model without a name"),
        (["--as", "hf:own/name"], 2, "says more than a name"),
        (["--as", "own/name@v1"], 2, "says more than a name"),
        (["--as", "no-slash"], 2, "is not a model reference"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: list[str], status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["adopt", *arguments]) == status
    assert said in capsys.readouterr().err


def test_refusals_and_orphans_are_told_by_name(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = hub / "models--own--name"
    half = write(repository / "blobs/abc.01234567.incomplete", bytes(5_000_000))
    (repository / f"snapshots/{COMMIT}/leak").symlink_to("/etc/passwd")
    assert run(["adopt"]) == 0
    printed = capsys.readouterr().err
    assert "leak: it leads out of" in printed
    assert f"{half} (5.0 MB, 0 days old): a download that was cut off" in printed
    assert "modelfetch prune --orphans" in printed
    assert half.exists()


def test_a_folder_of_ones_own_is_taken_under_the_name_that_is_given(
    tmp_path: Path, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_all(tmp_path / "mine", FILES)
    assert run(["adopt", str(tmp_path / "mine"), "--as", "me/mine"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("local:me/mine")
    config = tmp_path / "mine/config.json"
    config.write_text('{"edited": true}', encoding="utf-8")
    assert run(["verify", "me/mine"]) == 0
