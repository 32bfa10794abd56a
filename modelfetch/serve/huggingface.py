"""The dialect of Hugging Face: model info, tree, refs and resolve, as its own client asks for them.

- Large files are answered in place, with the headers that their redirect would carry; there is no CDN and no Xet.
- Refusals carry the X-Error-Code by which the client tells a missing model from a missing revision or file.
- A page of the tree links to the next on the host that the client itself named.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote

from modelfetch.manifest import Entry
from modelfetch.serve.catalogue import Shelf, Snapshot, branches, folders_of, present_entries, present_entry
from modelfetch.serve.pieces import are_wanted, pieces_reply
from modelfetch.serve.reply import Reply, file_reply, json_reply
from modelfetch.serve.request import Request

HUB = "huggingface"
_DEFAULT_REVISION = "main"
PAGE_ENTRIES = 1000
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:.]+\](:[0-9]{1,5})?")


def respond(request: Request, shelf: Shelf) -> Reply | None:
    """The answer, or None when the address is not of this dialect."""
    revision, rest = _DEFAULT_REVISION, [""]
    answer: Callable[[Request, Snapshot, str], Reply] = _info
    match request.segments:
        case ("api", "models", owner, name, "refs"):
            return _refs(shelf, f"{owner}/{name}")
        case ("api", "models", owner, name):
            pass
        case ("api", "models", owner, name, "revision", revision):
            pass
        case ("api", "models", owner, name, "tree", revision, *rest):
            answer = _tree
        case (owner, name, "resolve", revision, *rest) if rest:
            answer = partial(_file, shelf)
        case _:
            return None
    repo = f"{owner}/{name}"
    snapshot = shelf.find(HUB, repo, revision)
    if snapshot is None:
        return _not_found(shelf, repo)
    return answer(request, snapshot, "/".join(rest)).with_headers({"X-Repo-Commit": snapshot.manifest.commit})


def _info(request: Request, snapshot: Snapshot, _: str) -> Reply:
    manifest = snapshot.manifest
    entries = present_entries(snapshot)
    with_blobs = request.query.get("blobs", "").lower() in {"true", "1"}
    licence = manifest.facts.licence
    tags = [f"license:{licence}"] if licence else []
    if manifest.facts.remote_code:
        tags.append("custom_code")
    document = {
        "id": manifest.repo,
        "modelId": manifest.repo,
        "author": manifest.repo.partition("/")[0],
        "sha": manifest.commit,
        "private": False,
        # Whoever pulled it had accepted the terms; here nobody is asked.
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": tags,
        "cardData": {"license": licence} if licence else {},
        "siblings": [{"rfilename": entry.path, **(_blob(entry) if with_blobs else {})} for entry in entries],
        "usedStorage": sum(entry.size for entry in entries),
    }
    return json_reply(document)


def _tree(request: Request, snapshot: Snapshot, folder: str) -> Reply:
    recursive = request.query.get("recursive", "").lower() in {"true", "1"}
    rows = _rows(present_entries(snapshot), folder.strip("/"), recursive=recursive)
    if rows is None:
        return _refusal("EntryNotFound", "no such folder in this store")
    cursor = request.query.get("cursor", "0")
    start = int(cursor) if re.fullmatch("[0-9]{1,9}", cursor) else 0
    reply = json_reply(rows[start : start + PAGE_ENTRIES])
    host = request.headers.get("host", "")
    if start + PAGE_ENTRIES >= len(rows) or not _HOST.fullmatch(host):
        return reply
    path = quote(request.target.partition("?")[0], safe="/%")
    query = f"recursive={str(recursive).lower()}&cursor={start + PAGE_ENTRIES}"
    return reply.with_headers({"Link": f'<http://{host}{path}?{query}>; rel="next"'})


def _rows(entries: list[Entry], root: str, *, recursive: bool) -> list[dict[str, Any]] | None:
    """Files and folders below `root`, or None where there is no such folder."""
    prefix = f"{root}/" if root else ""
    rows: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if not entry.path.startswith(prefix):
            continue
        for folder in folders_of(entry.path):
            if folder.startswith(prefix):
                rows.setdefault(folder, {"type": "directory", "oid": _tree_id(folder), "size": 0, "path": folder})
        blob = _blob(entry)
        row = {"type": "file", "oid": blob["blobId"], "size": entry.size, "path": entry.path}
        if "lfs" in blob:
            row["lfs"] = {"oid": blob["lfs"]["sha256"], "size": entry.size, "pointerSize": blob["lfs"]["pointerSize"]}
        rows[entry.path] = row
    if root and not rows:
        return None
    return [row for path, row in rows.items() if recursive or "/" not in path.removeprefix(prefix)]


def _blob(entry: Entry) -> dict[str, Any]:
    if not entry.shown_as_large:
        return {"size": entry.size, "blobId": entry.digests.git_sha1}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{entry.digests.sha256}\nsize {entry.size}\n"
    lfs = {"sha256": entry.digests.sha256, "size": entry.size, "pointerSize": len(pointer)}
    return {"size": entry.size, "blobId": _git_sha1(pointer.encode()), "lfs": lfs}


def _tree_id(folder: str) -> str:
    """Clients want an id of a folder and do nothing with it; git's own is not known here."""
    return _git_sha1(folder.encode())


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _file(shelf: Shelf, request: Request, snapshot: Snapshot, path: str) -> Reply:
    entry = present_entry(snapshot, path)
    if entry is None:
        return _refusal("EntryNotFound", "no such file in this store")
    if are_wanted(request):
        return pieces_reply(shelf, entry)
    linked = (
        {"X-Linked-Size": str(entry.size), "X-Linked-Etag": f'"{entry.digests.sha256}"'} if entry.shown_as_large else {}
    )
    return file_reply(request, entry, snapshot.file(path)).with_headers(linked)


def _refs(shelf: Shelf, repo: str) -> Reply:
    snapshots = shelf.of_repo(repo)
    if not snapshots:
        return _not_found(shelf, repo)
    rows = [
        {"name": name, "ref": f"refs/heads/{name}", "targetCommit": snapshot.manifest.commit}
        for name in branches(snapshots, _DEFAULT_REVISION)
        if (snapshot := shelf.find(HUB, repo, name))
    ]
    return json_reply({"branches": rows, "converts": [], "tags": []})


def _not_found(shelf: Shelf, repo: str) -> Reply:
    if shelf.of_repo(repo):
        return _refusal("RevisionNotFound", "no such revision in this store")
    return _refusal("RepoNotFound", "no such model in this store")


def _refusal(code: str, message: str) -> Reply:
    return json_reply({"error": message}, status=404).with_headers({"X-Error-Code": code, "X-Error-Message": message})
