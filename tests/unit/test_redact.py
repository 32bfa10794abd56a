"""What may be shown: never a token, a password or a signature, and everything else as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.redact import redact, redact_url

TOKENS = [
    "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
    "hf_oauth_eyJhbGciOiJIUzI1NiJ9",
    "ms-8f1d6b2e-12ab-34cd-56ef-0123456789ab",
    "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hub.example/a/b?x=1#part", "https://hub.example/a/b?x=1"),
        ("https://user:hunter2@hub.example:8443/a", "https://hub.example:8443/a"),
        ("https://hunter2@hub.example/", "https://hub.example/"),
        ("https://user:p@ss:w@rd@hub.example/", "https://hub.example/"),
        ("//user:hunter2@cdn.example/x", "//cdn.example/x"),
        ("https://cdn.example/f?X-Amz-Signature=abc&X-Amz-Date=1", "https://cdn.example/f?[redacted]"),
        ("https://cdn.example/f?Expires=1&Policy=p&Key-Pair-Id=k", "https://cdn.example/f?[redacted]"),
        ("https://oss.example/f?OSSAccessKeyId=abc", "https://oss.example/f?[redacted]"),
        ("https://blob.example/f?se=1&%73ig=abc", "https://blob.example/f?[redacted]"),
        ("https://hub.example/f?access_token", "https://hub.example/f?[redacted]"),
        ("https://hub.example/f?Revision=main&FilePath=a%2Ftoken.json", None),
        ("http://[::1]:8080/x", None),
        ("user:hunter2@proxy.example:3128", "proxy.example:3128"),
        ("proxy.example:3128", None),
        ("https://[broken/x", "[redacted]"),
        ("http://user:hun/ter2@proxy.example:3128", "[redacted]"),
        ("http://user:hun#ter2@proxy.example:3128", "[redacted]"),
        ("not a url", None),
        ("", None),
    ],
)
def test_a_url_is_shown_without_what_opens_doors(url: str, shown: str | None) -> None:
    assert redact_url(url) == (url if shown is None else shown)


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize(
    "around", ["{}", "'{}'", "token={}", "Authorization: Bearer {}", "https://h/a?b={}", "x {}, y"]
)
def test_a_token_is_found_by_its_prefix_wherever_it_stands(token: str, around: str) -> None:
    assert token not in redact(around.format(token))


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.def",
        "authorization: bearer abc.def",
        "Cookie: m_session_id=abc.def; x=1",
        "via http://user:abc.def@proxy:3128 failed",
        "via http://user:abc'abc.def@proxy:3128 failed",
        'via http://user:abc"abc.def@proxy:3128 failed',
        "via http://us`er:abc.def@proxy:3128 failed",
        "via socks5h://user:abc.def@proxy:1080 failed",
        "HTTPS_PROXY=user:abc.def@proxy.example:3128",
        "`user:abc.def@10.0.0.1:3128` is no proxy",
        "user:abc:abc.def@[::1]:3128",
        "Location: https://cdn/x?Signature=abc.def&y=1",
    ],
)
def test_a_secret_in_a_text_is_not_shown(text: str) -> None:
    assert "abc.def" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "`cross-encoder/ms-marco-MiniLM-L6-v2` is not at `hf-mirror.com`",
        "pulled sentence-transformers/ms-marco-distilbert-base-v4",
        "hf:Qwen/Qwen3-0.6B@v1.0:Q4_K_M",
        "ms://Qwen/Qwen3-0.6B@refs/pr/1",
        "see https://huggingface.co/Qwen/Qwen3-0.6B, then go on",
        "12:30:01 https://hub.example/a/b?Revision=main 206",
        "models come from http://127.0.0.1:8080; data from http://[::1]:8080, or (http://[::1]).",
        "someone@example.com wrote",
        "C:/models and D:/models",
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(text: str) -> None:
    assert redact(text) == text


def test_every_url_of_a_text_is_cut_down_and_what_stands_between_stays() -> None:
    text = "from 'https://u:p@a.example/x?sig=1' to <https://b.example/y?z=1>, twice"
    assert redact(text) == "from 'https://a.example/x?[redacted]' to <https://b.example/y?z=1>, twice"


@given(st.text(max_size=200))
def test_no_text_can_break_it(text: str) -> None:
    redact(text)
    redact_url(text)


@given(st.text(st.characters(codec="ascii", exclude_characters="/?# \t\r\n\x0b\x0c\x1c\x1d\x1e\x1f"), min_size=8))
def test_no_password_survives_in_a_url(password: str) -> None:
    shown = redact(f"proxy http://someone:{password}@proxy.example:3128/x answered 407")
    assert shown == "proxy http://proxy.example:3128/x answered 407"


def test_a_long_text_is_not_searched_from_each_of_its_letters() -> None:
    text = "a" * 3_000_000
    assert redact(text) == text
    assert redact("x" * 40 + "https://u:p@h.example/?token=1") == "x" * 40 + "https://h.example/?[redacted]"
