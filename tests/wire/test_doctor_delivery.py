"""Doctor asks where the bytes of files come from, over real sockets: a hub, its CDN, and one that is walled off."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from modelfetch.config.values import Endpoint, Sample, Settings
from modelfetch.diagnosis import Machine, Severity
from modelfetch.diagnosis.checks.delivery import check_delivery
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.delivery import Delivery, DeliveryFacts, read_delivery
from tests.simulator import FakeHub, Fault, RedirectTo

REPO = "Qwen/Qwen3-0.6B"
FILES = {REPO: {"config.json": b"{}", "model.safetensors": bytes(200_000)}}
# Far more than a loaded machine needs for one request on loopback.
AMPLE_S = 30.0


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """An address that is another host than the hub's, and takes connections without a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://localhost:{silent.getsockname()[1]}/x"


def asked(url: str, *, hub: str = "huggingface", repo: str = REPO, limit_s: float = AMPLE_S) -> DeliveryFacts:
    endpoint = Endpoint("it", hub, url, sends_token=True)
    samples = (Sample("huggingface", repo), Sample("modelscope", repo))
    settings = Settings(
        Path("a"), Path("b"), Path("c"), (endpoint,), samples=samples, tokens={hub: "hf_secretsecretsecret"}
    )
    return read_delivery(Machine(), settings, limit_s)


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_the_host_that_sends_the_bytes_is_told_and_sees_no_token(hub: str) -> None:
    with FakeHub(FILES) as fake:
        facts = asked(fake.url, hub=hub)
        requests = fake.requests
    assert facts == DeliveryFacts((Delivery("it", "127.0.0.1"),))
    assert requests
    assert all("authorization" not in {name.lower() for name in each.headers} for each in requests)
    (finding,) = check_delivery(Facts([facts]))
    assert (finding.severity, finding.title) == (Severity.OK, "it sends files from 127.0.0.1")
    assert finding.evidence["host"] == "127.0.0.1"


def test_an_endpoint_that_sends_files_itself_is_nothing_to_tell_of() -> None:
    with FakeHub({REPO: {"model.safetensors": b"too small for a CDN"}}) as fake:
        facts = asked(fake.url)
    assert facts == DeliveryFacts((Delivery("it", "127.0.0.1", is_its_own=True),))
    (finding,) = check_delivery(Facts([facts]))
    assert (finding.title, finding.evidence) == ("it sends files itself", {})


def test_a_host_that_is_silent_behind_a_hub_that_answers_is_a_warning_with_its_name(elsewhere: str) -> None:
    with FakeHub(FILES) as fake:
        fake.set_faults(Fault(RedirectTo(elsewhere), path="model.safetensors"))
        facts = asked(fake.url, limit_s=1.0)
    (finding,) = check_delivery(Facts([facts]))
    assert (finding.name, finding.severity) == ("net.delivery", Severity.WARNING)
    assert finding.title.startswith("it sends files from localhost, which does not give them (")


def test_a_file_that_the_endpoint_does_not_have_and_an_endpoint_that_is_not_there_say_nothing() -> None:
    with FakeHub(FILES) as fake, ExitStack() as gone:
        assert asked(fake.url, repo="no/such") == DeliveryFacts()
        gone.enter_context(FakeHub(FILES))
    assert asked(fake.url) == DeliveryFacts()


def test_xets_hosts_are_told_with_what_keeps_other_tools_away() -> None:
    walled = Delivery("huggingface", "cas-bridge.xethub.hf.co", "no connection")
    (finding,) = check_delivery(Facts([DeliveryFacts((walled,))]))
    assert "HF_HUB_DISABLE_XET=1" in finding.advice
