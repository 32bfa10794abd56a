"""A token goes to its own hub's origin and nowhere else."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from modelfetch import cli
from modelfetch.errors import GatedError
from tests.pulling import MIB, REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub, Fault, RedirectTo

TOKEN = "hf_secretsecretsecretsecret"
MS_TOKEN = "ms-0123456789abcdef0123456789"
FILES = {"config.json": b"{}", "model.safetensors": noise(9 * MIB, seed=4)}


def shown(hub: FakeHub, origin: str) -> set[str]:
    """The credentials that this origin of the hub was shown."""
    found = set()
    for request in hub.requests:
        if request.origin == origin:
            found |= {request.headers.get("authorization"), request.headers.get("cookie")}
    return {value for value in found if value}


@pytest.mark.parametrize(("hub_name", "token"), [("huggingface", TOKEN), ("modelscope", MS_TOKEN)])
def test_the_hub_sees_its_token_and_its_cdn_does_not(hub_name: str, token: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, token=token, gated=frozenset({REPO})) as hub:
        given = settings(
            tmp_path,
            endpoint(hub.url, hub_name, sends_token=True),
            tokens={"huggingface": TOKEN, "modelscope": MS_TOKEN},
        )
        assert contents(pull(given)) == FILES
        assert all(token in value for value in shown(hub, "hub"))
        assert shown(hub, "hub")
        assert shown(hub, "cdn") == set()
        assert any(request.origin == "cdn" for request in hub.requests)


def test_a_mirror_does_not_see_the_token(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub, FakeHub({REPO: FILES}) as mirror:
        given = settings(
            tmp_path,
            endpoint(hub.url, sends_token=True, name="hub"),
            endpoint(mirror.url, name="mirror"),
            tokens={"huggingface": TOKEN},
        )
        pull(given)
        assert shown(hub, "hub")
        assert shown(mirror, "hub") == set()


def test_a_redirect_to_another_host_does_not_take_the_token_along(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub, FakeHub({REPO: FILES}) as thief:
        hub.set_faults(
            Fault(RedirectTo(f"{thief.url}/{REPO}/resolve/main/config.json"), "config.json", phase="data", times=None)
        )
        given = settings(tmp_path, endpoint(hub.url, sends_token=True), tokens={"huggingface": TOKEN})
        assert contents(pull(given)) == FILES
        assert thief.requests
        assert shown(thief, "hub") == set()


def test_an_endpoint_of_ones_own_gets_the_token_when_it_is_named(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, token=TOKEN, gated=frozenset({REPO})) as hub:
        given = settings(tmp_path, endpoint(hub.url), tokens={"huggingface": TOKEN})
        with pytest.raises(GatedError) as raised:
            pull(given)
        assert hub.url in str(raised.value.hint)
        assert contents(pull(given, send_tokens_to=(hub.url,))) == FILES


def test_no_output_of_a_failing_pull_holds_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub({REPO: FILES}, token="hf_anothertokenaltogether", gated=frozenset({REPO})) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = cli.run(["pull", REPO, "--source", "hf", "--send-token-to", hub.url, "-v", "--json"])
        assert status == 5
        assert TOKEN not in out.getvalue() + err.getvalue()
        assert any(TOKEN in str(request.headers) for request in hub.requests)
