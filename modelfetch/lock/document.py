"""A lock file's text: JSON, one file of a model on a line.

JSON, because the standard library reads and writes it: no second grammar is written here by hand, and jq, a review
and any other language can read it. One file a line, so that a changed file is one changed line of a diff.

Decides only: from text to values and back. What it is given may be anybody's.

- `render` is the same text for the same values: models by name and revision, files by path, keys as below.
- A name, a size, a digest or a count is judged as a listing's is, by `manifest`'s own checks, before anything is made
  of it; so is a key that is unknown, missing or said twice, and a number that is no whole one.
- A file that is to come has its sha256. One that was left may have no digest at all.
- What is wrong is a ConfigError with the file, the line or the key, what was expected and what is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelfetch.errors import ConfigError, HostileHubError, UsageError
from modelfetch.lock.values import Lock, LockedModel
from modelfetch.manifest import Digests, Entry, Facts, Manifest, check_digest, check_entries, path_problem
from modelfetch.redact import redact
from modelfetch.reference import DEFAULT_REVISIONS
from modelfetch.reference import parse as parse_reference

VERSION = 1
_VERSION_KEY = "modelfetch_lock"
_TOP_KEYS = (_VERSION_KEY, "models")
_MODEL_KEYS = ("repo", "hub", "revision", "commit", "licence", "gated", "files", "left")
_LEFT_KEYS = ("path", "size", "sha256", "git_sha1", "lfs")
_FILE_KEYS = (*_LEFT_KEYS, "seen")
# Far more models than anybody pulls by one file, each of which may list as many files as a hub.
_MOST_MODELS = 10_000
_MOST_PLACES = 1_000
# host[:port], in any script: no path, no user, nothing that could hold a secret.
_HOST = re.compile(r"[^\s/\\@?#]{1,255}")
_SHOWN = 100


def render(lock: Lock) -> str:
    """The text of `lock`."""
    models = ",".join(f"\n    {_model_text(model)}" for model in lock.models)
    end = "\n  ]" if models else "]"
    return f'{{\n  "{_VERSION_KEY}": {VERSION},\n  "models": [{models}{end}\n}}\n'


def parse(text: str, *, where: str) -> Lock:
    """The values of a lock file's text; `where` is the file's name, for messages.

    Raises:
        ConfigError: it is damaged, of another version, or no lock file.
    """
    return _Reader(where).lock(text)


def _model_text(model: LockedModel) -> str:
    manifest = model.manifest
    head = {
        "repo": manifest.repo,
        "hub": manifest.hub,
        "revision": manifest.revision,
        "commit": manifest.commit,
        "licence": manifest.facts.licence,
        "gated": manifest.facts.gated,
    }
    files = [_file(entry) | {"seen": list(model.seen.get(entry.path, ()))} for entry in _by_path(model.entries)]
    left = [_file(entry) for entry in _by_path(model.left)]
    lines = [f'      "{key}": {_compact(value)}' for key, value in head.items()]
    lines += [f'      "{key}": {_list_text(items)}' for key, items in (("files", files), ("left", left))]
    return "{\n" + ",\n".join(lines) + "\n    }"


def _list_text(items: Iterable[Mapping[str, Any]]) -> str:
    lines = ",".join(f"\n        {_compact(item)}" for item in items)
    return f"[{lines}\n      ]" if lines else "[]"


def _file(entry: Entry) -> dict[str, Any]:
    digests = entry.digests
    values = (entry.path, entry.size, digests.sha256, digests.git_sha1, entry.lfs)
    return dict(zip(_LEFT_KEYS, values, strict=True))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _by_path(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.path)


class _Reader:
    """Reads one text; every error names its file."""

    def __init__(self, where: str) -> None:
        self._where = where

    def lock(self, text: str) -> Lock:
        document = self._document(text)
        if not isinstance(document, dict) or _VERSION_KEY not in document:
            raise self._wrong(_VERSION_KEY, VERSION, "nothing", what="is no lock file of modelfetch")
        if document[_VERSION_KEY] != VERSION or type(document[_VERSION_KEY]) is not int:
            what = "is a lock file of another version"
            raise self._wrong(_VERSION_KEY, VERSION, document[_VERSION_KEY], what=what)
        top = self._object(document, "", _TOP_KEYS)
        items = self._list(top["models"], "models", _MOST_MODELS)
        models: dict[tuple[str, str], LockedModel] = {}
        for number, item in enumerate(items):
            model = self._model(item, f"models[{number}]")
            if models.setdefault(model.name, model) is not model:
                raise self._wrong(f"models[{number}]", "each model once", f"{model.reference} again")
        return Lock(tuple(models[name] for name in sorted(models)))

    def _document(self, text: str) -> Any:
        try:
            return json.loads(text, object_pairs_hook=_without_repeats, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            raise self._wrong(f"line {error.lineno}, column {error.colno}", "JSON", error.msg) from error
        except (ValueError, RecursionError) as error:
            raise self._wrong("somewhere", "JSON as `pull --lock` writes it", error) from error

    def _model(self, item: Any, at: str) -> LockedModel:
        model = self._object(item, at, _MODEL_KEYS)
        files = self._items(model["files"], f"{at}.files", _FILE_KEYS)
        left = self._items(model["left"], f"{at}.left", _LEFT_KEYS)
        if not files:
            raise self._wrong(f"{at}.files", "at least one file", "none")
        come = [self._must_have_sha256(self._entry(each, here), here) for each, here in files]
        stay = [self._entry(each, here) for each, here in left]
        self._judge((*come, *stay), at)
        manifest = self._manifest(model, at, tuple(_by_path((*come, *stay))))
        seen = {each["path"]: self._seen(each["seen"], f"{here}.seen") for each, here in files}
        return LockedModel(manifest, frozenset(entry.path for entry in come), seen)

    def _manifest(self, model: Mapping[str, Any], at: str, entries: tuple[Entry, ...]) -> Manifest:
        repo, hub, revision, commit, licence, gated = (model[key] for key in _MODEL_KEYS[:6])
        self._check_repo(repo, f"{at}.repo")
        if path_problem(hub) or "/" in hub:
            raise self._wrong(f"{at}.hub", "a hub's name", hub)
        if revision is not None:
            self._check_revision(repo, revision, f"{at}.revision")
        if check_digest(commit, kind="git_sha1") != commit:
            raise self._wrong(f"{at}.commit", "40 hex digits in lower case", commit)
        if licence is not None and not is_one_line(licence):
            raise self._wrong(f"{at}.licence", "a text of one line, or null", licence)
        if gated is not None and not isinstance(gated, bool):
            raise self._wrong(f"{at}.gated", "true, false or null", gated)
        return Manifest(hub, repo, revision, commit, entries, Facts(licence=licence, gated=gated))

    def _entry(self, item: Mapping[str, Any], at: str) -> Entry:
        for kind, digits in (("sha256", 64), ("git_sha1", 40)):
            if item[kind] is not None and check_digest(item[kind], kind=kind) != item[kind]:
                raise self._wrong(f"{at}.{kind}", f"{digits} hex digits in lower case, or null", item[kind])
        if not isinstance(item["lfs"], bool):
            raise self._wrong(f"{at}.lfs", "true or false", item["lfs"])
        return Entry(item["path"], item["size"], Digests(item["sha256"], item["git_sha1"]), item["lfs"])

    def _must_have_sha256(self, entry: Entry, at: str) -> Entry:
        if entry.digests.sha256 is None:
            raise self._wrong(f"{at}.sha256", "64 hex digits: without them nothing is locked", None)
        return entry

    def _judge(self, entries: tuple[Entry, ...], at: str) -> None:
        try:
            check_entries(entries, where=self._where)
        except HostileHubError as error:
            got = f"{error.facts['file']}: {error.facts['why']}"
            raise self._wrong(f"{at}.files", "names and sizes that a listing may have", got) from error

    def _check_repo(self, repo: Any, at: str) -> None:
        try:
            if isinstance(repo, str) and parse_reference(repo).repo == repo:
                return
        except UsageError:
            pass
        raise self._wrong(at, "owner/name", repo)

    def _check_revision(self, repo: str, revision: Any, at: str) -> None:
        try:
            if revision not in DEFAULT_REVISIONS and parse_reference(f"{repo}@{revision}").revision == revision:
                return
        except (UsageError, TypeError):
            pass
        raise self._wrong(at, "a branch, a tag or a commit, or null for the default branch", revision)

    def _seen(self, value: Any, at: str) -> tuple[str, ...]:
        hosts = self._list(value, at, _MOST_PLACES)
        for host in hosts:
            if not is_one_line(host) or not _HOST.fullmatch(host):
                raise self._wrong(at, "hosts such as huggingface.co or 192.168.1.7:8090", host)
        return tuple(sorted(set(hosts)))

    def _items(self, value: Any, at: str, keys: tuple[str, ...]) -> list[tuple[Mapping[str, Any], str]]:
        """Each object of a list, with its place."""
        places = ((each, f"{at}[{number}]") for number, each in enumerate(self._list(value, at)))
        return [(self._object(each, here, keys), here) for each, here in places]

    def _object(self, value: Any, at: str, keys: tuple[str, ...]) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(at, f"an object with {', '.join(keys)}", value)
        dot = f"{at}." if at else ""
        for key in keys:
            if key not in value:
                raise self._wrong(f"{dot}{key}", "a value", "nothing")
        if unknown := [key for key in value if key not in keys]:
            raise self._wrong(f"{dot}{unknown[0]}", f"only {', '.join(keys)}", "another key")
        return value

    def _list(self, value: Any, at: str, most: int | None = None) -> list[Any]:
        if not isinstance(value, list):
            raise self._wrong(at, "a list", value)
        if most is not None and len(value) > most:
            raise self._wrong(at, f"at most {most}", f"{len(value)}")
        return value

    def _wrong(self, key: str, expected: object, got: object, *, what: str = "is damaged") -> ConfigError:
        return ConfigError(
            f"`{self._where}` {what}",
            facts={"at": _shown(key), "expected": expected, "got": _shown(str(got)) or "nothing"},
            hint="take the last good one from version control, or make it anew: modelfetch pull OWNER/NAME --lock FILE",
        )


def is_one_line(text: object) -> bool:
    """Whether `text` may stand in a lock file as a text: printable, and on one line."""
    return isinstance(text, str) and text.isprintable()


def _shown(text: str) -> str:
    """What somebody wrote, as it may be shown: no token, no control character, and not at any length."""
    shown = ascii(redact(text[: 2 * _SHOWN]))[1:-1]
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key!r} twice in one object")
        values[key] = value
    return values


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name}, which is no JSON")
