"""What of the user's environment a hub's own client sees."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelfetch.sdk.environment import child_environment

HOME = Path("/store/partial-v1/sdk-0/home")


def environment(**given: str) -> dict[str, str]:
    return child_environment(given, home=HOME, endpoint_url="https://hub.example")


@pytest.mark.parametrize(
    "name",
    [
        *("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "MODELSCOPE_API_TOKEN", "AWS_SECRET_ACCESS_KEY"),
        *("HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_DEBUG", "HUGGINGFACE_CO_STAGING", "MODELSCOPE_DOMAIN"),
    ],
)
def test_what_could_be_a_secret_or_change_what_it_does_stays_outside(name: str) -> None:
    assert "given" not in environment(**{name: "given"}).values()


@pytest.mark.parametrize("name", ["HF_HUB_DISABLE_TELEMETRY", "HF_XET_TELEMETRY_ENABLED", "DO_NOT_TRACK"])
def test_telemetry_is_off_whatever_the_user_has_set(name: str) -> None:
    assert environment()[name] == environment(**{name: "given"})[name]
    assert environment()["HF_XET_TELEMETRY_ENABLED"] == "0"
    assert environment()["DO_NOT_TRACK"] == "1"


def test_it_uses_no_token_that_it_was_not_given() -> None:
    assert environment(HF_HUB_DISABLE_IMPLICIT_TOKEN="0")["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"


@pytest.mark.parametrize("name", ["HOME", "XDG_CACHE_HOME", "HF_HOME", "MODELSCOPE_HOME", "MODELSCOPE_CACHE"])
def test_it_lives_in_the_scratch_folder(name: str) -> None:
    assert Path(environment(**{name: "/root"})[name]).is_relative_to(HOME)


@pytest.mark.parametrize("name", ["HF_ENDPOINT", "MODELSCOPE_ENDPOINT"])
def test_it_knows_no_other_hub_than_the_endpoint(name: str) -> None:
    assert environment(**{name: "https://elsewhere.example"})[name] == "https://hub.example"


@pytest.mark.parametrize("name", ["PATH", "https_proxy", "NO_PROXY", "SSL_CERT_FILE", "HF_HUB_DISABLE_XET"])
def test_the_way_to_the_network_and_the_clients_own_tuning_are_kept(name: str) -> None:
    assert environment(**{name: "given"})[name] == "given"


def test_its_patience_is_short_unless_the_user_says_otherwise() -> None:
    assert environment()["HF_XET_CLIENT_READ_TIMEOUT"] == "30s"
    assert environment(HF_XET_CLIENT_READ_TIMEOUT="5s")["HF_XET_CLIENT_READ_TIMEOUT"] == "5s"
