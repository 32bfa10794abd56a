"""The dialect of Hugging Face, as its own client expects it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

from tests.simulator.contents import Commit, Content, Repo, Shelf, front_matter
from tests.simulator.exchange import Answer, Question, file_answer, json_answer, redirect_answer

Sign = Callable[[str, str, Content], str]

_API = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<rev>[^/]+)(?:/(?P<sub>.+))?)?")
_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<rev>[^/]+)/(?P<file>.+)")


def answer(question: Question, shelf: Shelf, sign: Sign | None) -> Answer | None:
    """The hub's answer, or None for an address of another dialect; `sign` is None where the hub serves large files."""
    raw_path = question.target.partition("?")[0]
    if match := _API.fullmatch(raw_path):
        return _api(question, shelf, match)
    if match := _RESOLVE.fullmatch(raw_path):
        return _resolve(question, shelf, match, sign)
    return None


def _api(question: Question, shelf: Shelf, match: re.Match[str]) -> Answer:
    repo = shelf.repos.get(match["repo"])
    if repo is None:
        return _no_repo(question)
    revision = unquote(match["rev"] or "main")
    commit = repo.at(revision)
    if commit is None:
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    if match["what"] == "tree":
        return _tree(question, shelf, repo, commit)
    return _info(question, shelf, repo, commit)


def _info(question: Question, shelf: Shelf, repo: Repo, commit: Commit) -> Answer:
    with_blobs = question.query.get("blobs", "").lower() in {"true", "1"}
    siblings = [
        {"rfilename": path, **(_blob(shelf, content) if with_blobs else {})}
        for path, content in sorted(commit.files.items())
    ]
    licence = front_matter(commit.files).get("license")
    document = {
        "_id": commit.id[:24],
        "id": repo.name,
        "modelId": repo.name,
        "author": repo.name.partition("/")[0],
        "sha": commit.id,
        "lastModified": "2026-01-02T03:04:05.000Z",
        "createdAt": "2025-01-02T03:04:05.000Z",
        "private": False,
        "gated": "auto" if repo.name in shelf.gated else False,
        "disabled": False,
        "downloads": 1,
        "likes": 0,
        "library_name": "transformers",
        "tags": ["transformers", "safetensors", *([f"license:{licence}"] if licence else [])],
        "cardData": front_matter(commit.files),
        "siblings": siblings,
        "usedStorage": sum(content.size for content in commit.files.values()),
    }
    return json_answer(document, phase="listing")


def _blob(shelf: Shelf, content: Content) -> dict[str, Any]:
    if not shelf.is_lfs(content):
        return {"size": content.size, "blobId": content.git_sha1}
    lfs = {"sha256": content.sha256, "size": content.size, "pointerSize": content.pointer.size}
    return {"size": content.size, "blobId": content.pointer.git_sha1, "lfs": lfs}


def _tree(question: Question, shelf: Shelf, repo: Repo, commit: Commit) -> Answer:
    recursive = question.query.get("recursive", "").lower() in {"true", "1"}
    rows = _rows(shelf, commit, recursive=recursive)
    start = int(question.query.get("cursor", "0"))
    stop = start + shelf.page_size
    reply = json_answer(rows[start:stop], phase="listing").with_headers(X_Repo_Commit=commit.id)
    if stop >= len(rows):
        return reply
    base = f"http://{question.headers['host']}/api/models/{repo.name}/tree/{quote(commit.id, safe='')}"
    return reply.with_headers(Link=f'<{base}?recursive={str(recursive).lower()}&cursor={stop}>; rel="next"')


def _rows(shelf: Shelf, commit: Commit, *, recursive: bool) -> list[dict[str, Any]]:
    """Files and folders of the root, or of the whole tree."""
    rows: dict[str, dict[str, Any]] = {}
    for path, content in sorted(commit.files.items()):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            rows[folder] = {"type": "directory", "oid": Content(folder.encode()).git_sha1, "size": 0, "path": folder}
        blob = _blob(shelf, content)
        row = {"type": "file", "oid": blob["blobId"], "size": content.size, "path": path}
        if "lfs" in blob:
            row["lfs"] = {"oid": content.sha256, "size": content.size, "pointerSize": content.pointer.size}
        rows[path] = row
    return [row for path, row in rows.items() if recursive or "/" not in path]


def _resolve(question: Question, shelf: Shelf, match: re.Match[str], sign: Sign | None) -> Answer:
    repo = shelf.repos.get(match["repo"])
    if repo is None:
        return _no_repo(question)
    if repo.name in shelf.gated and question.token != shelf.token:
        message = f"Access to model {repo.name} is restricted. You must have access to it and be authenticated."
        return _error(403 if question.token else 401, "GatedRepo", message)
    revision, file = unquote(match["rev"]), unquote(match["file"])
    commit = repo.at(revision)
    if commit is None:
        return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
    content = commit.files.get(file)
    if content is None:
        return _error(404, "EntryNotFound", "Entry not found").with_headers(X_Repo_Commit=commit.id)
    if not shelf.is_lfs(content):
        return file_answer(question, file, content, content.git_sha1).with_headers(X_Repo_Commit=commit.id)
    if sign is None:
        reply = file_answer(question, file, content, content.sha256)
    else:
        reply = redirect_answer(sign(repo.name, file, content), file=file).with_headers(Accept_Ranges="bytes")
    return reply.with_headers(
        X_Repo_Commit=commit.id, X_Linked_Size=str(content.size), X_Linked_Etag=f'"{content.sha256}"'
    )


def _no_repo(question: Question) -> Answer:
    """Who shows no token is not told whether a private repository of that name exists."""
    if question.token is None:
        return _error(401, None, "Invalid username or password.")
    return _error(404, "RepoNotFound", "Repository not found")


def _error(status: int, code: str | None, message: str) -> Answer:
    reply = json_answer({"error": message}, status=status).with_headers(X_Error_Message=message)
    return reply.with_headers(X_Error_Code=code) if code else reply
