"""The dialect of ModelScope: the `/api/v1` by which its own client lists and downloads, and its resolve address.

- Every file is listed with its sha256 and answered in place; ranges hold for small files too.
- The hub has no commits. Here a revision is a branch's name or the commit that the store pinned.
- Refusals come in the envelope, with the status that says the same.
"""

from __future__ import annotations

import uuid
from typing import Any

from modelfetch.manifest import Entry
from modelfetch.serve.catalogue import Shelf, Snapshot, branches, folders_of, present_entries, present_entry
from modelfetch.serve.pieces import are_wanted, pieces_reply
from modelfetch.serve.reply import Reply, file_reply, json_reply
from modelfetch.serve.request import Request

HUB = "modelscope"
_DEFAULT_REVISION = "master"
# What the hub itself answers where a record is missing.
_NOT_FOUND_CODE = 10010205001


def respond(request: Request, shelf: Shelf) -> Reply | None:
    """The answer, or None when the address is not of this dialect."""
    match request.segments:
        case ("api", "v1", "models", owner, name, *what):
            return _model(request, shelf, f"{owner}/{name}", "/".join(what))
        case ("models", owner, name, "resolve", revision, *path) if path:
            return _file(shelf, request, shelf.find(HUB, f"{owner}/{name}", revision), "/".join(path))
        case ("api", "v1", *_):
            return _refusal("no such address here")
    return None


def _model(request: Request, shelf: Shelf, repo: str, what: str) -> Reply:
    if what == "revisions":
        return _revisions(shelf, repo)
    snapshot = shelf.find(HUB, repo, request.query.get("Revision") or _DEFAULT_REVISION)
    if what == "repo":
        return _file(shelf, request, snapshot, request.query.get("FilePath", ""))
    if snapshot is None:
        return _refusal("no such model or revision in this store")
    if what == "repo/files":
        return _files(request, snapshot)
    if what == "":
        name = repo.partition("/")[2]
        return _envelope({"Path": name, "Name": name, "License": snapshot.manifest.facts.licence or ""})
    return _refusal("no such address here")


def _files(request: Request, snapshot: Snapshot) -> Reply:
    root = request.query.get("Root", "").strip("/")
    recursive = request.query.get("Recursive", "").lower() in {"true", "1"}
    prefix = f"{root}/" if root else ""
    commit = snapshot.manifest.commit
    rows: dict[str, dict[str, Any]] = {}
    for entry in present_entries(snapshot):
        if not entry.path.startswith(prefix):
            continue
        for folder in folders_of(entry.path):
            if folder.startswith(prefix):
                rows.setdefault(folder, _row(Entry(folder, 0), commit) | {"Type": "tree", "Mode": "40000"})
        rows[entry.path] = _row(entry, commit)
    shown = [row for path, row in rows.items() if recursive or "/" not in path.removeprefix(prefix)]
    return _envelope({"Files": shown})


def _row(entry: Entry, commit: str) -> dict[str, Any]:
    return {
        "Id": entry.digests.git_sha1 or "",
        "IsLFS": entry.lfs,
        "Mode": "33188",
        "Name": entry.path.rpartition("/")[2],
        "Path": entry.path,
        "Revision": commit,
        "Sha256": entry.digests.sha256 or "",
        "Size": entry.size,
        "Type": "blob",
    }


def _file(shelf: Shelf, request: Request, snapshot: Snapshot | None, path: str) -> Reply:
    entry = present_entry(snapshot, path) if snapshot else None
    if snapshot is None or entry is None:
        return _refusal("no such model, revision or file in this store")
    if are_wanted(request):
        return pieces_reply(shelf, entry)
    return file_reply(request, entry, snapshot.file(path)).with_headers(
        {"X-Linked-ETag": f'"{entry.digests.sha256}"'} if entry.digests.sha256 else {}
    )


def _revisions(shelf: Shelf, repo: str) -> Reply:
    snapshots = shelf.of_repo(repo)
    if not snapshots:
        return _refusal("no such model in this store")
    rows = [{"Revision": name} for name in branches(snapshots, _DEFAULT_REVISION)]
    return _envelope({"RevisionMap": {"Branches": rows, "Tags": []}})


def _envelope(data: Any) -> Reply:
    return json_reply({"Code": 200, "Data": data, "Message": "success", "RequestId": _request_id(), "Success": True})


def _refusal(message: str) -> Reply:
    document = {
        "Code": _NOT_FOUND_CODE,
        "Data": None,
        "Message": message,
        "RequestId": _request_id(),
        "Success": False,
    }
    return json_reply(document, status=404)


def _request_id() -> str:
    return str(uuid.uuid4())
