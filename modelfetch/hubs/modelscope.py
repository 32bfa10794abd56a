"""ModelScope's dialect: a list of files with sha256, on a branch that moves.

- There is no commit to pin: the manifest's own digest is the commit, so that the same files are the same commit.
- A listing of 3000 entries is cut short by the hub without a word; such a model is listed folder by folder.
- The token travels as a bearer and as the cookie that the hub's older routes read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from modelfetch.config import Endpoint
from modelfetch.errors import HostileHubError
from modelfetch.http import Answer, Credential
from modelfetch.hubs.base import EndpointClient, access_denied, model_not_found, revision_not_found
from modelfetch.manifest import MAX_FILES, Digests, Entry, Manifest, check_digest, check_entries, content_digest
from modelfetch.planning.retry import Fault, FaultError, Kind

DEFAULT_REVISION = "master"
LISTING_LIMIT = 3000
# The hub does not always say what is a large file; from here on nobody keeps one in git.
_LARGE_BYTES = 5 << 20


class ModelScope:
    """The dialect of modelscope.cn and modelscope.ai."""

    name = "modelscope"

    def credential(self, endpoint: Endpoint, token: str) -> Credential:
        headers = {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"}
        return Credential(endpoint.origin, headers)

    def file_url(self, endpoint: Endpoint, manifest: Manifest, path: str) -> str:
        query = urlencode({"Revision": manifest.revision or DEFAULT_REVISION, "FilePath": path})
        return f"{endpoint.url}/api/v1/models/{manifest.repo}/repo?{query}"

    def manifest(self, client: EndpointClient, repo: str, revision: str | None) -> Manifest:
        items = _list(client, repo, revision, {"Recursive": "True"})
        if len(items) >= LISTING_LIMIT:
            items = list(_walk(client, repo, revision))
        entries = tuple(_entry(item) for item in items if item.get("Type") != "tree")
        if not entries:
            raise model_not_found(client.endpoint, repo, why="it has no files at this revision")
        check_entries(entries, where=client.endpoint.name)
        return Manifest(self.name, repo, revision, content_digest(entries)[:40], entries)


def _walk(client: EndpointClient, repo: str, revision: str | None) -> Iterator[Mapping[str, Any]]:
    folders, seen, count = [""], set[str](), 0
    while folders:
        root = folders.pop()
        for item in _list(client, repo, revision, {"Root": root} if root else {}):
            count += 1
            if count > 2 * MAX_FILES:
                raise HostileHubError(f"`{client.endpoint.name}` lists without end", facts={"entries so far": count})
            if item.get("Type") != "tree":
                yield item
            elif (path := str(item.get("Path"))) not in seen:
                seen.add(path)
                folders.append(path)


def _list(client: EndpointClient, repo: str, revision: str | None, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
    encoded = urlencode({"Revision": revision or DEFAULT_REVISION, **query})
    answer = client.ask(f"{client.endpoint.url}/api/v1/models/{repo}/repo/files?{encoded}")
    _check_status(answer, client.endpoint, repo, revision)
    document = answer.json()
    try:
        files = document["Data"]["Files"] or []
    except (KeyError, TypeError) as error:
        raise FaultError(Fault(Kind.MALFORMED, "the listing has no Data.Files")) from error
    if not isinstance(files, list) or not all(isinstance(item, Mapping) for item in files):
        raise FaultError(Fault(Kind.MALFORMED, "Data.Files is not a list of files"))
    return files


def _check_status(answer: Answer, endpoint: Endpoint, repo: str, revision: str | None) -> None:
    if answer.status < 300:
        return
    why = f"status {answer.status}"
    if answer.status in {401, 403}:
        raise access_denied(endpoint, repo, why=why, variable="MODELSCOPE_API_TOKEN")
    if answer.status == 404 and revision is not None and b"revision" in answer.body[:4096].lower():
        raise revision_not_found(endpoint, repo, revision)
    if answer.status in {400, 404, 410}:
        raise model_not_found(endpoint, repo, why=why)
    raise FaultError(Fault(Kind.STATUS, status=answer.status))


def _entry(item: Mapping[str, Any]) -> Entry:
    size = item.get("Size")
    large = item.get("IsLFS")
    if not isinstance(large, bool):
        large = isinstance(size, int) and size > _LARGE_BYTES
    digests = Digests(sha256=check_digest(item.get("Sha256"), kind="sha256"))
    # The type says that a size is a number; `check_entries` finds out whether it is one.
    return Entry(item.get("Path") or item.get("Name") or "", size if size is not None else -1, digests, lfs=large)


HUB = ModelScope()
