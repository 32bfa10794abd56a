"""The pinned list of a model's files: path, size, digests. The one place where names and sizes from a hub are judged.

Decides only. What is refused here is refused by name, before any request for data and before any path is made of it.

- A path is relative, its separator is `/`, and it is safe on Linux, macOS and Windows alike.
- What a path shows is what it is: no control characters, nothing invisible, nothing that turns the writing around.
- No two paths fall together on a case-insensitive file system, and none is another's folder.
- A file may be listed without a digest. Its `Digests` are then false, and whoever publishes must refuse it.
- A manifest's identity is its content: `content_digest` is equal when paths, sizes and digests are.
"""

from __future__ import annotations

import hashlib
import json
import re
import reprlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelfetch.errors import HostileHubError, StoreError

MANIFEST_VERSION = 1
MAX_PATH_BYTES = 1024
# The longest name that ext4, xfs, apfs and ntfs all take; some room is left for the suffix of a temporary name.
MAX_NAME_BYTES = 240
# No published model is nested more than a few folders deep; a listing of endless ones would be slow to judge.
MAX_DEPTH = 32
# No published file comes near 4 TiB, and sums of sizes stay far from 64 bits.
MAX_FILE_BYTES = 4 << 40
MAX_FILES = 100_000

_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIT_SHA1 = re.compile(r"[0-9a-f]{40}")
_FORBIDDEN = frozenset('<>:"|?*\\')
# Control, formatting (zero width, turning the direction of the writing), and separators of lines and paragraphs.
_UNSEEN = frozenset({"Cc", "Cf", "Zl", "Zp"})
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$) *(\..*)?")
# Folders that a view, a plain folder or git keep their own state in.
_OURS = frozenset({".git", ".modelfetch"})
# A listing may hold anything, in megabytes; of a name that could exist, all is shown.
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = 2 * MAX_PATH_BYTES


@dataclass(frozen=True)
class Digests:
    """What a hub, or our own hashing, says of some bytes. `git_sha1` is the id of a git blob: sha1 over a header and
    the bytes.
    """

    sha256: str | None = None
    git_sha1: str | None = None

    def __bool__(self) -> bool:
        return self.sha256 is not None or self.git_sha1 is not None

    def agree(self, other: Digests) -> bool | None:
        """True or False where both name the same kind of digest, None where nothing can be compared."""
        if self.sha256 and other.sha256:
            return self.sha256 == other.sha256
        if self.git_sha1 and other.git_sha1:
            return self.git_sha1 == other.git_sha1
        return None

    @property
    def strongest(self) -> str:
        """The digest that names a partial: sha256 (64 digits), or git-sha1 (40) where a hub gives only that."""
        digest = self.sha256 or self.git_sha1
        if digest is None:
            raise ValueError("no digest")
        return digest


@dataclass(frozen=True)
class Entry:
    """One file of a manifest. `lfs` is true where the hub keeps it as a large file (its ETag is then the sha256)."""

    path: str
    size: int
    digests: Digests = field(default_factory=Digests)
    lfs: bool = False

    @property
    def shown_as_large(self) -> bool:
        """Whether other tools know the file by its sha256: a large one, and one whose git-sha1 nobody computed."""
        return self.lfs or self.digests.git_sha1 is None


@dataclass(frozen=True)
class Facts:
    """What a listing tells about a model besides its files; None where it does not say."""

    licence: str | None = None
    gated: bool | None = None
    remote_code: bool | None = None


@dataclass(frozen=True)
class Manifest:
    """A model at one commit. `commit` is 40 hex digits: git's on Hugging Face, the start of `content_digest` on
    ModelScope.
    """

    hub: str
    repo: str
    revision: str | None
    commit: str
    entries: tuple[Entry, ...]
    facts: Facts = field(default_factory=Facts)

    @property
    def size(self) -> int:
        return sum(entry.size for entry in self.entries)

    def entry(self, path: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.path == path), None)

    def to_json(self) -> dict[str, Any]:
        """The form written to `manifest.json` (docs/store.md)."""
        return {
            "version": MANIFEST_VERSION,
            "hub": self.hub,
            "repo": self.repo,
            "revision": self.revision,
            "commit": self.commit,
            "files": [
                {
                    "path": entry.path,
                    "size": entry.size,
                    "sha256": entry.digests.sha256,
                    "git_sha1": entry.digests.git_sha1,
                    "lfs": entry.lfs,
                }
                for entry in self.entries
            ],
            "facts": {
                "licence": self.facts.licence,
                "gated": self.facts.gated,
                "remote_code": self.facts.remote_code,
            },
        }


def from_json(document: Mapping[str, Any], *, where: str) -> Manifest:
    """Read what `Manifest.to_json` wrote; `where` names the file in errors.

    Raises:
        StoreError: another version, or a document that is not a manifest.
    """
    version = document.get("version")
    if version != MANIFEST_VERSION:
        raise StoreError(
            f"`{where}` is a manifest of another version",
            facts={"expected": MANIFEST_VERSION, "got": version},
            hint="use the modelfetch that wrote it, or pull the model again",
        )
    try:
        entries = tuple(_entry(item) for item in document["files"])
        facts = Facts(**document["facts"])
        manifest = Manifest(document["hub"], document["repo"], document["revision"], document["commit"], entries, facts)
        _check_names(manifest)
        check_entries(manifest.entries, where=where)
    except (KeyError, TypeError, ValueError, HostileHubError) as error:
        raise StoreError(
            f"`{where}` is not a manifest", facts={"got": repr(error)}, hint="pull the model again"
        ) from error
    return manifest


