"""The dialect of ModelScope: the `/api/v1` that its own client uses to list and to download."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

from tests.simulator.contents import Commit, Content, Repo, Shelf, front_matter
from tests.simulator.exchange import Answer, Question, file_answer, json_answer, redirect_answer

Sign = Callable[[str, str, Content], str]

# The real one returns no more and does not say so.
LISTING_LIMIT = 3000
_MODEL = re.compile(r"/api/v1/models/(?P<repo>[^/]+/[^/]+)(?P<what>|/repo|/repo/files|/revisions)")


def answer(question: Question, shelf: Shelf, sign: Sign | None) -> Answer | None:
    """The hub's answer, or None for an address of another dialect; `sign` is None where the hub serves large files."""
    if not question.path.startswith("/api/v1/"):
        return None
    match = _MODEL.fullmatch(question.path)
    if match is None:
        return _error(404, 10010000404, f"no such address: {question.path}")
    repo = shelf.repos.get(match["repo"])
    if repo is None:
        return _error(404, 10010205001, "record not found")
    if repo.name in shelf.gated and question.token != shelf.token:
        return _error(403 if question.token else 401, 10010205002, "the model is private or needs an application")
    return _model(question, shelf, repo, match["what"], sign)


def _model(question: Question, shelf: Shelf, repo: Repo, what: str, sign: Sign | None) -> Answer:
    if what == "/revisions":
        return _revisions()
    revision = question.query.get("Revision") or "master"
    commit = repo.at(revision)
    if commit is None:
        return _error(404, 10010205001, f"revision {revision} not found")
    if what == "/repo/files":
        return _files(question, shelf, commit)
    if what == "/repo":
        return _file(question, shelf, repo, commit, sign)
    name = repo.name.partition("/")[2]
    return _envelope({"Path": name, "Name": name, "License": front_matter(commit.files).get("license", "")})


def _files(question: Question, shelf: Shelf, commit: Commit) -> Answer:
    root = question.query.get("Root", "").strip("/")
    recursive = question.query.get("Recursive", "").lower() in {"true", "1"}
    prefix = f"{root}/" if root else ""
    rows: dict[str, dict[str, Any]] = {}
    for path, content in sorted(commit.files.items()):
        if not path.startswith(prefix):
            continue
        parts = path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts)):
            folder = prefix + "/".join(parts[:depth])
            rows[folder] = _row(folder, "tree", commit, Content(folder.encode()), size=0)
        rows[path] = _row(path, "blob", commit, content, size=content.size)
        rows[path]["IsLFS"] = shelf.is_lfs(content)
        rows[path]["Sha256"] = content.sha256 if shelf.sha256_listed else ""
    shown = [row for path, row in rows.items() if recursive or "/" not in path.removeprefix(prefix)]
    return _envelope({"Files": shown[:LISTING_LIMIT], "IsVisual": 0, "LatestCommitter": None}, listing=True)


def _row(path: str, kind: str, commit: Commit, content: Content, *, size: int) -> dict[str, Any]:
    return {
        "CommitMessage": "update",
        "CommittedDate": 1767323045,
        "CommitterName": "somebody",
        "Id": content.git_sha1,
        "IsLFS": False,
        "Mode": "40000" if kind == "tree" else "33188",
        "Name": path.rpartition("/")[2],
        "Path": path,
        "Revision": commit.id,
        "Sha256": "",
        "Size": size,
        "Type": kind,
    }


def _file(question: Question, shelf: Shelf, repo: Repo, commit: Commit, sign: Sign | None) -> Answer:
    file = question.query.get("FilePath", "")
    content = commit.files.get(file)
    if content is None:
        return _error(404, 10010205001, f"file {file} not found")
    if not shelf.is_lfs(content):
        # Files that git itself holds come whole, whatever range is asked for.
        plain = Question(question.method, question.target, question.path, question.query, {})
        return file_answer(plain, file, content, content.git_sha1)
    if sign is None:
        return file_answer(question, file, content, content.sha256).with_headers(X_Linked_Etag=f'"{content.sha256}"')
    return redirect_answer(sign(repo.name, file, content), file=file)


def _revisions() -> Answer:
    branches = [{"Revision": "master", "CreatedAt": 1767323045}]
    return _envelope({"RevisionMap": {"Branches": branches, "Tags": []}})


def _envelope(data: Any, *, listing: bool = False) -> Answer:
    document = {"Code": 200, "Data": data, "Message": "success", "RequestId": str(uuid.uuid4()), "Success": True}
    return json_answer(document, phase="listing" if listing else "metadata")


def _error(status: int, code: int, message: str) -> Answer:
    document = {"Code": code, "Data": None, "Message": message, "RequestId": str(uuid.uuid4()), "Success": False}
    return json_answer(document, status=status)
