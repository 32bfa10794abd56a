"""Hugging Face's dialect: a commit, its files with git-sha1 or sha256, and `resolve` URLs.

- One request lists a model (`?blobs=true`); where an endpoint answers without sizes and digests, its tree is read, too.
- A page of the tree that leads to another origin is refused: the hub's own clients would take the token there. Pages
  that go in a circle, or on and on, are refused as well.
- The git id of a large file is its pointer's, not its content's, and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, urljoin

from modelfetch.config import Endpoint, origin_of
from modelfetch.errors import HostileHubError
from modelfetch.http import Answer, Credential
from modelfetch.hubs.base import EndpointClient, access_denied, gated, model_not_found, revision_not_found
from modelfetch.manifest import MAX_FILES, Digests, Entry, Facts, Manifest, check_digest, check_entries
from modelfetch.planning.retry import Fault, FaultError, Kind
from modelfetch.redact import redact

DEFAULT_REVISION = "main"
# The hub's pages hold a thousand entries; nobody's are known to hold fewer than fifty.
MAX_PAGES = MAX_FILES // 50
# A licence is a word of a list; what is much longer is a text, and no fact.
_LONGEST_LICENCE = 100
_LONGEST_MESSAGE = 500
_NEXT_PAGE = re.compile(r'<([^>]*)>\s*;[^,]*rel="?next"?')


class HuggingFace:
    """The dialect of huggingface.co and its mirrors."""

    name = "huggingface"

    def credential(self, endpoint: Endpoint, token: str) -> Credential:
        return Credential(endpoint.origin, {"Authorization": f"Bearer {token}"})

    def file_url(self, endpoint: Endpoint, manifest: Manifest, path: str) -> str:
        return f"{endpoint.url}/{manifest.repo}/resolve/{quote(manifest.commit)}/{quote(path)}"

    def manifest(self, client: EndpointClient, repo: str, revision: str | None) -> Manifest:
        info = _info(client, repo, revision)
        commit = check_digest(info.get("sha"), kind="git_sha1")
        if commit is None:
            raise FaultError(Fault(Kind.MALFORMED, "the model's information names no commit"))
        entries = _from_siblings(info.get("siblings"))
        if entries is None:
            entries = tuple(_from_tree(_tree(client, repo, commit)))
        if not entries:
            raise model_not_found(client.endpoint, repo, why="it has no files at this revision")
        check_entries(entries, where=client.endpoint.name)
        return Manifest(self.name, repo, revision, commit, entries, _facts(info))


def _info(client: EndpointClient, repo: str, revision: str | None) -> Mapping[str, Any]:
    base = f"{client.endpoint.url}/api/models/{repo}"
    answer = client.ask(f"{base}/revision/{quote(revision or DEFAULT_REVISION, safe='')}?blobs=true")
    if answer.status == 404 and revision is None and "x-error-code" not in answer.headers:
        # Some mirrors know the model's own address only.
        answer = client.ask(f"{base}?blobs=true")
    _check_status(answer, client, repo, revision)
    return _mapping(answer.json())


def _tree(client: EndpointClient, repo: str, commit: str) -> Iterator[Mapping[str, Any]]:
    url: str | None = f"{client.endpoint.url}/api/models/{repo}/tree/{commit}?recursive=true&expand=false"
    count, seen = 0, set[str]()
    while url:
        seen.add(url)
        answer = client.ask(url)
        _check_status(answer, client, repo, None)
        page = answer.json()
        if not isinstance(page, list):
            raise FaultError(Fault(Kind.MALFORMED, "the tree is not a list"))
        count += len(page)
        url = _next_page(answer, client.endpoint)
        if count > 2 * MAX_FILES or len(seen) > MAX_PAGES or url in seen:
            raise HostileHubError(f"`{client.endpoint.name}` lists without end", facts={"entries so far": count})
        yield from map(_mapping, page)


def _check_status(answer: Answer, client: EndpointClient, repo: str, revision: str | None) -> None:
    """Turn an error status into the error it means: by the hub's own code first, then by the status alone."""
    if answer.status < 300:
        return
    endpoint, code = client.endpoint, answer.headers.get("x-error-code", "")
    why = redact(answer.headers.get("x-error-message", "")[:_LONGEST_MESSAGE]) or f"status {answer.status}"
    if code == "GatedRepo":
        raise gated(endpoint, repo, why=why, variable="HF_TOKEN")
    if code == "RevisionNotFound" and revision:
        raise revision_not_found(endpoint, repo, revision)
    if answer.status == 403 or (answer.status == 401 and not code and client.credential):
        raise access_denied(endpoint, repo, why=why, variable="HF_TOKEN")
    if answer.status == 401:
        # The hub says this of what does not exist, too, so that nobody learns which private models there are.
        raise model_not_found(endpoint, repo, why=f"{why}: there is no such model, or it is private (set HF_TOKEN)")
    if answer.status in {404, 410}:
        raise model_not_found(endpoint, repo, why=why)
    raise FaultError(Fault(Kind.STATUS, status=answer.status))


def _next_page(answer: Answer, endpoint: Endpoint) -> str | None:
    found = _NEXT_PAGE.search(answer.headers.get("link", ""))
    if not found:
        return None
    try:
        url: str = urljoin(answer.url, found.group(1))
        origin = origin_of(url)
    except ValueError as error:
        raise FaultError(Fault(Kind.MALFORMED, "the address of the next page is none")) from error
    if origin != endpoint.origin:
        raise HostileHubError(
            f"`{endpoint.name}` leads its listing to another host",
            facts={"expected": endpoint.origin, "got": origin},
            hint="pull from another endpoint with --endpoint",
        )
    return url


def _from_siblings(siblings: object) -> tuple[Entry, ...] | None:
    """The entries of a listing that has sizes and digests, None where it has not."""
    if not isinstance(siblings, list):
        return None
    entries = []
    for item in map(_mapping, siblings):
        large = item.get("lfs")
        entry = _entry(item.get("rfilename"), item.get("size"), item.get("blobId"), large, "sha256")
        if entry.size is None or not entry.digests:
            return None
        entries.append(entry)
    return tuple(entries)


def _from_tree(items: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
    for item in items:
        if item.get("type") == "file":
            yield _entry(item.get("path"), item.get("size"), item.get("oid"), item.get("lfs"), "oid")


def _entry(path: Any, size: Any, git_id: Any, large: Any, sha256_key: str) -> Entry:
    if isinstance(large, Mapping):
        digests = Digests(sha256=check_digest(large.get(sha256_key), kind="sha256"))
        return Entry(path, large.get("size", size), digests, lfs=True)
    return Entry(path, size, Digests(git_sha1=check_digest(git_id, kind="git_sha1")))


def _facts(info: Mapping[str, Any]) -> Facts:
    card = info.get("cardData")
    licence = card.get("license") if isinstance(card, Mapping) else None
    gate = info.get("gated")
    return Facts(
        licence=licence if _is_word(licence) else None,
        gated=bool(gate) if gate is not None else None,
    )


def _is_word(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_LICENCE and value.isprintable()


def _mapping(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise FaultError(Fault(Kind.MALFORMED, "expected an object"))
    return value


HUB = HuggingFace()