def _entry(item: Mapping[str, Any]) -> Entry:
    digests = Digests(item["sha256"], item["git_sha1"])
    for kind, text in (("sha256", digests.sha256), ("git_sha1", digests.git_sha1)):
        if text is not None and check_digest(text, kind=kind) != text:
            raise ValueError(f"{text!r} is no {kind}")
    return Entry(item["path"], item["size"], digests, item["lfs"])


def _check_names(manifest: Manifest) -> None:
    """The hub, the repository and the commit are names of folders as well."""
    for name, slashes in ((manifest.hub, 0), (manifest.repo, 1)):
        if path_problem(name) or name.count("/") != slashes:
            raise ValueError(f"{name!r} is no name")
    if check_digest(manifest.commit, kind="git_sha1") != manifest.commit:
        raise ValueError(f"{manifest.commit!r} is no commit")


def content_digest(entries: Iterable[Entry]) -> str:
    """sha256 over the canonical list of (path, size, sha256 or git-sha1): the identity of a model where the hub has
    no commit.
    """
    rows = sorted((entry.path, entry.size, entry.digests.sha256 or entry.digests.git_sha1 or "") for entry in entries)
    return hashlib.sha256(json.dumps(rows, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()


def check_digest(text: object, *, kind: str) -> str | None:
    """`text` when it is a well-formed digest of `kind` (`sha256` or `git_sha1`), None when there is none or it is
    malformed.
    """
    pattern = _SHA256 if kind == "sha256" else _GIT_SHA1
    return text.lower() if isinstance(text, str) and pattern.fullmatch(text.lower()) else None


def check_entries(entries: Iterable[Entry], *, where: str) -> None:
    """Judge a listing as a whole; `where` is the endpoint's name for the error.

    Raises:
        HostileHubError: a name that could leave the folder or cannot exist everywhere, a size out of bounds, two
            names that fall together, too many files.
    """
    seen: dict[str, str] = {}
    for count, entry in enumerate(entries, start=1):
        if count > MAX_FILES:
            raise _hostile(where, "its listing", f"more than {MAX_FILES} files")
        if reason := path_problem(entry.path):
            raise _hostile(where, _SHOWN.repr(entry.path), reason)
        if isinstance(entry.size, bool) or not isinstance(entry.size, int) or not 0 <= entry.size <= MAX_FILE_BYTES:
            raise _hostile(where, _SHOWN.repr(entry.path), f"impossible size {_SHOWN.repr(entry.size)}")
        folded = _fold(entry.path)
        if folded in seen:
            raise _hostile(
                where, _SHOWN.repr(entry.path), f"falls together with {seen[folded]!r} where case does not count"
            )
        seen[folded] = entry.path
    for folded, path in seen.items():
        parent = folded.rpartition("/")[0]
        while parent:
            if parent in seen:
                raise _hostile(where, _SHOWN.repr(seen[parent]), f"is a file and the folder of {path!r}")
            parent = parent.rpartition("/")[0]


def path_problem(path: object) -> str | None:
    """Why `path` may not become a file's name, or None when it may."""
    if not isinstance(path, str) or not path:
        return "not a name"
    try:
        encoded = path.encode("utf-8")
    except UnicodeEncodeError:
        return "not valid Unicode"
    if len(encoded) > MAX_PATH_BYTES:
        return f"longer than {MAX_PATH_BYTES} bytes"
    if bad := next((each for each in path if each in _FORBIDDEN or unicodedata.category(each) in _UNSEEN), None):
        return f"holds the character {bad!r}"
    if path.count("/") > MAX_DEPTH:
        return f"deeper than {MAX_DEPTH} folders"
    return next((problem for component in path.split("/") if (problem := _component_problem(component))), None)


def _component_problem(component: str) -> str | None:
    if component in {"", ".", ".."}:
        return "absolute, empty or climbing out of its folder"
    if len(component.encode("utf-8")) > MAX_NAME_BYTES:
        return f"has a part longer than {MAX_NAME_BYTES} bytes"
    if component[-1] in ". ":
        return "has a part that ends in a dot or a space"
    if _RESERVED.fullmatch(component) or component.casefold() in _OURS:
        return f"uses the reserved name {component!r}"
    return None


def _fold(path: str) -> str:
    # Unicode's canonical caseless matching: folding can undo a normalisation.
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())


def _hostile(where: str, what: str, reason: str) -> HostileHubError:
    return HostileHubError(
        f"`{where}` lists a file that is refused",
        facts={"file": what, "why": reason},
        hint="nothing was fetched; pull from another endpoint with --endpoint, or report this to the hub",
    )
