"""Settings, tokens, proxies, endpoints and the clock."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.config.values import Settings
from modelfetch.diagnosis import Finding, Severity
from modelfetch.diagnosis.checks.network import check_clock, check_endpoints, check_token
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.endpoints import EndpointAnswer, EndpointFacts
from modelfetch.diagnosis.probes.token import TokenAnswer, TokenFacts
from modelfetch.diagnosis.silence import Failure, why_silent
from modelfetch.planning.retry import Kind
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_settings_that_cannot_be_read_are_the_cause_and_the_rest_is_still_told(fake: FakeMachine) -> None:
    file = fake.home / "config/modelfetch/mirrors.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("version: 3\n")
    findings = found(fake, "settings", "disk")
    assert errors(findings) == {"config.broken"}
    assert findings["config.broken"].evidence["key"] == "version"
    assert "store" in findings


def test_a_token_is_told_by_where_it_is_from_and_goes_and_never_shown(fake: FakeMachine) -> None:
    findings = found(fake, "tokens", HF_TOKEN="hf_secretsecret", MODELSCOPE_API_TOKEN="ms-secretsecret")
    assert "secretsecret" not in repr(findings)
    unused = found(fake, "tokens", HF_TOKEN="hf_secretsecret", HF_ENDPOINT="https://hf-mirror.com")
    assert unused["id.token-unused"].title == "the huggingface token (HF_TOKEN) goes nowhere"


def test_a_saved_token_that_differs_or_that_others_can_read_is_a_warning(fake: FakeMachine) -> None:
    saved = fake.home / "cache/huggingface/token"
    saved.parent.mkdir(parents=True)
    saved.write_text("hf_saved")
    saved.chmod(stat.S_IRUSR | stat.S_IROTH)
    findings = found(fake, "tokens", HF_TOKEN="hf_other")
    assert findings["id.token-mode"].fix == (f'chmod 600 "{saved}"',)
    assert "id.token" in findings
    saved.chmod(stat.S_IRUSR)
    assert set(found(fake, "tokens")) == {"tokens"}


def test_variables_that_surprise_are_told(fake: FakeMachine) -> None:
    findings = found(
        fake,
        "settings",
        HF_HUB_OFFLINE="1",
        HF_ENDPOINT="https://hf-mirror.com",
        HF_HUB_ENABLE_HF_TRANSFER="1",
        SSL_CERT_FILE="/nowhere/ca.pem",
        https_proxy="http://me:hunter2@a.example:1",
        HTTPS_PROXY="http://b.example:2",
        ALL_PROXY="socks5://c.example:3",
    )
    severities = {name: finding.severity for name, finding in findings.items()}
    assert severities["id.offline"] is Severity.WARNING
    assert findings["id.offline"].fix == ("unset HF_HUB_OFFLINE",)
    assert severities["id.endpoint"] is Severity.INFO
    assert severities["hf_transfer"] is Severity.INFO
    assert errors(findings) == {"net.ca"}
    assert findings["id.endpoint"].title == "HF_ENDPOINT takes Hugging Face's models from https://hf-mirror.com"
    assert "hunter2" not in repr(findings)


def test_without_any_variable_nothing_surprises(fake: FakeMachine) -> None:
    assert set(found(fake, "settings")) == {"config", "offline", "variables", "tokens", "proxy", "index-settings"}


def test_two_spellings_of_a_proxy_that_differ_are_a_warning_and_one_proxy_information(fake: FakeMachine) -> None:
    same = found(fake, "proxy", https_proxy="http://a.example:1", HTTPS_PROXY="http://a.example:1")
    assert same["net.proxy"].severity is Severity.INFO
    other = found(fake, "proxy", https_proxy="http://a.example:1", HTTPS_PROXY="http://b.example:1")
    assert other["net.proxy"].severity is Severity.WARNING
    small = found(fake, "proxy", all_proxy="socks5://me:hunter2@c.example:3")
    assert small["net.proxy"].title == "ALL_PROXY sends everything through socks5://c.example:3"


def answer(
    name: str, *, hub: str = "huggingface", problem: str | None = None, skew: float | None = 0
) -> EndpointAnswer:
    return EndpointAnswer(name, hub, problem, seconds=0.05, skew_s=skew)


def test_an_endpoint_that_is_silent_while_a_mirror_answers_is_information() -> None:
    facts = Facts(
        [load({}), EndpointFacts((answer("huggingface", problem="no answer within 3 s"), answer("hf-mirror")))]
    )
    assert [finding.severity for finding in check_endpoints(facts)] == [Severity.INFO, Severity.OK]


def test_a_hub_without_an_answering_endpoint_is_a_warning_and_no_answer_at_all_an_error() -> None:
    silent = answer("huggingface", problem="no answer within 3 s")
    facts = Facts([load({}), EndpointFacts((silent, answer("modelscope", hub="modelscope")))])
    assert [finding.severity for finding in check_endpoints(facts)] == [Severity.WARNING, Severity.OK]
    (finding,) = check_endpoints(Facts([EndpointFacts((silent,))]))
    assert (finding.severity, finding.effect) == (Severity.ERROR, "nothing can be downloaded")
    assert finding.title == "no endpoint answers: no answer within 3 s"
    both = EndpointFacts((silent, answer("hf-mirror", problem="the name does not resolve")))
    (finding,) = check_endpoints(Facts([both]))
    assert finding.title == "no endpoint answers: huggingface: no answer within 3 s"
    (finding,) = check_endpoints(Facts([EndpointFacts(())]))
    assert finding.title == "no endpoint is configured"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.DNS, "net.dns"),
        (Kind.PROXY, "net.proxy-refuses"),
        (Kind.TLS, "net.tls"),
        (Kind.PORTAL, "net.portal"),
        (Kind.STALL, "net.endpoint"),
        (None, "net.endpoint"),
    ],
)
def test_what_keeps_every_endpoint_away_is_named_when_it_is_one_thing(kind: Kind | None, name: str) -> None:
    silent = EndpointAnswer("huggingface", "huggingface", "it fails", 3.0, kind=kind)
    (finding,) = check_endpoints(Facts([EndpointFacts((silent, replace(silent, name="hf-mirror")))]))
    assert (finding.name, finding.severity) == (name, Severity.ERROR)
    (mixed,) = check_endpoints(Facts([EndpointFacts((silent, replace(silent, kind=Kind.CUT)))]))
    assert mixed.name == "net.endpoint"


@pytest.mark.parametrize(
    ("kind", "words", "title", "fix"),
    [
        (
            Kind.PROXY,
            "it answered 'HTTP/1.1 407 X' to CONNECT",
            "wants a name and a password",
            "export HTTPS_PROXY=http:",
        ),
        (Kind.PROXY, "it answered 'HTTP/1.1 403 X' to CONNECT", "the proxy forbids", "unset HTTPS_PROXY"),
        (Kind.PROXY, "Connection refused", "the proxy lets no endpoint through", "unset HTTPS_PROXY"),
        (Kind.TLS, "certificate has expired", "at this machine's time", "sudo timedatectl set-ntp true"),
        (Kind.TLS, "certificate is not yet valid", "at this machine's time", "sudo timedatectl set-ntp true"),
        (Kind.TLS, "Hostname mismatch", "in the place of every endpoint", None),
        (Kind.TLS, "what answers there speaks no TLS", "in the place of every endpoint", None),
        (Kind.TLS, "unable to get local issuer certificate", "is accepted", "sudo cp COMPANY.crt"),
        (Kind.REDIRECT, "steps down to plain http at 10.0.0.1", "in the place of every endpoint", None),
        (Kind.CONNECT, "Connection reset by peer", "every connection to an endpoint is cut", "export HTTPS_PROXY="),
        (Kind.CONNECT, "Connection refused", "no endpoint answers", None),
    ],
)
def test_the_one_reason_in_all_the_failures_gets_its_own_command(
    kind: Kind, words: str, title: str, fix: str | None
) -> None:
    cause = why_silent([Failure(kind, f"a.example: {words}"), Failure(kind, f"b.example: {words}")])
    assert title in cause.title
    assert cause.fix[0].startswith(fix) if fix else cause.fix == ()
    mixed = why_silent([Failure(kind, words), Failure(Kind.STALL, words)])
    assert mixed.title == "no endpoint answers"


def test_an_endpoint_of_a_variable_that_is_silent_is_told_by_its_variable() -> None:
    silent = answer("hf-miror.com", problem="the name does not resolve")
    settings = replace(load({}), origins={"endpoints.hf-miror.com": "HF_ENDPOINT"})
    finding, _ = check_endpoints(Facts([settings, EndpointFacts((silent, answer("modelscope", hub="modelscope")))]))
    assert finding.fix == ("unset HF_ENDPOINT",)
    assert finding.title.endswith("and HF_ENDPOINT names no other")


@pytest.mark.parametrize(
    ("url", "severity"),
    [
        ("http://hf-mirror.com", Severity.WARNING),
        ("http://203.0.114.7:8080", Severity.WARNING),
        ("https://hf-mirror.com", Severity.INFO),
        ("http://127.0.0.1:8000", Severity.INFO),
        ("http://10.1.2.3", Severity.INFO),
        ("http://hub.lan", Severity.INFO),
        ("http://hub:8000", Severity.INFO),
    ],
)
def test_an_endpoint_over_plain_http_is_a_warning_where_the_way_is_not_ones_own(
    fake: FakeMachine, url: str, severity: Severity
) -> None:
    finding = found(fake, "variables", HF_ENDPOINT=url)["id.endpoint"]
    assert finding.severity is severity
    assert finding.fix == ((f"export HF_ENDPOINT=https{url[4:]}",) if severity is Severity.WARNING else ())


def test_a_token_in_a_variable_that_nothing_reads_is_a_warning_unless_there_is_another(fake: FakeMachine) -> None:
    finding = found(fake, "tokens", HUGGINGFACE_TOKEN="hf_secretsecret")["id.token-unread"]
    assert finding.fix == ('export HF_TOKEN="$HUGGINGFACE_TOKEN"',)
    assert "secretsecret" not in repr(finding)
    assert "id.token-unread" not in found(fake, "tokens", HUGGINGFACE_TOKEN="hf_a", HF_TOKEN="hf_b")
    assert "id.token-unread" in found(fake, "tokens", MODELSCOPE_TOKEN="ms-a", HF_TOKEN="hf_b")


def test_what_keeps_only_other_programs_offline_is_information(fake: FakeMachine) -> None:
    finding = found(fake, "offline", TRANSFORMERS_OFFLINE="1")["id.offline"]
    assert finding.severity is Severity.INFO


def test_a_file_of_certificates_that_holds_none_is_told(fake: FakeMachine) -> None:
    file = fake.write("ca.pem", "not a certificate\n")
    finding = found(fake, "proxy", SSL_CERT_FILE=str(file))["net.ca"]
    assert finding.title == f"SSL_CERT_FILE names `{file}`, which holds no certificate"
    file.write_text("-----BEGIN CERTIFICATE-----\n")
    assert "net.ca" not in found(fake, "proxy", SSL_CERT_FILE=str(file), SSL_CERT_DIR=str(file.parent))
    unreachable = found(fake, "proxy", SSL_CERT_FILE="/" + "x" * 300)["net.ca"]
    assert "which cannot be read" in unreachable.title


@pytest.mark.parametrize(
    ("hub", "variable", "fix"),
    [
        ("huggingface", "HF_TOKEN", "hf auth login"),
        ("modelscope", "MODELSCOPE_API_TOKEN", "export MODELSCOPE_API_TOKEN=TOKEN"),
    ],
)
def test_a_token_that_its_hub_does_not_know_is_a_warning_and_one_nobody_was_asked_about_is_none(
    hub: str, variable: str, fix: str
) -> None:
    settings = Settings(Path("a"), Path("b"), Path("c"), (), origins={f"tokens.{hub}": variable})

    def told(is_valid: bool | None) -> list[Finding]:
        return check_token(Facts([settings, TokenFacts((TokenAnswer(hub, "https://hub.example", is_valid),))]))

    (finding,) = told(False)
    assert (finding.name, finding.severity, finding.fix) == ("id.token-invalid", Severity.WARNING, (fix,))
    assert finding.title.startswith(f"https://hub.example does not know the token of {variable}:")
    assert [(each.name, each.severity) for each in told(True)] == [("token", Severity.OK)]
    assert told(None) == []


def test_the_clock_is_wrong_only_when_every_endpoint_says_so() -> None:
    (finding,) = check_clock(Facts([EndpointFacts((answer("a", skew=4000), answer("b", skew=0)))]))
    assert finding.severity is Severity.OK
    (finding,) = check_clock(Facts([EndpointFacts((answer("a", skew=4000), answer("b", skew=3990)))]))
    assert finding.title == "this machine's clock is 66 minutes slow"
    assert finding.severity is Severity.ERROR
    (finding,) = check_clock(Facts([EndpointFacts((answer("a", skew=-4000),))]))
    assert finding.title == "this machine's clock is 67 minutes fast"
    (finding,) = check_clock(Facts([EndpointFacts((answer("a", skew=None),))]))
    assert finding.severity is Severity.OK
