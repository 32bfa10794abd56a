"""The rules at the head of `config.load` and `config.variables`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modelfetch.config import Settings, load, parse_size
from modelfetch.config.values import Endpoint
from modelfetch.errors import ConfigError, UsageError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def settings(home: Path, user: str | None = None, **variables: str) -> Settings:
    """Settings of a machine that has only this home, these variables and perhaps a mirrors.yaml of the user's."""
    environment = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        **variables,
    }
    if user is not None:
        file = home / "config" / "modelfetch" / "mirrors.yaml"
        file.parent.mkdir(parents=True)
        file.write_text(user)
    return load(environment)


def by_name(settings: Settings) -> dict[str, Endpoint]:
    return {endpoint.name: endpoint for endpoint in settings.endpoints}


def test_without_files_and_variables_the_built_in_endpoints_and_default_folders_hold(home: Path) -> None:
    loaded = settings(home)
    assert [endpoint.name for endpoint in loaded.endpoints] == [
        "huggingface",
        "hf-mirror",
        "modelscope",
        "modelscope-ai",
    ]
    assert loaded.home == home / "cache" / "modelfetch"
    assert loaded.experience == home / "cache" / "modelfetch" / "endpoints-v1.json"
    assert loaded.hf_cache == home / "cache" / "huggingface" / "hub"
    assert loaded.modelscope_cache == home / ".cache" / "modelscope"
    assert (loaded.source, loaded.offline, loaded.connections, loaded.limit_rate) == ("auto", False, None, None)
    assert dict(loaded.tokens) == {}
    assert loaded.origins["endpoints.hf-mirror"] == "built-in"
    assert loaded.origins["source"] == "default"


def test_of_the_built_in_endpoints_only_the_hubs_own_origins_get_a_token(home: Path) -> None:
    trusted = {endpoint.origin for endpoint in settings(home).endpoints if endpoint.sends_token}
    assert trusted == {"https://huggingface.co", "https://modelscope.cn"}


def test_the_users_entry_replaces_takes_away_and_adds(home: Path) -> None:
    loaded = settings(
        home,
        user="""\
version: 1
endpoints:
  hf-mirror: {hub: huggingface, url: "https://mirror.example.com/hf/", connections: 2}
  modelscope-ai: {enabled: false}
  lab: {hub: modelscope, url: "https://lab.example.com", token: true}
""",
    )
    found = by_name(loaded)
    assert list(found) == ["huggingface", "hf-mirror", "modelscope", "lab"]
    assert found["hf-mirror"].url == "https://mirror.example.com/hf"
    assert found["hf-mirror"].connections == 2
    assert found["lab"].sends_token
    assert loaded.origins["endpoints.lab"].endswith("mirrors.yaml:5")
    assert "endpoints.modelscope-ai" not in loaded.origins


def test_the_users_indexes_and_samples_are_laid_over_the_built_in_ones(home: Path) -> None:
    loaded = settings(
        home,
        user="""\
version: 1
indexes:
  pypi: {kind: pypi, url: "https://pypi.example.com/simple"}
  pypi-tuna: {enabled: false}
samples:
  huggingface: {repo: lab/small}
""",
    )
    indexes = {index.name: index for index in loaded.indexes}
    assert indexes["pypi"].url == "https://pypi.example.com/simple"
    assert "pypi-tuna" not in indexes
    assert indexes["pytorch"].kind == "torch"
    assert {sample.hub: sample.repo for sample in loaded.samples}["huggingface"] == "lab/small"
    assert loaded.origins["indexes.pypi"].endswith("mirrors.yaml:3")
    assert loaded.origins["indexes.pytorch"] == loaded.origins["samples.modelscope"] == "built-in"
    assert "indexes.pypi-tuna" not in loaded.origins


