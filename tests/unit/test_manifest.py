"""The list of a model's files: what names and sizes a hub may send, and the form that is kept."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import HostileHubError, StoreError
from modelfetch.manifest import (
    MAX_DEPTH,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_NAME_BYTES,
    MAX_PATH_BYTES,
    Digests,
    Entry,
    Facts,
    Manifest,
    check_digest,
    check_entries,
    content_digest,
    from_json,
    path_problem,
)

SHA256, GIT_SHA1 = "a" * 64, "b" * 40
COMMIT = "0123456789abcdef0123456789abcdef01234567"

GOOD_PATHS = [
    "config.json",
    ".gitattributes",
    ".gitignore",
    "1_Pooling/config.json",
    "onnx/model_q4f16.onnx_data",
    "model-00001-of-00163.safetensors",
    "Llama-3.2-1B.Q4_K_M.gguf",
    "a b (1) [x] {y} #+&'@~!$%^=;,.json",
    "模型说明.md",
    "données/été.txt",
    "emoji-🤗.png",
    "console.txt",
    "aux_loss.pt",
    "com10.txt",
    "nullable.json",
    "a.modelfetch/x",
    ".git_keep",
    "...a",
    "-rf",
    "n" * MAX_NAME_BYTES,
    "/".join(["d"] * MAX_DEPTH + ["file"]),
]

BAD_PATHS = {
    "": "not a name",
    "../x": "climbing",
    "a/../../x": "climbing",
    "a/..": "climbing",
    "..": "climbing",
    ".": "climbing",
    "./a": "climbing",
    "a/./b": "climbing",
    "/etc/passwd": "absolute",
    "//server/share": "absolute",
    "a//b": "empty",
    "a/": "empty",
    "\ud800": "Unicode",
    "con": "reserved",
    "CON.txt": "reserved",
    "a/NUL": "reserved",
    "aux.tar.gz": "reserved",
    "prn .txt": "reserved",
    "Com1.json": "reserved",
    "lpt9": "reserved",
    "COM\u00b9": "reserved",
    "lpt\u00b3.txt": "reserved",
    "CONIN$": "reserved",
    "conout$.txt": "reserved",
    ".git/hooks/post-checkout": "reserved",
    "a/.GIT/config": "reserved",
    ".git": "reserved",
    ".modelfetch/partial-v1": "reserved",
    ".ModelFetch": "reserved",
    "a.": "ends in a dot or a space",
    "a /b": "ends in a dot or a space",
    "a.../b": "ends in a dot or a space",
    ".git ": "ends in a dot or a space",
    "n" * (MAX_NAME_BYTES + 1): "part longer",
    "é" * (MAX_NAME_BYTES // 2 + 1): "part longer",
    "/".join(["n" * 200] * 6): "longer than",
    "/".join(["d"] * (MAX_DEPTH + 1) + ["file"]): "deeper",
}

# Zero-width joiners, marks that turn the writing around, the byte-order mark, separators of lines and paragraphs.
UNSEEN = "\u200b\u200c\u200d\u202e\u2066\ufeff\u2028\u2029\u00ad"


def _nested(depth: int) -> list[Any]:
    """A list in a list in a list …"""
    return functools.reduce(lambda inner, _: [inner], range(depth), [])


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_a_plain_name_is_no_problem(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(("path", "reason"), BAD_PATHS.items(), ids=ascii)
def test_a_hostile_name_is_refused_by_name(path: str, reason: str) -> None:
    with pytest.raises(HostileHubError) as refused:
        check_entries([Entry("config.json", 1), Entry(path, 1)], where="mirror.example")
    error = refused.value
    assert "`mirror.example`" in error.message
    assert error.facts["file"] == repr(path)
    assert reason in str(error.facts["why"])


@pytest.mark.parametrize(
    "strange",
    ["x" * 1_000_000, ["x"] * 100_000, {"x": ["x" * 100_000]}, 10**4000, _nested(800)],
    ids=["text", "list", "mapping", "number", "deep"],
)
def test_what_is_refused_is_shown_in_a_few_lines_however_long_it_is(strange: Any) -> None:
    for entry in (Entry(strange, 1), Entry("config.json", strange)):
        with pytest.raises(HostileHubError) as refused:
            check_entries([entry], where="mirror.example")
        assert len(refused.value.render()) < 3000


@pytest.mark.parametrize(
    "character", [*'<>:"|?*\\', *map(chr, (0, 9, 10, 27, 31, 127, 0x85, 0x9B)), *UNSEEN], ids=ascii
)
def test_a_character_that_no_name_may_hold_is_named(character: str) -> None:
    for path in (f"a{character}b", f"{character}a/b", f"a/b{character}"):
        assert path_problem(path) == f"holds the character {character!r}"


@pytest.mark.parametrize("path", [None, 7, b"config.json", ["a"], {"a": 1}, True])
def test_what_is_no_text_is_no_name(path: Any) -> None:
    assert path_problem(path) == "not a name"
    with pytest.raises(HostileHubError):
        check_entries([Entry(path, 1)], where="mirror")


def test_the_longest_path_is_a_path_and_one_byte_more_is_none() -> None:
    longest = "/".join(["n" * 204] * 5)
    assert len(longest) == MAX_PATH_BYTES
    assert path_problem(longest) is None
    assert path_problem(longest + "n") is not None


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_a_name_that_passes_shows_itself_and_stays_in_its_folder(path: str) -> None:
    if path_problem(path) is None:
        assert path.isprintable() or not any(character < "\xa0" for character in path if not character.isprintable())
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))
        assert "\\" not in path


COLLISIONS = [
    ("config.json", "config.json"),
    ("config.json", "Config.JSON"),
    ("a/b", "A/b"),
    ("straße", "STRASSE"),
    ("\u00e9.txt", "e\u0301.txt"),
    ("\u00c9.txt", "e\u0301.txt"),
    ("\u212aelvin", "kelvin"),
    ("\u03b0", "\u03a5\u0308\u0301"),
    ("k\u03ac\u0345\u0301", "K\u1fbc\u0301\u0301"),
    ("ﬁle", "file"),
]


@pytest.mark.parametrize("pair", COLLISIONS, ids=ascii)
def test_two_names_that_fall_together_where_case_does_not_count_are_refused(pair: tuple[str, str]) -> None:
    for paths in (pair, pair[::-1]):
        with pytest.raises(HostileHubError) as refused:
            check_entries([Entry(path, 1) for path in paths], where="mirror")
        assert refused.value.facts["file"] == repr(paths[1])
        assert repr(paths[0]) in str(refused.value.facts["why"])


@pytest.mark.parametrize(
    "paths",
    [
        ("a", "a/b"),
        ("a/b", "a"),
        ("a/b/c/d", "x", "a/b"),
        ("A", "a/b"),
        ("é", "e\u0301/b"),
        ("ab/c", "ab", "abc"),
    ],
)
def test_a_file_that_is_anothers_folder_is_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(HostileHubError, match="refused") as refused:
        check_entries([Entry(path, 1) for path in paths], where="mirror")
    assert "is a file and the folder of" in str(refused.value.facts["why"])


def test_names_that_only_begin_alike_are_no_problem() -> None:
    check_entries([Entry(path, 1) for path in ("a", "ab", "a.b", "a-b/c", "A_b", "i\u0307", "ı")], where="mirror")


@pytest.mark.parametrize("size", [-1, MAX_FILE_BYTES + 1, 1.0, "7", None, True, False, float("inf"), [1]])
def test_an_impossible_size_is_refused(size: Any) -> None:
    with pytest.raises(HostileHubError) as refused:
        check_entries([Entry("a", size)], where="mirror")
    assert refused.value.facts == {"file": "'a'", "why": f"impossible size {size!r}"}


@pytest.mark.parametrize("size", [0, 1, MAX_FILE_BYTES])
def test_every_other_size_passes(size: int) -> None:
    check_entries([Entry("a", size)], where="mirror")


def test_too_many_files_are_refused_and_as_many_as_allowed_are_not() -> None:
    def listing(count: int) -> list[Entry]:
        return [Entry(f"f{number}", 1) for number in range(count)]

    check_entries(listing(MAX_FILES), where="mirror")
    with pytest.raises(HostileHubError, match="refused"):
        check_entries(listing(MAX_FILES + 1), where="mirror")


def test_the_sum_of_all_sizes_fits_into_64_bits() -> None:
    assert MAX_FILES * MAX_FILE_BYTES < 1 << 63


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        (SHA256, "sha256", SHA256),
        (SHA256.upper(), "sha256", SHA256),
        (GIT_SHA1, "git_sha1", GIT_SHA1),
        (GIT_SHA1, "sha256", None),
        (SHA256, "git_sha1", None),
        (SHA256[:-1], "sha256", None),
        (SHA256 + "\n", "sha256", None),
        ("g" * 64, "sha256", None),
        ("../" + "a" * 61, "sha256", None),
        ("", "sha256", None),
        (None, "sha256", None),
        (7, "git_sha1", None),
        (b"b" * 40, "git_sha1", None),
    ],
)
def test_a_digest_is_well_formed_or_none(text: Any, kind: str, expected: str | None) -> None:
    assert check_digest(text, kind=kind) == expected


def test_digests_are_false_where_there_is_none_and_the_strongest_is_sha256() -> None:
    assert not Digests()
    assert Digests(SHA256, GIT_SHA1).strongest == SHA256
    assert Digests(git_sha1=GIT_SHA1).strongest == GIT_SHA1
    with pytest.raises(ValueError, match="no digest"):
        _ = Digests().strongest


ENTRIES = st.lists(
    st.builds(
        Entry,
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda path: path_problem(path) is None),
        st.integers(0, MAX_FILE_BYTES),
        st.builds(Digests, st.sampled_from([None, SHA256]), st.sampled_from([None, GIT_SHA1])),
        st.booleans(),
    ),
    max_size=6,
    unique_by=lambda entry: entry.path.casefold(),
)


def manifest_of(*entries: Entry, **changes: Any) -> Manifest:
    return Manifest("huggingface", "owner/name", None, COMMIT, entries, **changes)


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_content_digest_does_not_depend_on_the_order(entries: list[Entry], chance: Any) -> None:
    shuffled = list(entries)
    chance.shuffle(shuffled)
    assert content_digest(entries) == content_digest(shuffled)


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        (lambda entry: replace(entry, path="b"), True),
        (lambda entry: replace(entry, size=2), True),
        (lambda entry: replace(entry, digests=Digests("c" * 64)), True),
        (lambda entry: replace(entry, digests=Digests()), True),
        (lambda entry: replace(entry, digests=Digests(git_sha1=GIT_SHA1)), True),
        (lambda entry: replace(entry, digests=Digests(SHA256, GIT_SHA1)), False),
        (lambda entry: replace(entry, lfs=True), False),
    ],
)
def test_the_content_digest_is_that_of_paths_sizes_and_digests(
    change: Callable[[Entry], Entry], is_another: bool
) -> None:
    entry = Entry("a", 1, Digests(SHA256))
    assert (content_digest([entry]) != content_digest([change(entry)])) is is_another


def test_the_content_digest_stays_what_it_was() -> None:
    entries = [Entry("b", 2, Digests(git_sha1=GIT_SHA1)), Entry("ä/a", 1, Digests(SHA256))]
    canonical = f'[["b",2,"{GIT_SHA1}"],["\\u00e4/a",1,"{SHA256}"]]'
    assert content_digest(entries) == hashlib.sha256(canonical.encode("ascii")).hexdigest()


@given(ENTRIES)
def test_what_is_written_is_read_back(entries: list[Entry]) -> None:
    manifest = manifest_of(*entries, facts=Facts("mit", gated=True, remote_code=False))
    document = json.loads(json.dumps(manifest.to_json()))
    assert from_json(document, where="manifest.json") == manifest


def test_a_manifest_finds_its_entries_and_adds_up() -> None:
    manifest = manifest_of(Entry("a", 1), Entry("b", 2))
    assert manifest.size == 3
    assert manifest.entry("b") == Entry("b", 2)
    assert manifest.entry("c") is None


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no files": lambda document: document.pop("files"),
    "files are no list": lambda document: document.update(files=None),
    "a file is no object": lambda document: document.update(files=["a"]),
    "a file without a size": lambda document: document["files"][0].pop("size"),
    "a name that climbs": lambda document: document["files"][0].update(path="../x"),
    "a name that is none": lambda document: document["files"][0].update(path=None),
    "a size that is none": lambda document: document["files"][0].update(size="1"),
    "a sha256 that is a path": lambda document: document["files"][0].update(sha256="../../x"),
    "a sha256 that is a number": lambda document: document["files"][0].update(sha256=7),
    "a git-sha1 that is none": lambda document: document["files"][0].update(git_sha1="x"),
    "a fact that nobody knows": lambda document: document["facts"].update(surprise=1),
    "no facts": lambda document: document.pop("facts"),
    "a repository that climbs": lambda document: document.update(repo="../x"),
    "a repository of one name": lambda document: document.update(repo="name"),
    "a repository of three names": lambda document: document.update(repo="a/b/c"),
    "a repository that is none": lambda document: document.update(repo=None),
    "a hub that is a path": lambda document: document.update(hub="a/b"),
    "a commit that is none": lambda document: document.update(commit="main"),
    "no commit": lambda document: document.pop("commit"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_document_is_no_manifest_and_says_where(damage: Callable[[dict[str, Any]], object]) -> None:
    document = manifest_of(Entry("a", 1, Digests(SHA256, GIT_SHA1))).to_json()
    damage(document)
    with pytest.raises(StoreError, match=r"`/store/x\.json` is not a manifest"):
        from_json(document, where="/store/x.json")


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_a_manifest_of_another_version_says_so(version: Any) -> None:
    with pytest.raises(StoreError, match="another version") as refused:
        from_json({**manifest_of().to_json(), "version": version}, where="x.json")
    assert refused.value.facts == {"expected": 1, "got": version}
