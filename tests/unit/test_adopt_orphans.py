"""What other tools left behind: found where it is, and nothing that somebody still needs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from modelfetch.adopt import Place, Tool, orphans
from modelfetch.adopt.orphans import is_part
from tests.stored import COMMIT

DIGEST = "ab" * 32
OTHER = "cd" * 32


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository in Hugging Face's cache, with one file."""
    repository = tmp_path / "hub/models--own--name"
    write(repository / "blobs" / DIGEST, b"weights")
    link(repository / f"snapshots/{COMMIT}/sub/model.bin", f"../../../blobs/{DIGEST}")
    return repository


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def found(tool: Tool, root: Path, only: Path | None = None) -> dict[str, str]:
    return {
        orphan.path.relative_to(root).as_posix(): orphan.why for orphan in orphans([Place(tool, root, "given", only)])
    }


def test_a_half_file_and_a_blob_that_no_snapshot_leads_to_are_orphans(repository: Path) -> None:
    write(repository / "blobs" / OTHER, b"detached")
    write(repository / f"blobs/{DIGEST}.01234567.incomplete", b"half")
    assert found(Tool.HUGGINGFACE, repository.parent) == {
        f"models--own--name/blobs/{OTHER}": "no snapshot leads to it",
        f"models--own--name/blobs/{DIGEST}.01234567.incomplete": "a download that was cut off",
    }


def test_blobs_are_no_orphans_while_the_links_cannot_all_be_read(repository: Path) -> None:
    (repository / "snapshots").rename(repository / "elsewhere")
    assert found(Tool.HUGGINGFACE, repository.parent) == {}


def test_a_shared_blob_is_an_orphan_when_no_repository_leads_to_it(repository: Path) -> None:
    hub = repository.parent
    write(hub / "blobs/.huggingface-shared-blobs", b"1\n")
    write(hub / "blobs/aa/aa11", b"shared")
    write(hub / "blobs/aa/aa11.refs", b"datasets--o--n/blobs/x\n")
    write(hub / "blobs/bb/bb22", b"left")
    link(hub / "kernels--o--n/blobs/x", "../../blobs/aa/aa11")
    assert found(Tool.HUGGINGFACE, hub) == {"blobs/bb/bb22": "no repository leads to it"}


def test_one_repository_is_looked_at_when_one_was_named(repository: Path) -> None:
    write(repository / "blobs" / OTHER, b"detached")
    other = repository.parent / "models--own--other"
    write(other / f"blobs/{DIGEST}.01234567.incomplete", b"half")
    assert found(Tool.HUGGINGFACE, repository.parent, other) == {
        f"models--own--other/blobs/{DIGEST}.01234567.incomplete": "a download that was cut off"
    }


def test_modelscope_leaves_a_folder_of_temporaries_and_parts(tmp_path: Path) -> None:
    names = [
        "hub/._____temp/own/name/model.bin",
        "models/own--name/snapshots/master/model.bin.incomplete",
        "models/own--name/snapshots/master/model.bin.parallel_tmp",
        "models/own--name/snapshots/master/model.bin_0_8388607",
    ]
    for name in (*names, "models/own--name/snapshots/master/model.bin"):
        write(tmp_path / name, b"x")
    assert found(Tool.MODELSCOPE, tmp_path).keys() == set(names)


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("model.safetensors_0_8388607", 8_388_608, True),
        ("model.safetensors_0_8388607", 100, True),
        ("model.safetensors_8388608_9000000", 611_393, True),
        ("model.safetensors_0_8388607", 8_388_609, False),
        ("checkpoint_0_2000000", 10, False),
        ("checkpoint_3_7", 2, False),
        ("model-00001-of-00002", 2, False),
    ],
)
def test_a_part_is_known_by_its_borders(name: str, size: int, *, expected: bool) -> None:
    assert is_part(name, size) is expected


def test_ollama_leaves_partials_and_blobs_that_no_model_names(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    for name in (f"sha256-{DIGEST}", f"sha256-{OTHER}", f"sha256-{OTHER}-partial-3"):
        write(blobs / name, b"x")
    document = {"layers": [], "config": {"digest": f"sha256:{DIGEST}"}}
    manifest = write(tmp_path / "manifests/registry.ollama.ai/library/m/latest", json.dumps(document).encode())
    assert found(Tool.OLLAMA, tmp_path) == {
        f"blobs/sha256-{OTHER}": "no model names it",
        f"blobs/sha256-{OTHER}-partial-3": "a download that was cut off",
    }
    manifest.write_bytes(b"{")
    assert found(Tool.OLLAMA, tmp_path).keys() == {f"blobs/sha256-{OTHER}-partial-3"}


def test_a_folder_of_downloads_has_half_files_of_both_clients(tmp_path: Path) -> None:
    names = [".cache/huggingface/download/x.abc.incomplete", "._____temp/model.bin"]
    for name in (*names, "model.bin"):
        write(tmp_path / name, b"x")
    assert found(Tool.FOLDER, tmp_path).keys() == set(names)


def test_the_age_counts_from_the_last_change_of_any_kind(repository: Path) -> None:
    half = write(repository / "blobs/x.incomplete", b"half")
    os.utime(half, (0, 0))
    changed = half.stat().st_ctime
    (orphan,) = orphans([Place(Tool.HUGGINGFACE, repository.parent, "given")], now=changed + 5)
    assert orphan.age_s == pytest.approx(5)
    assert (orphan.size_bytes, orphan.owner) == (4, Tool.HUGGINGFACE)


def test_a_place_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert orphans([Place(tool, tmp_path / "nowhere", "default") for tool in Tool]) == []
