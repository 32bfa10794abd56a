"""`modelfetch config` and `modelfetch mirrors`: what they print, and what they never print."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelfetch.cli import run


def output(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def test_config_shows_every_value_with_its_origin(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELFETCH_LIMIT_RATE", "20M")
    lines = {line.split()[0]: line for line in output(["config"], capsys).splitlines()}
    assert lines["limit_rate"].split() == ["limit_rate", "20.0", "MB/s", "MODELFETCH_LIMIT_RATE"]
    assert lines["offline"].split() == ["offline", "no", "default"]
    assert lines["endpoints.hf-mirror"].endswith("built-in")
    assert lines["indexes.pypi"].split() == ["indexes.pypi", "https://pypi.org/simple", "built-in"]
    assert lines["samples.modelscope"].endswith("built-in")
    assert lines["mirrors.yaml"].endswith("not there")


def test_config_says_of_an_endpoint_what_is_not_as_usual(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {line.split()[0]: line.split(None, 1)[1] for line in output(["config"], capsys).splitlines()}
    assert lines["endpoints.huggingface"].startswith("https://huggingface.co (gets the token)  ")
    assert lines["endpoints.hf-mirror"].startswith("https://hf-mirror.com (cn, 4 connections)  ")
    assert lines["endpoints.modelscope-ai"].startswith("https://www.modelscope.ai  ")


def test_config_shows_proxies_with_their_variables_and_no_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@proxy.example:3128")
    monkeypatch.setenv("all_proxy", "me:hunter2@socks.example:1080")
    monkeypatch.setenv("NO_PROXY", "localhost,.example.com")
    lines = {line.split()[0]: line.split()[1:] for line in output(["config"], capsys).splitlines()}
    assert lines["proxies.https"] == ["http://proxy.example:3128", "HTTPS_PROXY"]
    assert lines["proxies.all"] == ["socks.example:1080", "all_proxy"]
    assert lines["proxies.none_for"] == ["localhost,.example.com", "NO_PROXY"]
    assert lines["proxies.http"] == ["not", "set", "default"]
    assert "hunter2" not in output(["config", "--json"], capsys)


def test_config_says_which_variable_named_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text("version: 1\n")
    monkeypatch.setenv("MODELFETCH_CONFIG", str(tmp_path / "mine.yaml"))
    *_, path, origin, state = output(["config"], capsys).splitlines()[-1].split()
    assert (path, origin, state) == (str(tmp_path / "mine.yaml"), "MODELFETCH_CONFIG,", "read")
    assert json.loads(output(["config", "--json"], capsys))["user_file"]["origin"] == "MODELFETCH_CONFIG"


@pytest.mark.parametrize("arguments", [["config"], ["config", "--json"], ["mirrors"], ["mirrors", "list", "--json"]])
def test_no_command_shows_a_token(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    assert "secretsecret" not in output(arguments, capsys)


def test_config_says_that_a_token_is_set_and_from_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    settings = json.loads(output(["config", "--json"], capsys))["settings"]
    assert settings["tokens.huggingface"] == {"value": "set", "origin": "HF_TOKEN"}
    assert settings["tokens.modelscope"] == {"value": None, "origin": "default"}


@pytest.mark.parametrize("arguments", [["mirrors", "--json"], ["mirrors", "list", "--json"]])
def test_mirrors_lists_the_endpoints_with_or_without_the_word_list(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    entries = json.loads(output(arguments, capsys))
    assert entries[1] == {
        "name": "hf-mirror",
        "hub": "huggingface",
        "url": "https://hf-mirror.com",
        "region": "cn",
        "connections": 4,
        "sends_token": False,
        "origin": "built-in",
        "seconds_per_gb": None,
        "seen_at": None,
    }


def test_mirrors_says_of_an_endpoint_that_was_never_tried_from_here_that_it_was_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = output(["mirrors"], capsys).splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["huggingface", "hf-mirror", "modelscope", "modelscope-ai"]
    assert set(lines[1::2]) == {"  not tried from here"}
    assert max(map(len, lines)) <= 80


def test_mirrors_says_where_an_entry_of_ones_own_is_from(
    own_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = own_environment / ".config" / "modelfetch" / "mirrors.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("version: 1\nendpoints:\n  lab:\n    hub: huggingface\n    url: https://lab.example\n")
    assert output(["mirrors"], capsys).splitlines()[-1] == f"  from {file}:3"


def test_a_broken_mirrors_yaml_ends_with_status_3_and_names_the_place(
    own_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = own_environment / ".config" / "modelfetch" / "mirrors.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("version: 1\nendpoints:\n  lab:\n    hubb: huggingface\n")
    assert run(["mirrors"]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"`{file}` line 4 cannot be used" in printed.err
    assert "endpoints.lab.hubb" in printed.err
