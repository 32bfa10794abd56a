"""How a user names a model: `[hub:]owner/name[@revision][:QUANT]`, its URL forms, and a pasted page address.

Decides only; asks no network and no disk.

- `main` and `master` are the same revision, the default one: a `Reference` holds `None` for it.
- A pasted address names the hub its host belongs to; a host that is unknown is an error, never a guess.
- An owner and a name are one path component each: they become folder names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from modelfetch.errors import UsageError

HUBS = {"hf": "huggingface", "huggingface": "huggingface", "ms": "modelscope", "modelscope": "modelscope"}
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
_HUB_PREFIX = re.compile(r"([a-z][a-z0-9]*):(?://)?(?=[^/])")
_PAGE_WORDS = frozenset({"tree", "blob", "resolve", "files", "file", "summary"})
_HINT = "modelfetch pull Qwen/Qwen3-0.6B"


@dataclass(frozen=True)
class Reference:
    """One model at one revision; `revision` is None for the hub's default branch, `hub` None for any hub."""

    owner: str
    name: str
    hub: str | None = None
    revision: str | None = None
    quant: str | None = None

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
        return _parse_page(cleaned)
    hub = None
    if prefix := _HUB_PREFIX.match(cleaned):
        hub = HUBS.get(prefix.group(1))
        if hub is None:
            raise _malformed(text, f"`{prefix.group(1)}` is no hub; expected one of {', '.join(sorted(HUBS))}")
        cleaned = cleaned[prefix.end() :]
    rest, quant = _split_quant(cleaned)
    repo, at, revision = rest.partition("@")
    if at and not revision:
        raise _malformed(text, "nothing follows the `@`")
    owner, name = _split_repo(repo, text)
    return Reference(owner, name, hub, _check_revision(revision, text) if at else None, _check_quant(quant, text))


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


def _check_revision(revision: str, text: str) -> str | None:
    if not _REVISION.fullmatch(revision) or ".." in revision or "//" in revision or revision.endswith("/"):
        raise _malformed(text, f"`{revision}` cannot be a revision")
    return None if revision in DEFAULT_REVISIONS else revision


def _check_quant(quant: str | None, text: str) -> str | None:
    if quant is not None and not _QUANT.fullmatch(quant):
        raise _malformed(text, f"`{quant}` cannot be a quantisation such as Q4_K_M")
    return quant


def _parse_page(text: str) -> Reference:
    parts = urlsplit(text)
    hub = HOSTS.get((parts.hostname or "").lower())
    if hub is None:
        raise _malformed(
            text, f"`{parts.hostname}` is no hub's host; for a mirror, write owner/name and --endpoint https://HOST"
        )
    components = [unquote(component) for component in parts.path.split("/") if component]
    if components and components[0] == "models":
        components = components[1:]
    if len(components) < 2:
        raise _malformed(text, "the address names no model")
    owner, name = _split_repo("/".join(components[:2]), text)
    revision = None
    if len(components) > 3 and components[2] in _PAGE_WORDS:
        revision = _check_revision(components[3], text)
    return Reference(owner, name, hub, revision)


def _malformed(text: str, why: str) -> UsageError:
    return UsageError(
        f"`{text.strip()}` is not a model reference",
        facts={"why": why, "expected": "[hub:]owner/name[@revision][:QUANT], or the address of a model's page"},
        hint=_HINT,
    )