def test_taking_away_an_endpoint_that_there_is_not_is_refused(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(home, user="version: 1\nendpoints:\n  hf_mirror: {enabled: false}\n")
    assert "line 3" in caught.value.message
    assert "`hf-mirror`" in caught.value.facts["expected"]  # type: ignore[operator]  # facts hold objects; this is a str
    assert caught.value.facts["nearest"] == "`hf-mirror`"


def test_modelfetch_config_names_another_file_which_must_be_there(home: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml. cannot be read"):
        settings(home, MODELFETCH_CONFIG=str(home / "absent.yaml"))
    (home / "mine.yaml").write_text("version: 1\nendpoints:\n  hf-mirror: {enabled: false}\n")
    assert "hf-mirror" not in by_name(settings(home, MODELFETCH_CONFIG="~/mine.yaml"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00bad", b"#" * (1 << 20) + b"##"], ids=["not UTF-8", "too long"])
def test_a_file_that_is_no_text_of_reasonable_length_is_refused(home: Path, content: bytes) -> None:
    file = home / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"mine\.yaml. cannot be used"):
        load({"HOME": str(home)}, user_file=file)


@pytest.mark.parametrize("text", ["[" * 2_000, "a: " + "{b: " * 2_000], ids=["lists", "mappings"])
def test_a_file_of_lists_in_lists_without_end_is_refused(home: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"mirrors\.yaml. line 1 cannot be used"):
        settings(home, text)


def _a_folder(file: Path) -> None:
    file.mkdir(parents=True)


def _a_link_to_itself(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.symlink_to(file.name)


def _in_a_folder_that_may_not_be_looked_into(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.parent.chmod(0)


@pytest.mark.parametrize(
    "place", [_a_folder, _a_link_to_itself, _in_a_folder_that_may_not_be_looked_into], ids=lambda place: place.__name__
)
def test_a_users_file_that_cannot_be_read_is_named(home: Path, place: Callable[[Path], None]) -> None:
    file = home / "config" / "modelfetch" / "mirrors.yaml"
    place(file)
    try:
        if os.access(file.parent, os.X_OK) and place is _in_a_folder_that_may_not_be_looked_into:
            pytest.skip("nothing is closed to root")
        with pytest.raises(ConfigError, match=r"mirrors\.yaml. cannot be read") as caught:
            settings(home)
    finally:
        file.parent.chmod(0o700)
    assert "MODELFETCH_CONFIG" in str(caught.value.hint)


def test_a_folder_that_is_a_file_holds_no_users_file(home: Path) -> None:
    (home / "config").write_text("")
    assert "hf-mirror" in by_name(settings(home))


def test_hf_endpoint_stands_alone_for_its_dialect_and_gets_no_token(home: Path) -> None:
    loaded = settings(home, HF_ENDPOINT="https://hub.example.com:8443/base/", HF_TOKEN="hf_secret")
    mine = [endpoint for endpoint in loaded.endpoints if endpoint.hub == "huggingface"]
    assert [(endpoint.name, endpoint.url, endpoint.sends_token) for endpoint in mine] == [
        ("hub.example.com:8443", "https://hub.example.com:8443/base", False)
    ]
    assert loaded.origins["endpoints.hub.example.com:8443"] == "HF_ENDPOINT"
    assert "endpoints.huggingface" not in loaded.origins
    assert "modelscope" in by_name(loaded)


def test_an_endpoint_variable_with_the_hubs_own_origin_still_gets_the_token(home: Path) -> None:
    loaded = settings(home, HF_ENDPOINT="https://huggingface.co/")
    assert [endpoint.sends_token for endpoint in loaded.endpoints if endpoint.hub == "huggingface"] == [True]


def test_an_endpoint_variable_does_not_take_the_other_hubs_trust(home: Path) -> None:
    loaded = settings(home, HF_ENDPOINT="https://modelscope.cn")
    assert [endpoint.sends_token for endpoint in loaded.endpoints if endpoint.hub == "huggingface"] == [False]


def test_an_endpoint_variable_that_names_a_known_mirror_keeps_its_cap(home: Path) -> None:
    loaded = settings(home, HF_ENDPOINT="hf-mirror.com")
    assert by_name(loaded)["hf-mirror"].connections == 4
    assert "huggingface" not in by_name(loaded)


def test_both_hubs_on_one_host_have_two_names(home: Path) -> None:
    url = "http://127.0.0.1:8899"
    loaded = settings(home, HF_ENDPOINT=url, MODELSCOPE_ENDPOINT=url)
    assert [(endpoint.name, endpoint.hub) for endpoint in loaded.endpoints] == [
        ("127.0.0.1:8899", "huggingface"),
        ("127.0.0.1:8899-modelscope", "modelscope"),
    ]


@pytest.mark.parametrize(
    "url",
    ["ftp://h.example", "https://user:secret@h.example", "https://h.example/?a=b", "https://h:99999", "https://a b"],
)
def test_an_endpoint_variable_that_is_no_base_url_is_refused_without_its_secrets(home: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="`HF_ENDPOINT` cannot be used") as caught:
        settings(home, HF_ENDPOINT=url)
    assert "secret" not in caught.value.render()


@pytest.mark.parametrize(
    ("variables", "source"),
    [
        ({}, "auto"),
        ({"MODELFETCH_SOURCE": "ms"}, "ms"),
        ({"MODELFETCH_SOURCE": "hf-mirror"}, "hf-mirror"),
        ({"VLLM_USE_MODELSCOPE": "True"}, "modelscope"),
        ({"SGLANG_USE_MODELSCOPE": "1"}, "modelscope"),
        ({"VLLM_USE_MODELSCOPE": "False"}, "auto"),
        ({"VLLM_USE_MODELSCOPE": "1", "MODELFETCH_SOURCE": "hf"}, "hf"),
    ],
)
def test_the_default_source_follows_our_variable_then_the_engines(
    home: Path, variables: dict[str, str], source: str
) -> None:
    assert settings(home, **variables).source == source


def test_an_unknown_source_is_refused_with_the_allowed_ones(home: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(home, MODELFETCH_SOURCE="huggingfce")
    assert "`hf-mirror`" in caught.value.render()


@pytest.mark.parametrize(
    ("variables", "offline"),
    [
        ({"HF_HUB_OFFLINE": "1"}, True),
        ({"HF_HUB_OFFLINE": "maybe"}, False),
        ({"MODELFETCH_OFFLINE": "yes"}, True),
        ({"MODELFETCH_OFFLINE": "0", "HF_HUB_OFFLINE": "1"}, False),
        ({"MODELFETCH_OFFLINE": ""}, False),
    ],
)
def test_our_offline_switch_beats_the_hubs(home: Path, variables: dict[str, str], offline: bool) -> None:
    assert settings(home, **variables).offline is offline


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MODELFETCH_OFFLINE", "maybe"),
        ("MODELFETCH_CONNECTIONS", "0"),
        ("MODELFETCH_CONNECTIONS", "65"),
        ("MODELFETCH_CONNECTIONS", "eight"),
        ("MODELFETCH_LIMIT_RATE", "fast"),
    ],
)
def test_our_own_variables_must_be_right(home: Path, name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"`{name}` cannot be used") as caught:
        settings(home, **{name: value})
    assert f"`{value}`" in caught.value.render()


def test_numbers_are_read_and_say_where_they_are_from(home: Path) -> None:
    loaded = settings(home, MODELFETCH_CONNECTIONS="16", MODELFETCH_LIMIT_RATE="20M")
    assert (loaded.connections, loaded.limit_rate) == (16, 20_000_000)
    assert loaded.origins["limit_rate"] == "MODELFETCH_LIMIT_RATE"
    assert loaded.origins["connections"] == "MODELFETCH_CONNECTIONS"
    assert settings(home, MODELFETCH_CONNECTIONS="1").connections == 1


def test_what_is_not_set_is_said_to_be_the_default(home: Path) -> None:
    loaded = settings(home)
    assert {loaded.origins[name] for name in ("source", "offline", "connections", "limit_rate")} == {"default"}
    assert settings(home, HF_HUB_OFFLINE="1").origins["offline"] == "HF_HUB_OFFLINE"


def test_without_the_xdg_folders_everything_is_under_the_home_folder(home: Path) -> None:
    loaded = load({"HOME": str(home)})
    assert loaded.hf_cache == home / ".cache/huggingface/hub"
    assert loaded.home.name == "modelfetch"


@pytest.mark.parametrize(
    ("variables", "folder", "origin"),
    [
        ({"HF_HUB_CACHE": "~/a"}, "a", "HF_HUB_CACHE"),
        ({"HF_HOME": "$HOME/b"}, "b/hub", "HF_HOME"),
        ({"HF_HOME": "~/b", "HUGGINGFACE_HUB_CACHE": "${HOME}/c"}, "c", "HUGGINGFACE_HUB_CACHE"),
        ({}, "cache/huggingface/hub", "XDG_CACHE_HOME"),
    ],
)
def test_the_hubs_cache_is_where_its_own_client_looks(
    home: Path, variables: dict[str, str], folder: str, origin: str
) -> None:
    loaded = settings(home, **variables)
    assert loaded.hf_cache == home / folder
    assert loaded.origins["hf_cache"] == origin


def test_our_home_and_modelscopes_cache_can_be_moved(home: Path) -> None:
    loaded = settings(home, MODELFETCH_HOME="~/store", MODELSCOPE_CACHE=str(home / "ms"))
    assert (loaded.home, loaded.modelscope_cache) == (home / "store", home / "ms")


def test_a_token_comes_from_its_variable_then_the_older_one_then_the_saved_file(home: Path) -> None:
    saved = home / "hf" / "token"
    saved.parent.mkdir()
    saved.write_text("hf_saved\n")
    hf_home = {"HF_HOME": str(saved.parent)}
    assert settings(home, **hf_home).tokens == {"huggingface": "hf_saved"}
    assert settings(home, **hf_home).origins["tokens.huggingface"] == str(saved)
    assert settings(home, **hf_home, HUGGING_FACE_HUB_TOKEN="hf_old").tokens == {"huggingface": "hf_old"}
    both = settings(home, **hf_home, HUGGING_FACE_HUB_TOKEN="hf_old", HF_TOKEN="  hf_new\n")
    assert both.tokens == {"huggingface": "hf_new"}
    assert both.origins["tokens.huggingface"] == "HF_TOKEN"
    other = home / "elsewhere"
    other.write_text("hf_elsewhere")
    assert settings(home, **hf_home, HF_TOKEN_PATH=str(other)).tokens == {"huggingface": "hf_elsewhere"}


def test_modelscopes_token_is_read(home: Path) -> None:
    assert settings(home, MODELSCOPE_API_TOKEN="ms-abc").tokens == {"modelscope": "ms-abc"}


@pytest.mark.parametrize(
    "token", ["hf_two words", "hf_two\nlines", '"hf_quoted"', "'hf_quoted'", "hf_\x07bell", "hf_é"]
)
def test_a_wrongly_pasted_token_is_refused_and_not_shown(home: Path, token: str) -> None:
    with pytest.raises(ConfigError, match="`HF_TOKEN`") as caught:
        settings(home, HF_TOKEN=token)
    assert "hf_" not in caught.value.render()


def test_an_empty_token_is_no_token(home: Path) -> None:
    assert settings(home, HF_TOKEN="  \n").tokens == {}


def test_settings_never_show_a_token(home: Path) -> None:
    assert "hf_secret" not in repr(settings(home, HF_TOKEN="hf_secret"))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("20M", 20_000_000),
        ("20m", 20_000_000),
        ("20 MB", 20_000_000),
        ("1.5G", 1_500_000_000),
        ("512Ki", 524_288),
        ("2TiB", 2 * 1024**4),
    ],
)
def test_a_size_is_read_as_people_write_it(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "M", "20X", "-1M", "0", "0.1", "20i", "1e9", "20M/s"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)
