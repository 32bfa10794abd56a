"""ModelScope's dialect: a list of files with sha256, on a branch that moves.

- There is no commit to pin: the manifest's own digest is the commit, so that the same files are the same commit.
- A listing of 3000 entries is cut short by the hub without a word; such a model is listed folder by folder.
- The token travels as a bearer and as the cookie that the hub's older routes read.
- The hub says no with a code and a message of its own, often under status 200. What it says is shown; a code that is
  known counts for more than the status.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from modelfetch.config import Endpoint
from modelfetch.errors import HostileHubError, ModelfetchError, NoSourceError
from modelfetch.http import Answer, Credential
from modelfetch.hubs.base import EndpointClient, access_denied, model_not_found, revision_not_found
from modelfetch.manifest import MAX_FILES, Digests, Entry, Manifest, check_digest, check_entries, content_digest
from modelfetch.planning.retry import Fault, FaultError, Kind
from modelfetch.redact import redact

DEFAULT_REVISION = "master"
LISTING_LIMIT = 3000
# The hub does not always say what is a large file; from here on nobody keeps one in git.
_LARGE_BYTES = 5 << 20
_LONGEST_MESSAGE = 500
# The status that says the same as one of the hub's own codes: numbers on its older routes, words on its newer ones.
_MEANT: Mapping[object, int] = {
    10010103009: 401,
    10010205001: 404,
    10010205002: 403,
    "InvalidAuthentication": 401,
    "OperationNotAllowed": 403,
    "QuotaLimitExceed": 429,
    "RateLimitExceed": 429,
    "ResourceNotFound": 404,
}


@dataclass(frozen=True)
class _Refusal:
    """How the hub says no: `status` is what it means, 0 where nobody knows."""

    status: int
    why: str


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
    document: Any = answer.json() if answer.status < 300 else _document(answer)
    if refusal := _refusal(answer.status, document):
        raise _error(refusal, client.endpoint, repo, revision)
    try:
        files = document["Data"]["Files"] or []
    except (KeyError, TypeError) as error:
        raise FaultError(Fault(Kind.MALFORMED, "the listing has no Data.Files")) from error
    if not isinstance(files, list) or not all(isinstance(item, Mapping) for item in files):
        raise FaultError(Fault(Kind.MALFORMED, "Data.Files is not a list of files"))
    return files


def _document(answer: Answer) -> object:
    """What comes with an error status, None where that is no document."""
    try:
        return answer.json()
    except FaultError:
        return None


def _refusal(status: int, document: object) -> _Refusal | None:
    """What the hub refuses with this answer, None where it refuses nothing."""
    said = document if isinstance(document, Mapping) else {}
    code = said.get("Code")
    if status < 300 and said.get("Success") is not False and code in (None, 0, 200, "200"):
        return None
    message = redact(str(said.get("Message") or "")[:_LONGEST_MESSAGE])
    why = f"{message} (code {str(code)[:20]})" if message and code else message or f"status {status}"
    meant = _MEANT.get(code) if isinstance(code, int | str) else None
    if meant is None and isinstance(code, int) and 400 <= code < 600:
        meant = code
    return _Refusal(meant or (status if status >= 300 else 0), why)


def _error(refusal: _Refusal, endpoint: Endpoint, repo: str, revision: str | None) -> ModelfetchError | FaultError:
    match refusal.status:
        case 401 | 403:
            return access_denied(endpoint, repo, why=refusal.why, variable="MODELSCOPE_API_TOKEN")
        case 404 if revision is not None and "revision" in refusal.why.lower():
            return revision_not_found(endpoint, repo, revision)
        case 400 | 404 | 410:
            return model_not_found(endpoint, repo, why=refusal.why)
        case 0:
            facts = {"from": endpoint.url, "answer": refusal.why}
            hint = "pull from another endpoint with --endpoint, or another hub with --source"
            return NoSourceError(f"`{endpoint.name}` does not list `{repo}`", facts=facts, hint=hint)
        case status:
            return FaultError(Fault(Kind.STATUS, refusal.why, status=status))


def _entry(item: Mapping[str, Any]) -> Entry:
    size = item.get("Size")
    large = item.get("IsLFS")
    if not isinstance(large, bool):
        large = isinstance(size, int) and size > _LARGE_BYTES
    digests = Digests(sha256=check_digest(item.get("Sha256"), kind="sha256"))
    # The type says that a size is a number; `check_entries` finds out whether it is one.
    return Entry(item.get("Path") or item.get("Name") or "", size if size is not None else -1, digests, lfs=large)


HUB = ModelScope()
