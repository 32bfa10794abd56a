"""How a user names a model: `[hub:]owner/name[@revision][:QUANT]`, its URL forms, and a pasted page address.

Decides only; asks no network and no disk.

- `main` and `master` are the same revision, the default one: a `Reference` holds `None` for it.
- A pasted address names the hub its host belongs to; a host that is unknown is an error, never a guess. So is a page of
  something else than a model. It may come without `https://`, as in `hf.co/owner/name:QUANT`.
- An owner and a name are one path component each: they become folder names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from modelfetch.errors import UsageError
from modelfetch.redact import redact

HUBS = {"hf": "huggingface", "huggingface": "huggingface", "ms": "modelscope", "modelscope": "modelscope"}
# Where `adopt --as` files what nothing tells the origin of. Nothing can be pulled from there.
LOCAL = "local"
HOSTS = {
    "huggingface.co": "huggingface",
    "www.huggingface.co": "huggingface",
    "hf.co": "huggingface",
    "hf-mirror.com": "huggingface",
    "modelscope.cn": "modelscope",
    "www.modelscope.cn": "modelscope",
    "modelscope.ai": "modelscope",
    "www.modelscope.ai": "modelscope",
}
DEFAULT_REVISIONS = frozenset({"main", "master"})

_COMPONENT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/+-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_QUANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HUB_PREFIX = re.compile(r"([A-Za-z][A-Za-z0-9]*):(?://)?(?=[^/])")
# After owner and name, these stand before a revision.
_PAGE_WORDS = frozenset({"tree", "blob", "resolve", "raw", "blame", "edit", "commit", "commits"})
_OTHER_PAGES = frozenset(
    {"datasets", "spaces", "studios", "collections", "papers", "docs", "blog", "learn", "organizations", "organization"}
)
_HINT = "modelfetch pull Qwen/Qwen3-0.6B"


@dataclass(frozen=True)
class Reference:
    """One model at one revision; `revision` is None for the hub's default branch, `hub` None for any hub."""

    owner: str
    name: str
    hub: str | None = None
    revision: str | None = None
    quant: str | None = None

    @classmethod
    def of(cls, repo: str, hub: str | None, revision: str | None) -> Reference:
        """The reference to `repo`, which is `owner/name`."""
        owner, _, name = repo.partition("/")
        return cls(owner, name, hub, revision)

    @property
    def repo(self) -> str:
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        hub = f"{self.hub}:" if self.hub else ""
        revision = f"@{self.revision}" if self.revision else ""
        quant = f":{self.quant}" if self.quant else ""
        return f"{hub}{self.repo}{revision}{quant}"

    def at(self, revision: str | None) -> Reference:
        """This reference at `revision`, where None keeps the one it has.

        Raises:
            UsageError: the reference already names another revision, or `revision` cannot be one.
        """
        if revision is None:
            return self
        wanted = _check_revision(revision, str(self))
        if self.revision is not None and self.revision != wanted:
            raise UsageError(
                f"`{self}` already names a revision",
                facts={"in the reference": self.revision, "in --revision": revision},
                hint="say the revision once",
            )
        return replace(self, revision=wanted)


def parse(text: str) -> Reference:
    """Read a reference as a user types or pastes it.

    Raises:
        UsageError: `text` is not a reference; the error says which part is wrong.
    """
    cleaned = text.strip()
    if re.match(r"https?://", cleaned, re.IGNORECASE):
        return _parse_page(cleaned, text)
    if cleaned.partition("/")[0].lower() in HOSTS:
        return _parse_page(f"https://{cleaned}", text)
    hub = None
    if prefix := _HUB_PREFIX.match(cleaned):
        hub = {**HUBS, LOCAL: LOCAL}.get(prefix.group(1).lower())
        if hub is None:
            raise _malformed(text, f"`{prefix.group(1)}` is no hub; expected one of {', '.join(sorted(HUBS))}")
        cleaned = cleaned[prefix.end() :]
    rest, quant = _split_quant(cleaned)
    repo, at, revision = rest.partition("@")
    if at and not revision:
        raise _malformed(text, "nothing follows the `@`")
    owner, name = _split_repo(repo, text)
    return Reference(owner, name, hub, _check_revision(revision if at else None, text), _check_quant(quant, text))


def is_commit(revision: str | None) -> bool:
    """Whether `revision` is a full commit, which never changes its content."""
    return revision is not None and bool(_COMMIT.fullmatch(revision))


def _split_quant(text: str) -> tuple[str, str | None]:
    head, colon, tail = text.rpartition(":")
    return (head, tail) if colon else (text, None)


def _split_repo(repo: str, text: str) -> tuple[str, str]:
    components = repo.rstrip("/").split("/")
    if len(components) != 2:
        raise _malformed(text, f"`{repo}` is not of the form owner/name")
    for component in components:
        if not _COMPONENT.fullmatch(component) or ".." in component or "--" in component:
            raise _malformed(text, f"`{component}` cannot be part of a repository's name")
    return components[0], components[1]


def _check_revision(revision: str | None, text: str) -> str | None:
    if revision is None or revision in DEFAULT_REVISIONS:
        return None
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision or revision.endswith("/"):
        raise _malformed(text, f"`{revision}` cannot be a revision")
    return revision


def _check_quant(quant: str | None, text: str) -> str | None:
    if quant == "":
        raise _malformed(text, "nothing follows the `:`")
    if quant is not None and not _QUANT.fullmatch(quant):
        raise _malformed(text, f"`{quant}` cannot be a quantisation such as Q4_K_M")
    return quant


def _parse_page(address: str, text: str) -> Reference:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise _malformed(text, f"no address: {error}") from error
    host = parts.hostname or ""
    if host not in HOSTS:
        raise _malformed(text, f"`{host}` is no hub's host; for a mirror, write owner/name and --endpoint https://HOST")
    components = [unquote(component) for component in parts.path.split("/") if component]
    if components and components[0] == "models":
        components = components[1:]
    elif components and components[0] in _OTHER_PAGES:
        raise _malformed(text, f"a page under `{components[0]}` is not a model's")
    if len(components) < 2:
        raise _malformed(text, "the address names no model")
    repo, quant = _split_quant("/".join(components[:2]))
    owner, name = _split_repo(repo.removesuffix(".git"), text)
    revision = _page_revision(parts, components[2:])
    return Reference(owner, name, HOSTS[host], _check_revision(revision, text), _check_quant(quant, text))


def _page_revision(parts: SplitResult, rest: list[str]) -> str | None:
    """The revision in an address, of which `rest` follows the model's name."""
    match rest:
        case ["file", "view", revision, *_]:
            return revision
        case ["files"]:
            return parse_qs(parts.query).get("version", [None])[0]
        case [word, "refs", kind, number, *_] if word in _PAGE_WORDS:
            return f"refs/{kind}/{number}"
        case [word, revision, *_] if word in _PAGE_WORDS:
            return revision
    return None


def _malformed(text: str, why: str) -> UsageError:
    return UsageError(
        f"`{redact(text.strip())}` is not a model reference",
        facts={"why": redact(why), "expected": "[hub:]owner/name[@revision][:QUANT], or the address of a model's page"},
        hint=_HINT,
    )
