"""The rules at the head of `config.endpoints` and `config.urls`: what the options choose, and where a token may go."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelfetch.config import Settings, choose, is_loopback, may_carry_token, send_tokens_to, with_endpoints
from modelfetch.config.values import Endpoint
from modelfetch.errors import UsageError

HUGGINGFACE = Endpoint("huggingface", "huggingface", "https://huggingface.co", sends_token=True)
MIRROR = Endpoint("hf-mirror", "huggingface", "https://hf-mirror.com", connections=4)
MODELSCOPE = Endpoint("modelscope", "modelscope", "https://modelscope.cn", sends_token=True)
SETTINGS = Settings(Path("home"), Path("hf"), Path("ms"), endpoints=(HUGGINGFACE, MIRROR, MODELSCOPE))


@pytest.mark.parametrize(
    ("source", "chosen"),
    [
        ("auto", (HUGGINGFACE, MIRROR, MODELSCOPE)),
        (None, (HUGGINGFACE, MIRROR, MODELSCOPE)),
        ("huggingface", (HUGGINGFACE, MIRROR)),
        ("hf", (HUGGINGFACE, MIRROR)),
        ("modelscope", (MODELSCOPE,)),
        ("ms", (MODELSCOPE,)),
        ("hf-mirror", (MIRROR,)),
    ],
)
def test_a_source_is_all_of_them_a_dialect_or_one_endpoint(source: str | None, chosen: tuple[Endpoint, ...]) -> None:
    assert choose(SETTINGS, source) == chosen


def test_an_unknown_source_is_refused_with_every_word_that_is_understood() -> None:
    with pytest.raises(UsageError) as caught:
        choose(SETTINGS, "hugging")
    assert str(caught.value.facts["expected"]) == "one of `auto`, `huggingface`, `hf`, `hf-mirror`, `modelscope`, `ms`"


def test_no_endpoint_named_leaves_the_settings_as_they_are() -> None:
    assert with_endpoints(SETTINGS, ()) is SETTINGS


def test_named_endpoints_are_the_only_ones_in_their_order() -> None:
    assert with_endpoints(SETTINGS, ("modelscope", "hf-mirror")).endpoints == (MODELSCOPE, MIRROR)


def test_a_url_that_is_known_is_the_known_endpoint() -> None:
    assert with_endpoints(SETTINGS, ("https://HF-mirror.com/",)).endpoints == (MIRROR,)


def test_an_unknown_url_speaks_each_dialect_until_the_hub_is_given() -> None:
    url = "http://127.0.0.1:8080/x"
    both = with_endpoints(SETTINGS, (url,)).endpoints
    assert [(endpoint.name, endpoint.hub, endpoint.sends_token) for endpoint in both] == [
        ("127.0.0.1:8080-hf", "huggingface", False),
        ("127.0.0.1:8080-ms", "modelscope", False),
    ]
    one = with_endpoints(SETTINGS, (url,), hub="modelscope").endpoints
    assert [(endpoint.name, endpoint.hub) for endpoint in one] == [("127.0.0.1:8080", "modelscope")]


def test_a_url_under_a_trusted_origin_gets_the_token_of_that_hub_only() -> None:
    both = with_endpoints(SETTINGS, ("https://huggingface.co/base",)).endpoints
    assert {endpoint.hub: endpoint.sends_token for endpoint in both} == {"huggingface": True, "modelscope": False}


@pytest.mark.parametrize("word", ["127.0.0.1:8090", "box:8090"])
def test_an_address_without_its_scheme_is_told_how_to_write_it(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_endpoints(SETTINGS, (word,))
    assert caught.value.hint == f"--endpoint http://{word}"


def test_names_stay_unique() -> None:
    urls = [f"http://127.0.0.1:8080/{number}" for number in range(4)]
    names = [endpoint.name for endpoint in with_endpoints(SETTINGS, urls, hub="huggingface").endpoints]
    assert len(set(names)) == len(names) == 4


@pytest.mark.parametrize("word", ["hf_mirror", "https://u:hunter2@a.example", "file:///etc", "https://a.example/?x=1"])
def test_what_is_no_endpoint_is_refused_without_its_secrets(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_endpoints(SETTINGS, (word,))
    assert "hunter2" not in caught.value.render()


def test_a_token_is_sent_to_the_origin_that_is_named_and_to_no_other() -> None:
    stranger = Endpoint("lab", "huggingface", "https://lab.example.com/hf")
    settings = with_endpoints(SETTINGS, ("hf-mirror", stranger.url), hub="huggingface")
    allowed = send_tokens_to(settings, ("https://LAB.example.com:443/",))
    assert [endpoint.sends_token for endpoint in allowed.endpoints] == [False, True]
    assert [endpoint.sends_token for endpoint in settings.endpoints] == [False, False]


def test_an_endpoint_that_is_named_twice_is_used_once() -> None:
    assert with_endpoints(SETTINGS, ("hf-mirror", "https://hf-mirror.com")).endpoints == (MIRROR,)


@pytest.mark.parametrize("origin", ["https://other.example", "hf-mirror.com", "http://10.0.0.5"])
def test_a_token_is_not_sent_to_strangers_names_or_over_plain_http(origin: str) -> None:
    local = with_endpoints(SETTINGS, ("hf-mirror", "http://10.0.0.5"))
    with pytest.raises(UsageError):
        send_tokens_to(local, (origin,))


@pytest.mark.parametrize(
    ("url", "loopback", "carries"),
    [
        ("http://127.0.0.1:80", True, True),
        ("http://127.8.9.1", True, True),
        ("http://[::1]:80", True, True),
        ("http://localhost", True, True),
        ("http://a.localhost", True, True),
        ("http://127.0.0.1.example.com", False, False),
        ("http://10.0.0.1", False, False),
        ("https://10.0.0.1", False, True),
    ],
)
def test_only_https_and_this_machine_may_carry_a_token(url: str, *, loopback: bool, carries: bool) -> None:
    assert (is_loopback(url), may_carry_token(url)) == (loopback, carries)
