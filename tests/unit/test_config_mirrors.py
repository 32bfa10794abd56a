"""The rules at the head of `config.mirrors`: what a mirrors.yaml may hold, and what a wrong one is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelfetch.config.mirrors import (
    ENDPOINT_KEYS,
    INDEX_KEYS,
    SAMPLE_KEYS,
    TOP_KEYS,
    Entry,
    Mirrors,
    read_mirrors,
)
from modelfetch.config.values import DEFAULT_CONNECTIONS, HUBS, INDEX_KINDS, Endpoint, Index, Sample
from modelfetch.config.variables import MOST_CONNECTIONS
from modelfetch.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


def entry(text: str) -> str:
    """A mirrors.yaml with one endpoint, `lab`, whose members are `text`, from its fourth line on."""
    return "version: 1\nendpoints:\n  lab:\n" + "".join(f"    {line}\n" for line in text.splitlines())


GOOD = "hub: huggingface\nurl: https://lab.example.com"


def test_an_entry_says_everything_there_is_to_say() -> None:
    text = entry(
        "hub: modelscope\nurl: https://lab.example.com/\ntoken: true\nregion: cn\nconnections: 3\nenabled: true"
    )
    lab = Endpoint("lab", "modelscope", "https://lab.example.com", sends_token=True, region="cn", connections=3)
    assert read_mirrors(text, file="x").endpoints == (Entry("lab", lab, line=3),)


def test_what_is_left_out_is_cautious() -> None:
    (lab,) = read_mirrors(entry(GOOD), file="x").endpoints
    assert lab.value == Endpoint("lab", "huggingface", "https://lab.example.com", sends_token=False)


def test_norway_is_a_region_though_yaml_reads_it_as_false() -> None:
    (lab,) = read_mirrors(entry(GOOD + "\nregion: no"), file="x").endpoints
    assert lab.value is not None
    assert lab.value.region == "no"


def test_one_connection_is_enough() -> None:
    (lab,) = read_mirrors(entry(GOOD + "\nconnections: 1"), file="x").endpoints
    assert lab.value is not None
    assert lab.value.connections == 1


def test_a_disabled_entry_needs_nothing_else() -> None:
    assert read_mirrors(entry("enabled: false"), file="x").endpoints == (Entry("lab", None, line=3),)


def test_a_file_without_sections_has_none() -> None:
    assert read_mirrors("version: 1\n", file="x") == Mirrors()


def section(name: str, member: str, text: str) -> str:
    """A mirrors.yaml with one entry in a section, whose members are `text`, from its fourth line on."""
    return f"version: 1\n{name}:\n  {member}:\n" + "".join(f"    {line}\n" for line in text.splitlines())


def test_an_index_says_what_kind_it_is_of_and_where_it_is() -> None:
    text = section("indexes", "lab", "kind: torch\nurl: https://lab.example.com/whl/\nregion: cn")
    lab = Index("lab", "torch", "https://lab.example.com/whl", region="cn")
    assert read_mirrors(text, file="x").indexes == (Entry("lab", lab, line=3),)


def test_a_sample_names_a_model_for_a_hub_and_perhaps_one_that_is_gated() -> None:
    assert read_mirrors(section("samples", "modelscope", "repo: own/name"), file="x").samples == (
        Entry("modelscope", Sample("modelscope", "own/name"), line=3),
    )
    (sample,) = read_mirrors(section("samples", "huggingface", "repo: a/b\ngated: c/d"), file="x").samples
    assert sample.value == Sample("huggingface", "a/b", "c/d")


def test_an_index_or_a_sample_that_is_taken_away_needs_nothing_else() -> None:
    assert read_mirrors(section("indexes", "lab", "enabled: false"), file="x").indexes == (Entry("lab", None, line=3),)
    samples = read_mirrors(section("samples", "huggingface", "enabled: no"), file="x").samples
    assert samples == (Entry("huggingface", None, line=3),)


@pytest.mark.parametrize(
    ("text", "line", "key", "expected", "got"),
    [
        (entry("hub: huggingfce\nurl: https://a.example"), 4, "endpoints.lab.hub", "`huggingface`", "`huggingfce`"),
        (entry("hub: [huggingface]\nurl: https://a.example"), 4, "endpoints.lab.hub", "`modelscope`", "a list"),
        (entry("hub: huggingface"), 3, "endpoints.lab.url", "a `url`", "nothing"),
        (entry("url: https://a.example"), 3, "endpoints.lab.hub", "a `hub`", "nothing"),
        (entry("hub:\nurl: https://a.example"), 4, "endpoints.lab.hub", "one of `huggingface`", "nothing"),
        (entry("hub: huggingface\nurl: 'https://[::1'"), 5, "endpoints.lab.url", "https://hub.example.com", "redacted"),
        (entry("hub: huggingface\nurl: https://a.example:0"), 5, "endpoints.lab.url", "between 1 and 65535", ":0`"),
        (
            entry("hub: huggingface\nurl: https://me:pw@a.example"),
            5,
            "endpoints.lab.url",
            "without user",
            "`https://a.",
        ),
        (entry(f"hub: huggingface\nurl: {'x' * 5000}"), 5, "endpoints.lab.url", "https://", f"`{'x' * 100}…`"),
        (entry(GOOD + "\nregion:"), 6, "endpoints.lab.region", "two small letters", "nothing"),
        (entry(GOOD + "\nconnections: -1"), 6, "endpoints.lab.connections", "between 1 and 64", "`-1`"),
        (entry(GOOD + "\nconnections: 4.5"), 6, "endpoints.lab.connections", "between 1 and 64", "`4.5`"),
        (entry(GOOD + "\nconnections: 0x10"), 6, "endpoints.lab.connections", "between 1 and 64", "`0x10`"),
        (entry(GOOD + "\nToken: true"), 6, "endpoints.lab.Token", "`token`", "`Token`"),
        (entry("<<: {hub: huggingface}\nurl: https://a.example"), 4, "endpoints.lab.<<", "`hub`", "`<<`"),
        (entry(GOOD) + "  lab:\n    enabled: false\n", 6, "endpoints.lab", "each name once", "second time"),
        ("version: 1\nendpoints:\n  lab: https://a.example\n", 3, "endpoints.lab", "names with values", "`https://a."),
        ("version: 1\nendpoints:\n  lab:\n", 3, "endpoints.lab", "names with values", "nothing"),
        ("version: 1\nendpoints:\n  lab: *there\n", 3, "(the whole file)", "YAML", "undefined alias 'there'"),
        ("version: 1\nendpoints: &all\n  lab: *all\n", 3, "endpoints.lab.lab", "`hub`", "`lab`"),
        ("version: 1\nendpoints: &a {}\nindexes: &a {}\n", 3, "(the whole file)", "YAML", "duplicate anchor"),
        ("version: 1\nendpoints: !!python/name:os.system\n", 2, "endpoints", "names with values", "nothing"),
        ("version: 1\nendpoints:\n", 2, "endpoints", "names with values", "nothing"),
        ("version: 1\nversion: 1\n", 2, "version", "each name once", "second time"),
        ("version:\n", 1, "version", "1, the version", "nothing"),
        ("version: 1.0\n", 1, "version", "1, the version", "`1.0`"),
        ("version: 1\n---\nversion: 1\n", 2, "(the whole file)", "YAML", "a single document"),
        ("version: 1\n\tendpoints: {}\n", 2, "(the whole file)", "YAML", "'\\t'"),
        ("version: 1\nendpoints:\n  lab:\n    hub: x\n   url: y\n", 5, "(the whole file)", "YAML", "block mapping"),
        ("version: 1\nendpoints: " + "[" * 20_000, 1, "(the whole file)", "YAML", "without end"),
        (section("samples", "hf", "repo: a/b"), 3, "samples.hf", "`huggingface`", "`hf`"),
        (
            section("samples", "huggingface", "repo: a/b\ngated: true"),
            5,
            "samples.huggingface.gated",
            "owner",
            "`true`",
        ),
        ("# nothing\n", 1, "(the whole file)", "version: 1", "an empty file"),
        ("null\n", 1, "(the whole file)", "names with values", "`null`"),
        (entry("hub: huggingface\nurl: ftp://a.example"), 5, "endpoints.lab.url", "https://", "`ftp://a.example`"),
        (entry("hub: huggingface\nurl: [a]"), 5, "endpoints.lab.url", "https://", "a list"),
        (entry(GOOD + "\ntokn: true"), 6, "endpoints.lab.tokn", "`token`", "`tokn`"),
        (entry(GOOD + "\ntoken: 1"), 6, "endpoints.lab.token", "true or false", "not shown"),
        (entry(GOOD + '\ntoken: "true"'), 6, "endpoints.lab.token", "true or false", "not shown"),
        (entry(GOOD + "\nenabled: maybe"), 6, "endpoints.lab.enabled", "true or false", "`maybe`"),
        (entry(GOOD + "\nregion: China"), 6, "endpoints.lab.region", "`global`", "`China`"),
        (entry(GOOD + "\nconnections: 0"), 6, "endpoints.lab.connections", "between 1 and 64", "`0`"),
        (entry(GOOD + "\nconnections: 65"), 6, "endpoints.lab.connections", "between 1 and 64", "`65`"),
        (entry(GOOD + "\nconnections: many"), 6, "endpoints.lab.connections", "a whole number", "`many`"),
        (entry(GOOD + "\nhub: modelscope"), 6, "endpoints.lab.hub", "each name once", "second time"),
        (entry("hub: huggingface\nurl: http://10.0.0.5\ntoken: true"), 5, "endpoints.lab.url", "https", "10.0.0.5"),
        ("version: 1\nendpoints:\n  auto: {enabled: false}\n", 3, "endpoints.auto", "a name", "`auto`"),
        ('version: 1\nendpoints:\n  "a/b": {enabled: false}\n', 3, "endpoints.a/b", "a name", "`a/b`"),
        ("version: 1\n? [a, b]\n: c\n", 2, "(not a name)", "`endpoints`", "not a name"),
        ("version: 1\nendpoints: [a]\n", 2, "endpoints", "names with values", "a list"),
        ("version: 1\nmirrors: {}\n", 2, "mirrors", "`endpoints`", "`mirrors`"),
        (section("indexes", "lab", "url: https://a.example"), 3, "indexes.lab.kind", "a `kind`", "nothing"),
        (section("indexes", "lab", "kind: pypi"), 3, "indexes.lab.url", "a `url`", "nothing"),
        (section("indexes", "lab", "kind: pip\nurl: https://a.example"), 4, "indexes.lab.kind", "`pypi`", "`pip`"),
        (section("indexes", "lab", "kind: pypi\ntoken: true"), 5, "indexes.lab.token", "`kind`", "`token`"),
        (section("samples", "huggingface", "gated: a/b"), 3, "samples.huggingface.repo", "a `repo`", "nothing"),
        (section("samples", "huggingface", "repo: gpt2"), 4, "samples.huggingface.repo", "owner/name", "`gpt2`"),
        (section("samples", "modelscpe", "repo: a/b"), 3, "samples.modelscpe", "`modelscope`", "`modelscpe`"),
        ("endpoints: {}\n", 1, "version", "version: 1", "nothing"),
        ("version: 2\n", 1, "version", "1", "`2`"),
        ("- a\n", 1, "(the whole file)", "names with values", "a list"),
        ("", 1, "(the whole file)", "version: 1", "an empty file"),
        ("version: 1\nendpoints: {a: [}\n", 2, "(the whole file)", "YAML", "expected"),
        ("version: 1\x00", 1, "(the whole file)", "YAML", "not allowed"),
    ],
)
def test_a_wrong_file_is_told_its_line_its_key_what_was_expected_and_what_is_there(
    text: str, line: int, key: str, expected: str, got: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mirrors(text, file="/etc/mirrors.yaml")
    assert caught.value.message.startswith(f"`/etc/mirrors.yaml` line {line} ")
    assert caught.value.facts["key"] == key
    assert expected in str(caught.value.facts["expected"])
    assert got in str(caught.value.facts["got"])


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        (entry(GOOD + "\ntokn: true"), "`token`"),
        (entry("hub: huggingfce\nurl: https://a.example"), "`huggingface`"),
        ("version: 1\nendpoint: {}\n", "`endpoints`"),
        ("version: 1\nindices: {}\n", "`indexes`"),
        (section("indexes", "lab", "kind: torch-link\nurl: https://a.example"), "`torch-links`"),
        (section("samples", "modelscpe", "repo: a/b"), "`modelscope`"),
        (entry(GOOD + "\nmirror-of: x"), None),
    ],
)
def test_a_word_that_is_not_known_is_told_the_nearest_that_is(text: str, nearest: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        read_mirrors(text, file="x")
    assert caught.value.facts.get("nearest") == nearest


def test_a_token_that_somebody_put_into_the_file_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        read_mirrors(entry(GOOD + "\ntoken: 2f0e6a4c-0d1e-4d55"), file="x")
    assert "2f0e6a4c" not in caught.value.render()


def test_a_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        read_mirrors(entry("hub: huggingface\nurl: https://me:hunter2@a.example"), file="x")
    assert "hunter2" not in caught.value.render()


def test_a_tag_constructs_nothing() -> None:
    with pytest.raises(ConfigError):
        read_mirrors("!!python/object/apply:os.system ['exit 1']", file="x")


def test_plain_http_to_this_machine_may_carry_a_token() -> None:
    (lab,) = read_mirrors(entry("hub: huggingface\nurl: http://127.0.0.1:8080\ntoken: true"), file="x").endpoints
    assert lab.value is not None
    assert lab.value.sends_token


def test_the_file_that_is_shipped_is_right() -> None:
    shipped = read_mirrors((REPOSITORY / "mirrors.yaml").read_text(), file="mirrors.yaml")
    assert {entry.name for entry in shipped.endpoints} >= {"huggingface", "hf-mirror", "modelscope"}
    assert {entry.name for entry in shipped.samples} == set(HUBS)
    indexes = [entry.value for entry in shipped.indexes if entry.value]
    assert {index.kind for index in indexes} == set(INDEX_KINDS)
    official = [index.kind for index in indexes if index.region == "global"]
    assert sorted(official) == ["conda", "pypi", "torch"]


def test_the_example_on_the_page_is_right() -> None:
    page = (REPOSITORY / "docs/mirrors.md").read_text(encoding="utf-8")
    example = read_mirrors(page.partition("```yaml\n")[2].partition("```")[0], file="docs/mirrors.md")
    assert [len(section) > 0 for section in (example.endpoints, example.indexes, example.samples)] == [True] * 3


def test_the_schema_for_editors_knows_the_same_keys_words_and_bounds() -> None:
    schema = json.loads((REPOSITORY / "docs/mirrors.schema.json").read_text())
    assert tuple(schema["properties"]) == TOP_KEYS
    entries = {name: schema["properties"][name]["additionalProperties"] for name in TOP_KEYS[1:]}
    keys = {"endpoints": ENDPOINT_KEYS, "indexes": INDEX_KEYS, "samples": SAMPLE_KEYS}
    assert {name: tuple(entry["properties"]) for name, entry in entries.items()} == keys
    assert entries["indexes"]["properties"]["kind"]["enum"] == list(INDEX_KINDS)
    connections = entries["endpoints"]["properties"]["connections"]
    assert (connections["default"], connections["maximum"]) == (DEFAULT_CONNECTIONS, MOST_CONNECTIONS)
