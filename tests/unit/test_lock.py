"""The lock file: what was written is read, what was not written by us is refused by its key."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import ConfigError, NotFoundError, UsageError
from modelfetch.lock import Lock, LockedModel, parse, read, render
from modelfetch.lock import file as lock_file
from modelfetch.manifest import Digests, Entry, Facts, Manifest, path_problem
from modelfetch.reference import parse as parse_reference

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA256 = "ab" * 32
GIT_SHA1 = "cd" * 20
ENTRIES = (
    Entry("config.json", 7, Digests(SHA256, GIT_SHA1)),
    Entry("left.bin", 9, Digests(), lfs=True),
    Entry("model.safetensors", 1 << 40, Digests("ef" * 32), lfs=True),
)


def model(
    repo: str = "own/name", *, revision: str | None = None, entries: tuple[Entry, ...] = ENTRIES, **changes: Any
) -> LockedModel:
    manifest = Manifest("huggingface", repo, revision, COMMIT, entries, Facts("mit", gated=False))
    paths = frozenset(entry.path for entry in entries if entry.digests.sha256)
    seen = dict.fromkeys(paths, ("huggingface.co",))
    return replace(LockedModel(manifest, paths, seen), **changes)


TEXT = render(Lock((model(), model("own/other", revision="v1"))))


WRITTEN = """\
{
  "modelfetch_lock": 1,
  "models": [
    {
      "repo": "own/name",
      "hub": "huggingface",
      "revision": null,
      "commit": "0123456789abcdef0123456789abcdef01234567",
      "licence": "mit",
      "gated": false,
      "files": [
        {"path": "config.json", "size": 7, "sha256": "SHA", "git_sha1": "GIT", "lfs": false, "seen": ["huggingface.co"]}
      ],
      "left": [
        {"path": "left.bin", "size": 9, "sha256": null, "git_sha1": null, "lfs": true}
      ]
    }
  ]
}
"""


def test_it_is_read_as_it_is_written() -> None:
    lock = Lock((model(entries=ENTRIES[:2]),))
    text = WRITTEN.replace("SHA", SHA256).replace("GIT", GIT_SHA1)
    assert render(lock) == text
    assert parse(text, where="models.lock") == lock
    assert parse(TEXT, where="models.lock") == Lock((model(), model("own/other", revision="v1")))


_PATH = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}\.[a-zü]{1,4})?", fullmatch=True).filter(
    lambda path: not path_problem(path)
)
_PATHS = st.lists(_PATH, max_size=6, unique=True)


@given(paths=_PATHS, names=st.sets(st.from_regex(r"[a-z]{1,3}/[a-z]{1,3}", fullmatch=True), max_size=4))
def test_what_is_written_is_read_in_any_order_and_written_the_same(paths: list[str], names: set[str]) -> None:
    files = [path for path in paths if not any(other.startswith(f"{path}/") for other in paths)] or ["a"]
    entries = tuple(Entry(path, number, Digests(SHA256, None)) for number, path in enumerate(files))
    lock = Lock()
    for name in names:
        lock = lock.with_model(model(name, entries=entries))
    text = render(lock)
    assert render(parse(text, where="x")) == text
    again = Lock()
    for name in sorted(names, reverse=True):
        again = again.with_model(model(name, entries=entries[::-1]))
    assert render(again) == text


def test_a_lock_of_nothing_is_written_and_read() -> None:
    assert parse(render(Lock()), where="x") == Lock()


def edited(change: Callable[[Any], object]) -> str:
    document = json.loads(TEXT)
    change(document)
    return json.dumps(document)


def first(document: Any) -> Any:
    return document["models"][0]


def first_file(document: Any) -> Any:
    return document["models"][0]["files"][0]


@pytest.mark.parametrize(
    ("change", "at"),
    [
        (lambda d: d.update(modelfetch_lock=2), "modelfetch_lock"),
        (lambda d: d.update(modelfetch_lock=True), "modelfetch_lock"),
        (lambda d: d.update(modelfetch_lock=1.0), "modelfetch_lock"),
        (lambda d: d.pop("modelfetch_lock"), "modelfetch_lock"),
        (lambda d: d.pop("models"), "models"),
        (lambda d: d.update(models={}), "models"),
        (lambda d: d.update(other=1), "other"),
        (lambda d: d["models"].append(None), "models[2]"),
        (lambda d: d["models"].append(first(d)), "models[2]"),
        (lambda d: first(d).pop("commit"), "models[0].commit"),
        (lambda d: first(d).update(comit=COMMIT), "models[0].comit"),
        (lambda d: first(d).update(commit="main"), "models[0].commit"),
        (lambda d: first(d).update(commit=COMMIT.upper()), "models[0].commit"),
        (lambda d: first(d).update(repo="name"), "models[0].repo"),
        (lambda d: first(d).update(repo="own/.."), "models[0].repo"),
        (lambda d: first(d).update(repo="https://huggingface.co/own/name"), "models[0].repo"),
        (lambda d: first(d).update(repo=None), "models[0].repo"),
        (lambda d: first(d).update(hub="../hub"), "models[0].hub"),
        (lambda d: first(d).update(hub="a/b"), "models[0].hub"),
        (lambda d: first(d).update(hub=1), "models[0].hub"),
        (lambda d: first(d).update(revision="../x"), "models[0].revision"),
        (lambda d: first(d).update(revision="main"), "models[0].revision"),
        (lambda d: first(d).update(revision=""), "models[0].revision"),
        (lambda d: first(d).update(licence="a\nb"), "models[0].licence"),
        (lambda d: first(d).update(licence=["mit"]), "models[0].licence"),
        (lambda d: first(d).update(revision=["v1"]), "models[0].revision"),
        (lambda d: first_file(d).update(seen=[7]), "models[0].files[0].seen"),
        (lambda d: first_file(d).update(seen=["host/path"]), "models[0].files[0].seen"),
        (lambda d: first(d).update(gated=1), "models[0].gated"),
        (lambda d: first(d).update(files=[]), "models[0].files"),
        (lambda d: first(d).update(files={}), "models[0].files"),
        (lambda d: first(d).update(left=None), "models[0].left"),
        (lambda d: first(d)["left"][0].update(seen=[]), "models[0].left[0].seen"),
        (lambda d: first(d)["left"].append(first_file(d) | {}), "models[0].left[1].seen"),
        (lambda d: first_file(d).pop("size"), "models[0].files[0].size"),
        (lambda d: first_file(d).update(size=-1), "models[0].files"),
        (lambda d: first_file(d).update(size=7.0), "models[0].files"),
        (lambda d: first_file(d).update(size=True), "models[0].files"),
        (lambda d: first_file(d).update(size=1 << 60), "models[0].files"),
        (lambda d: first_file(d).update(path="../config.json"), "models[0].files"),
        (lambda d: first_file(d).update(path="/etc/passwd"), "models[0].files"),
        (lambda d: first_file(d).update(path=None), "models[0].files"),
        (lambda d: first_file(d).update(path=["a"]), "models[0].files"),
        (lambda d: first_file(d).update(path="Model.safetensors"), "models[0].files"),
        (lambda d: first_file(d).update(path="left.bin"), "models[0].files"),
        (lambda d: first_file(d).update(path="left.bin/below"), "models[0].files"),
        (lambda d: first_file(d).update(sha256=None), "models[0].files[0].sha256"),
        (lambda d: first_file(d).update(sha256=SHA256[1:]), "models[0].files[0].sha256"),
        (lambda d: first_file(d).update(sha256=SHA256.upper()), "models[0].files[0].sha256"),
        (lambda d: first_file(d).update(git_sha1=7), "models[0].files[0].git_sha1"),
        (lambda d: first_file(d).update(lfs=None), "models[0].files[0].lfs"),
        (lambda d: first_file(d).update(seen="huggingface.co"), "models[0].files[0].seen"),
        (lambda d: first_file(d).update(seen=["https://a:b@c"]), "models[0].files[0].seen"),
        (lambda d: first_file(d).update(seen=["h"] * 1001), "models[0].files[0].seen"),
    ],
)
def test_what_is_damaged_is_named_by_its_key_with_what_was_expected(change: Callable[[Any], object], at: str) -> None:
    with pytest.raises(ConfigError, match=r"`models\.lock`") as raised:
        parse(edited(change), where="models.lock")
    assert raised.value.facts["at"] == at
    assert raised.value.facts.keys() == {"at", "expected", "got"}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("", "line 1, column 1"),
        (TEXT[:-4], f"line {TEXT.count(chr(10)) - 1}, column 3"),
        ("<<<<<<< HEAD\n" + TEXT, "line 1, column 1"),
        ("[" * 100_000, "somewhere"),
        ('{"modelfetch_lock": 1, "modelfetch_lock": 1, "models": []}', "somewhere"),
        ('{"modelfetch_lock": NaN}', "somewhere"),
        ('{"modelfetch_lock": ' + "9" * 5000 + "}", "somewhere"),
        ("[]", "modelfetch_lock"),
        ('{"version": 1, "package": []}', "modelfetch_lock"),
    ],
)
def test_what_is_no_lock_file_is_named_by_its_line(text: str, at: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text, where="models.lock")
    assert raised.value.facts["at"] == at


def test_a_version_that_is_not_ours_is_said_before_its_keys_are_judged() -> None:
    with pytest.raises(ConfigError, match="another version"):
        parse('{"modelfetch_lock": 2, "entries": []}', where="models.lock")


def test_an_error_shows_no_control_character_and_no_token_of_the_file() -> None:
    for text in ("\x1b[31mred", "hf_abcdefghijklmnop", "\ud800"):
        document = json.loads(TEXT)
        first(document)["commit"] = text
        with pytest.raises(ConfigError) as raised:
            parse(json.dumps(document), where="models.lock")
        assert text not in raised.value.render()
        raised.value.render().encode("utf-8")


def test_a_million_keys_are_judged_at_once() -> None:
    keys = ", ".join(f'"{number}": 0' for number in range(300_000))
    with pytest.raises(ConfigError):
        parse("{" + keys + "}", where="models.lock")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "there is no"), (b"\xff", "damaged"), (b" " * 65, "longer"), ("folder", "be read")]
)
def test_a_file_that_cannot_be_read_is_told(
    content: bytes | str | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "models.lock"
    monkeypatch.setattr(lock_file, "_LONGEST_BYTES", 64)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(ConfigError, match=reason):
        read(path)


def test_a_model_takes_the_place_of_its_older_self_whichever_hub_answered() -> None:
    old = Lock((model(), model("own/other"), model(revision="v1")))
    new = model(entries=ENTRIES[:1])
    new = replace(new, manifest=replace(new.manifest, hub="modelscope", commit="f" * 40))
    lock = old.with_model(new)
    assert [each.name for each in lock.models] == [("own/name", ""), ("own/name", "v1"), ("own/other", "")]
    assert lock.models[0].manifest.commit == "f" * 40
    assert lock.models[0].paths == {"config.json"}


def test_what_was_known_of_the_same_bytes_is_kept() -> None:
    entry = ENTRIES[0]
    without_git = replace(entry, digests=Digests(SHA256))
    newer = model(entries=(without_git,), seen={entry.path: ("modelscope.cn",)})
    (kept,) = Lock((model(entries=(entry,)),)).with_model(newer).models
    assert kept.manifest.entries == (entry,)
    assert kept.seen == {entry.path: ("huggingface.co", "modelscope.cn")}


def test_nothing_is_kept_of_other_bytes() -> None:
    other = Entry("config.json", 7, Digests("00" * 32))
    newer = model(entries=(other,), seen={})
    assert Lock((model(entries=ENTRIES[:1]),)).with_model(newer).models == (newer,)


@pytest.mark.parametrize(
    ("text", "revisions"),
    [
        ("own/name", [None, "v1"]),
        ("hf:own/name@v1", ["v1"]),
        ("own/name@0123456", [None, "v1"]),
        ("own/name@main", [None, "v1"]),
    ],
)
def test_a_reference_means_the_models_of_its_repository(text: str, revisions: list[str | None]) -> None:
    lock = Lock((model(), model(revision="v1"), model("own/other")))
    found = lock.meant_by((parse_reference(text),), where="models.lock")
    assert [each.manifest.revision for each in found] == revisions


def test_no_reference_means_every_model() -> None:
    lock = Lock((model(), model("own/other")))
    assert lock.meant_by((), where="models.lock") == lock.models


@pytest.mark.parametrize("text", ["own/absent", "ms:own/name", "own/name@v2", "own/name@012345", "own/name@0123457"])
def test_a_reference_that_means_nothing_is_told_with_what_there_is(text: str) -> None:
    with pytest.raises(NotFoundError) as raised:
        Lock((model(),)).meant_by((parse_reference("own/name"), parse_reference(text)), where="models.lock")
    assert raised.value.facts == {"there is": "huggingface:own/name"}


def test_a_lock_without_a_model_is_told() -> None:
    with pytest.raises(NotFoundError):
        Lock().meant_by((), where="models.lock")


def test_a_quantisation_does_not_choose_again() -> None:
    with pytest.raises(UsageError):
        Lock((model(),)).meant_by((parse_reference("own/name:Q4_K_M"),), where="models.lock")
