"""Caches and folders as other tools make them, by hand: what the real clients of today do not make any more."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path

from tests.stored import COMMIT, LFS_THRESHOLD, digests_of


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def link(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return path


def write_all(folder: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        write(folder / name, content)
    return folder


def huggingface_cache(
    cache: Path,
    files: Mapping[str, bytes],
    *,
    repo: str = "own/name",
    commit: str = COMMIT,
    branch: str | None = "main",
    tree: Mapping[str, bytes] | None = None,
) -> Path:
    """A snapshot in Hugging Face's cache; with `tree` the client's listing of those files besides. The snapshot."""
    repository = cache / f"models--{repo.replace('/', '--')}"
    snapshot = repository / "snapshots" / commit
    for name, content in files.items():
        blob = write(repository / "blobs" / etag(content), content)
        link(snapshot / name, "../" * (2 + name.count("/")) + f"blobs/{blob.name}")
    if branch is not None:
        write(repository / "refs" / branch, commit.encode())
    if tree is not None:
        listing = {name: _listed(content) for name, content in tree.items()}
        document = {"format_version": 1, "files": listing}
        write(repository / "trees" / f"{commit}.json", json.dumps(document).encode())
    return snapshot


def etag(content: bytes) -> str:
    """What that hub calls a file's content."""
    digests = digests_of(content)
    name = digests.sha256 if len(content) > LFS_THRESHOLD else digests.git_sha1
    assert name is not None
    return name


def _listed(content: bytes) -> dict[str, object]:
    if len(content) <= LFS_THRESHOLD:
        return {"size": len(content), "blob_id": etag(content)}
    return {"size": len(content), "blob_id": "0" * 40, "lfs_sha256": etag(content), "lfs_size": len(content)}


def older_modelscope_repository(folder: Path, files: Mapping[str, bytes], *, model_id: str | None = None) -> Path:
    """A repository as ModelScope's older clients kept it, with their notes."""
    write_all(folder, files)
    write(folder / ".msc", pickle.dumps([{"Path": name, "Revision": "f01d"} for name in files]))
    write(folder / ".mv", b"Revision:master,CreatedAt:1700000000")
    if model_id is not None:
        write(folder / ".mdl", pickle.dumps({"id": model_id}))
    return folder


def ollama_model(root: Path, weights: bytes, *, name: str = "registry.ollama.ai/library/smollm2/latest") -> Path:
    """A model of Ollama's: its weights, its template, and the manifest that names them. The weights' blob."""
    layers = []
    for content, kind in ((weights, "model"), (b"{{ .Prompt }}", "template")):
        sha256 = digests_of(content).sha256
        write(root / "blobs" / f"sha256-{sha256}", content)
        media_type = f"application/vnd.ollama.image.{kind}"
        layers.append({"mediaType": media_type, "digest": f"sha256:{sha256}", "size": len(content)})
    document = {"schemaVersion": 2, "config": {"digest": layers[1]["digest"]}, "layers": layers}
    write(root / "manifests" / name, json.dumps(document).encode())
    return root / "blobs" / f"sha256-{digests_of(weights).sha256}"
