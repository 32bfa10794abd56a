"""How a user names a model: every form that is read, and what is said of those that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import UsageError
from modelfetch.redact import redact
from modelfetch.reference import HUBS, Reference, is_commit, parse

COMMIT = "c1899de289a04d12100db370d81485cdf75e47ca"
QWEN = Reference("Qwen", "Qwen3-0.6B")
ON_HF = Reference("Qwen", "Qwen3-0.6B", "huggingface")
ON_MS = Reference("Qwen", "Qwen3-0.6B", "modelscope")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Qwen/Qwen3-0.6B", QWEN),
        ("  Qwen/Qwen3-0.6B\n", QWEN),
        ("Qwen/Qwen3-0.6B/", QWEN),
        ("hf:Qwen/Qwen3-0.6B", ON_HF),
        ("huggingface:Qwen/Qwen3-0.6B", ON_HF),
        ("hf://Qwen/Qwen3-0.6B", ON_HF),
        ("HF://Qwen/Qwen3-0.6B", ON_HF),
        ("ms:Qwen/Qwen3-0.6B", ON_MS),
        ("modelscope:Qwen/Qwen3-0.6B", ON_MS),
        ("ms://Qwen/Qwen3-0.6B", ON_MS),
        ("modelscope://Qwen/Qwen3-0.6B/", ON_MS),
        ("Qwen/Qwen3-0.6B@v1.0", Reference("Qwen", "Qwen3-0.6B", None, "v1.0")),
        ("Qwen/Qwen3-0.6B@refs/pr/1", Reference("Qwen", "Qwen3-0.6B", None, "refs/pr/1")),
        (f"ms:Qwen/Qwen3-0.6B@{COMMIT}", Reference("Qwen", "Qwen3-0.6B", "modelscope", COMMIT)),
        ("a/b:Q4_K_M", Reference("a", "b", quant="Q4_K_M")),
        ("a/b:UD-Q4_K_XL", Reference("a", "b", quant="UD-Q4_K_XL")),
        ("hf://a/b@v1.0:Q8_0", Reference("a", "b", "huggingface", "v1.0", "Q8_0")),
        ("01-ai/Yi-1.5_9B.Chat", Reference("01-ai", "Yi-1.5_9B.Chat")),
        ("_a_/_b-", Reference("_a_", "_b-")),
        ("a/" + "n" * 96, Reference("a", "n" * 96)),
    ],
)
def test_a_reference_is_hub_owner_name_revision_and_quant(text: str, expected: Reference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["a/b", "a/b@main", "a/b@master"])
def test_main_and_master_are_the_default_revision(text: str) -> None:
    assert parse(text) == Reference("a", "b")
    assert parse(f"https://huggingface.co/{text.partition('@')[0]}/tree/master").revision is None


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://huggingface.co/Qwen/Qwen3-0.6B", ON_HF),
        ("http://huggingface.co/Qwen/Qwen3-0.6B/", ON_HF),
        ("HTTPS://HuggingFace.co:443/Qwen/Qwen3-0.6B", ON_HF),
        ("https://www.huggingface.co/Qwen/Qwen3-0.6B?library=transformers#usage", ON_HF),
        ("https://hf.co/Qwen/Qwen3-0.6B", ON_HF),
        ("https://hf-mirror.com/Qwen/Qwen3-0.6B/tree/main", ON_HF),
        ("https://huggingface.co/models/Qwen/Qwen3-0.6B", ON_HF),
        ("https://huggingface.co/Qwen/Qwen3-0.6B/tree/main/sub/folder", ON_HF),
        ("https://huggingface.co/Qwen/Qwen3-0.6B/discussions/5", ON_HF),
        ("https://huggingface.co/Qwen/Qwen3-0.6B/edit/main/README.md", ON_HF),
        ("https://modelscope.cn/models/Qwen/Qwen3-0.6B", ON_MS),
        ("https://www.modelscope.cn/models/Qwen/Qwen3-0.6B/summary", ON_MS),
        ("https://www.modelscope.cn/models/Qwen/Qwen3-0.6B/files", ON_MS),
        ("https://modelscope.ai/models/Qwen/Qwen3-0.6B", ON_MS),
        ("https://modelscope.cn/models/Qwen/Qwen3-0.6B/file/view/master/config.json?status=1", ON_MS),
        ("https://modelscope.cn/models/Qwen/Qwen3-0.6B/file/view/master?fileName=config.json&status=1", ON_MS),
        ("https://www.modelscope.cn/Qwen/Qwen3-0.6B.git", ON_MS),
        ("https://user:secret@huggingface.co/Qwen/Qwen3-0.6B", ON_HF),
        ("huggingface.co/Qwen/Qwen3-0.6B", ON_HF),
        ("hf.co/Qwen/Qwen3-0.6B:Q4_K_M", Reference("Qwen", "Qwen3-0.6B", "huggingface", None, "Q4_K_M")),
        ("modelscope.cn/models/Qwen/Qwen3-0.6B", ON_MS),
    ],
)
def test_a_pasted_address_names_its_hubs_model(address: str, expected: Reference) -> None:
    assert parse(address) == expected


@pytest.mark.parametrize(
    ("page", "revision"),
    [
        ("tree/v2", "v2"),
        ("blob/v2/config.json", "v2"),
        ("resolve/v2/config.json?download=true", "v2"),
        ("raw/v2/config.json", "v2"),
        ("blame/v2/config.json", "v2"),
        (f"commit/{COMMIT}", COMMIT),
        ("commits/v2", "v2"),
        ("tree/refs%2Fpr%2F1", "refs/pr/1"),
        ("tree/refs/pr/1/sub", "refs/pr/1"),
        ("blob/refs/convert/parquet/a.bin", "refs/convert/parquet"),
        ("tree", None),
        ("discussions/5", None),
        ("files?version=v2", "v2"),
        ("files?version=master", None),
        ("file/view/v2/sub/config.json", "v2"),
        ("summary/v2", None),
    ],
)
def test_a_pasted_address_may_name_a_revision(page: str, revision: str | None) -> None:
    assert parse(f"https://modelscope.cn/models/a/b/{page}") == Reference("a", "b", "modelscope", revision)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", "`` is not of the form owner/name"),
        ("gpt2", "`gpt2` is not of the form owner/name"),
        ("a/b/c", "`a/b/c` is not of the form owner/name"),
        ("/a/b", "`/a/b` is not of the form owner/name"),
        ("a//b", "`a//b` is not of the form owner/name"),
        ("a/b c", "`b c`"),
        ("a\\b/c", "`a\\b`"),
        ("../b", "`..`"),
        ("a/..", "`..`"),
        (".a/b", "`.a`"),
        ("a/b.", "`b.`"),
        ("-a/b", "`-a`"),
        ("a--b/c", "`a--b`"),
        ("a/b..c", "`b..c`"),
        ("a/名", "`名`"),
        ("a/" + "n" * 97, "`" + "n" * 97 + "`"),
        ("a/b@", "nothing follows the `@`"),
        ("a/b:", "nothing follows the `:`"),
        ("hf:", "`hf` is not of the form owner/name"),
        ("hf:a/b:", "nothing follows the `:`"),
        ("a/b@x y", "`x y` cannot be a revision"),
        ("a/b@../x", "`../x` cannot be a revision"),
        ("a/b@x..y", "`x..y` cannot be a revision"),
        ("a/b@x//y", "`x//y` cannot be a revision"),
        ("a/b@x/", "`x/` cannot be a revision"),
        ("a/b@-x", "`-x` cannot be a revision"),
        ("a/b@v1@v2", "`v1@v2` cannot be a revision"),
        ("a/b@" + "r" * 201, "cannot be a revision"),
        ("a/b:Q4 K", "`Q4 K` cannot be a quantisation"),
        ("a/b:-Q4", "`-Q4` cannot be a quantisation"),
        ("a/b:Q4@v1", "`Q4@v1` cannot be a quantisation"),
        ("a/b:" + "q" * 65, "cannot be a quantisation"),
        ("ollama:a/b", "`ollama` is no hub"),
        ("qwen:7b", "`qwen` is no hub"),
        ("ftp://a/b", "`ftp` is no hub"),
        ("hf:///a/b", "`hf` is not of the form owner/name"),
        ("hf://datasets/a/b", "`datasets/a/b` is not of the form owner/name"),
        ("https://example.com/a/b", "`example.com` is no hub's host"),
        ("https://huggingface.co.evil.com/a/b", "`huggingface.co.evil.com` is no hub's host"),
        ("https://huggingface.co@evil.com/a/b", "`evil.com` is no hub's host"),
        ("https:///a/b", "`` is no hub's host"),
        ("https://[huggingface.co/a/b", "no address"),
        ("https://huggingface.co", "names no model"),
        ("https://huggingface.co/gpt2", "names no model"),
        ("https://modelscope.cn/models", "names no model"),
        ("huggingface.co/Qwen", "names no model"),
        ("https://huggingface.co/datasets/a/b", "a page under `datasets`"),
        ("https://huggingface.co/spaces/a/b", "a page under `spaces`"),
        ("https://modelscope.cn/studios/a/b/file/view/master/app.py", "a page under `studios`"),
        ("https://huggingface.co/collections/a/b", "a page under `collections`"),
        ("https://huggingface.co/a/b/tree/x%20y", "`x y` cannot be a revision"),
        ("https://huggingface.co/a%2Fb/c", "`a/b/c` is not of the form owner/name"),
        ("https://huggingface.co/../b", "`..`"),
        ("https://huggingface.co/a/b%00", "cannot be part of a repository's name"),
    ],
    ids=ascii,
)
def test_what_cannot_be_read_says_which_part_is_wrong(text: str, wrong: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(text)
    assert refused.value.message == f"`{redact(text)}` is not a model reference"
    assert wrong in str(refused.value.facts["why"])
    assert refused.value.hint


def test_an_error_shows_no_password() -> None:
    with pytest.raises(UsageError) as refused:
        parse("https://user:hunter2@example.com/a/b?token=hunter2")
    assert "hunter2" not in refused.value.render()


@given(st.text(max_size=60))
def test_any_other_text_is_a_usage_error_and_never_a_crash(text: str) -> None:
    for each in (text, f"https://{text}", f"https://huggingface.co/{text}", f"hf:{text}", f"a/b{text}"):
        try:
            reference = parse(each)
        except UsageError:
            continue
        assert "/" not in reference.owner + reference.name
        assert not {"", ".", ".."} & {reference.owner, reference.name}


NAMES = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]?[A-Za-z0-9_]){0,8}", fullmatch=True).filter(
    lambda name: "--" not in name
)
REFERENCES = st.builds(
    Reference,
    NAMES,
    NAMES,
    st.sampled_from([None, "huggingface", "modelscope"]),
    st.none()
    | st.from_regex(r"[a-z0-9][a-z0-9+-]{0,8}(/[a-z0-9]{1,4})?", fullmatch=True).filter(
        lambda revision: revision not in {"main", "master"}
    ),
    st.none() | st.sampled_from(["Q4_K_M", "UD-IQ1_S", "bf16"]),
)


@given(REFERENCES)
def test_what_is_written_is_read_back(reference: Reference) -> None:
    assert parse(str(reference)) == reference
    assert reference.repo == f"{reference.owner}/{reference.name}"


def test_every_hub_can_be_said_in_short_and_in_full() -> None:
    assert set(HUBS.values()) == {"huggingface", "modelscope"}
    assert {HUBS[hub] for hub in HUBS.values()} == set(HUBS.values())


def test_a_revision_may_come_beside_the_reference() -> None:
    assert parse("a/b").at("v1") == Reference("a", "b", revision="v1")
    assert parse("a/b").at("master") == Reference("a", "b")
    assert parse("a/b@v1").at(None) == Reference("a", "b", revision="v1")
    assert parse("a/b@v1").at("v1") == Reference("a", "b", revision="v1")


@pytest.mark.parametrize("other", ["v2", "main"])
def test_two_revisions_that_differ_are_an_error(other: str) -> None:
    with pytest.raises(UsageError, match="already names a revision") as refused:
        parse("a/b@v1").at(other)
    assert refused.value.facts == {"in the reference": "v1", "in --revision": other}


def test_a_revision_beside_the_reference_is_judged_as_well() -> None:
    with pytest.raises(UsageError) as refused:
        parse("a/b").at("../x")
    assert refused.value.facts["why"] == "`../x` cannot be a revision"


@pytest.mark.parametrize(
    ("revision", "expected"),
    [
        (COMMIT, True),
        (COMMIT[:-1], False),
        (COMMIT.upper(), False),
        (COMMIT + "\n", False),
        ("main", False),
        (None, False),
    ],
)
def test_a_commit_is_forty_hexadecimal_digits(revision: str | None, expected: bool) -> None:
    assert is_commit(revision) is expected
