"""Which headers may go where, and which redirects may be followed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.http.firewall import Credential, headers_for, redirect_target
from modelfetch.planning.retry import FaultError, Kind

SECRET = {"Authorization": "Bearer hf_0123456789"}
HUB = Credential("https://huggingface.co", SECRET)


@pytest.mark.parametrize(
    "url",
    [
        "https://huggingface.co/api/models/a/b",
        "https://huggingface.co:443/x",
        "HTTPS://HuggingFace.CO/x",
        "https://user:pw@huggingface.co/x",
    ],
)
def test_a_credential_goes_to_its_own_origin(url: str) -> None:
    assert headers_for(url, {"Range": "bytes=0-1"}, HUB) == {"Range": "bytes=0-1", **SECRET}


@pytest.mark.parametrize(
    "url",
    [
        "https://hf-mirror.com/api/models/a/b",
        "https://cdn-lfs.huggingface.co/x",
        "https://huggingface.co.evil.com/x",
        "https://evil.com/huggingface.co",
        "https://evil.com/?https://huggingface.co",
        "https://evil.com/#https://huggingface.co",
        "https://huggingface.co@evil.com/x",
        "https://huggingface.co\\@evil.com/x",
        "https://huggingface.co:8443/x",
        "https://huggingface.co./x",
        "https://xhuggingface.co/x",
        "http://huggingface.co/x",
        "http://huggingface.co:443/x",
        "ftp://huggingface.co/x",
        "//huggingface.co/x",
        "/x",
        "",
    ],
)
def test_a_credential_goes_nowhere_else(url: str) -> None:
    assert headers_for(url, {"Range": "bytes=0-1"}, HUB) == {"Range": "bytes=0-1"}


@pytest.mark.parametrize(
    ("origin", "goes"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://hub.localhost", True),
        ("http://192.168.1.7:8000", False),
        ("http://hub.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("https://hub.example.com", True),
    ],
)
def test_a_credential_does_not_travel_over_plain_http_but_on_this_machine(origin: str, goes: bool) -> None:
    assert headers_for(f"{origin}/x", {}, Credential(origin, SECRET)) == (SECRET if goes else {})


def test_without_a_credential_the_headers_are_what_they_are_and_a_copy() -> None:
    headers = {"Range": "bytes=0-1"}
    sent = headers_for("https://huggingface.co/x", headers, None)
    assert sent == headers
    sent["more"] = "x"
    assert headers == {"Range": "bytes=0-1"}


def test_a_credential_is_not_shown() -> None:
    assert "hf_0123456789" not in repr(HUB)


@pytest.mark.parametrize(
    ("url", "location", "target"),
    [
        ("https://a.example/x/y", "https://b.example/z?q=1", "https://b.example/z?q=1"),
        ("https://a.example/x/y", "/z", "https://a.example/z"),
        ("https://a.example/x/y", "z", "https://a.example/x/z"),
        ("https://a.example/x/y", "../../z", "https://a.example/z"),
        ("https://a.example/x/y", "//b.example/z", "https://b.example/z"),
        ("https://a.example/x/y", "?q=1", "https://a.example/x/y?q=1"),
        ("http://a.example/x", "https://b.example/z", "https://b.example/z"),
        ("http://a.example/x", "http://b.example:8080/z", "http://b.example:8080/z"),
        ("https://a.example/x", "HTTPS://b.example/z", "https://b.example/z"),
        ("http://a.example/x", "HTTPS://b.example/z", "HTTPS://b.example/z"),
        ("https://a.example/x", "https://b.example/z z?a=%20+b", "https://b.example/z%20z?a=%20+b"),
        ("https://a.example/x", "/模".encode().decode("latin-1"), "https://a.example/%E6%A8%A1"),
    ],
)
def test_a_redirect_to_http_or_https_is_followed(url: str, location: str, target: str) -> None:
    assert redirect_target(url, location) == target


@pytest.mark.parametrize(
    ("url", "location", "why"),
    [
        ("https://a.example/x", None, "no Location"),
        ("https://a.example/x", "", "no Location"),
        ("https://a.example/x", "ftp://" + "-" * 60000, "60006 characters"),
        ("https://a.example/x", "file:///etc/passwd", "leads to"),
        ("https://a.example/x", "ftp://b.example/z", "leads to"),
        ("https://a.example/x", "javascript:alert(1)", "leads to"),
        ("https://a.example/x", "data:text/plain,x", "leads to"),
        ("http://a.example/x", "https://", "leads to"),
        ("http://a.example/x", "https:///z", "leads to"),
        ("http://a.example/x", "https:\\\\b.example\\z", "leads to"),
        ("https://a.example/x", "https://user@b.example/z", "leads to"),
        ("https://a.example/x", "https://user:hunter2@b.example/z", "leads to"),
        ("https://a.example/x", "//user:hunter2@b.example/z", "leads to"),
        ("https://a.example/x", "https://b.example:port/z", "malformed"),
        ("https://a.example/x", "https://b.example:99999/z", "malformed"),
        ("https://a.example/x", "https://[b.example/z", "malformed"),
        ("https://a.example/x", "http://b.example/\r\nX-Evil: 1", "control characters"),
        ("http://a.example/x", "https://b.example/\r\nX-Evil: 1", "control characters"),
        ("http://a.example/x", "https://b.example/\x00", "control characters"),
        ("http://a.example/x", "https://b.example/\x7f", "control characters"),
        ("https://a.example/x", "http://b.example/z", "steps down"),
        ("https://a.example/x", "http://a.example/x", "steps down"),
        ("https://a.example/x", "http://127.0.0.1/z", "steps down"),
    ],
)
def test_any_other_redirect_is_a_fault_that_names_no_secret(url: str, location: str | None, why: str) -> None:
    with pytest.raises(FaultError) as refused:
        redirect_target(url, location)
    assert refused.value.fault.kind is Kind.REDIRECT
    assert why in refused.value.fault.detail
    assert "hunter2" not in str(refused.value)


@given(st.text(max_size=80))
def test_no_location_leads_past_the_rules(location: str) -> None:
    for prefix in ("", "https://", "http://", "//", "https://b.example/"):
        try:
            target = redirect_target("https://a.example/x", prefix + location)
        except FaultError:
            continue
        assert target.lower().startswith("https://")
        assert not any(character <= " " or character == "\x7f" for character in target)
