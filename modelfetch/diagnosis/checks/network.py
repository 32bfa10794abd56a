"""Endpoints and the clock.

- An endpoint that does not answer is information while another of its hub does, a warning otherwise, and an error when
  none at all answers.
- IPv6 that is announced and silent is a warning; one that is refused at once costs nothing and is none.
- The clock is wrong only when every endpoint says so: a single server may be the one that is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.addresses import AddressFacts
from modelfetch.diagnosis.probes.endpoints import EndpointAnswer, EndpointFacts
from modelfetch.diagnosis.probes.token import TokenAnswer, TokenFacts
from modelfetch.diagnosis.silence import Failure, why_silent

_ENDPOINT_VARIABLES = ("HF_ENDPOINT", "MODELSCOPE_ENDPOINT")

# TLS and signed links allow minutes, not more.
_LARGEST_SKEW_S = 300


def check_endpoints(facts: Facts) -> list[Finding]:
    answers = facts[EndpointFacts].answers
    alive = {answer.hub for answer in answers if answer.problem is None}
    if not alive:
        return [_none_answers(answers)]
    settings = facts[Settings]
    return [_answered(answer) if answer.problem is None else _silent(answer, alive, settings) for answer in answers]


def _answered(answer: EndpointAnswer) -> Finding:
    milliseconds = round(answer.seconds * 1000)
    return well("endpoints", f"{answer.name} answers in {milliseconds} ms", endpoint=answer.name, ms=milliseconds)


def _silent(answer: EndpointAnswer, alive: set[str], settings: Settings) -> Finding:
    title = f"{answer.name} does not answer ({answer.problem})"
    if answer.hub in alive:
        return note("net.endpoint", title, advice=f"Another {answer.hub} endpoint does.", endpoint=answer.name)
    variable = settings.origins.get(f"endpoints.{answer.name}", "")
    is_chosen = variable in _ENDPOINT_VARIABLES
    return Finding(
        "net.endpoint",
        Severity.WARNING,
        f"{title}, and {variable} names no other" if is_chosen else title,
        {"endpoint": answer.name, "problem": answer.problem},
        rank=Rank.NETWORK,
        advice=f"No {answer.hub} endpoint answers; models come from the others, where they have them.",
        fix=(f"unset {variable}",) if is_chosen else (),
        verify="modelfetch doctor endpoints",
    )


def _none_answers(answers: tuple[EndpointAnswer, ...]) -> Finding:
    if not answers:
        return Finding(
            "net.endpoint",
            Severity.ERROR,
            "no endpoint is configured",
            effect="nothing can be downloaded",
            rank=Rank.SETTINGS,
            verify="modelfetch mirrors",
        )
    problems = {answer.problem for answer in answers}
    why = problems.pop() if len(problems) == 1 else f"{answers[0].name}: {answers[0].problem}"
    cause = why_silent([Failure(answer.kind, answer.problem or "") for answer in answers])
    return Finding(
        cause.name,
        Severity.ERROR,
        f"{cause.title}: {why}",
        {answer.name: answer.problem for answer in answers},
        effect="nothing can be downloaded",
        rank=Rank.NETWORK,
        advice=cause.advice,
        fix=cause.fix,
        verify="modelfetch doctor endpoints",
    )


@dataclass(frozen=True)
class _Renewal:
    """How a hub's users come by a new token."""

    advice: str
    fix: str


_RENEWALS = {
    "huggingface": _Renewal("Make a new one at https://huggingface.co/settings/tokens.", "hf auth login"),
    "modelscope": _Renewal(
        "Make a new one at https://modelscope.cn/my/myaccesstoken; modelscope.ai has accounts of its own.",
        "export MODELSCOPE_API_TOKEN=TOKEN",
    ),
}


def check_token(facts: Facts) -> list[Finding]:
    known = [answer for answer in facts[TokenFacts].answers if answer.is_valid is not None]
    return [
        well("token", f"the {answer.hub} token is known to its hub")
        if answer.is_valid
        else _unknown_token(answer, facts[Settings])
        for answer in known
    ]


def _unknown_token(answer: TokenAnswer, settings: Settings) -> Finding:
    source = settings.origins.get(f"tokens.{answer.hub}", "a setting")
    renewal = _RENEWALS[answer.hub]
    return Finding(
        "id.token-invalid",
        Severity.WARNING,
        f"{answer.origin} does not know the token of {source}: it was revoked, has expired, or is cut short",
        {"hub": answer.hub, "origin": answer.origin, "from": source},
        effect="gated and private models cannot be pulled",
        rank=Rank.NETWORK,
        advice=renewal.advice,
        fix=(renewal.fix,),
        verify="modelfetch doctor token",
    )


def check_clock(facts: Facts) -> list[Finding]:
    skews = [answer.skew_s for answer in facts[EndpointFacts].answers if answer.skew_s is not None]
    if not skews:
        return [well("clock", "no endpoint told the time")]
    skew = min(skews, key=abs)
    if abs(skew) <= _LARGEST_SKEW_S:
        return [well("clock", "the clock is right", skew_s=round(skew))]
    return [
        Finding(
            "net.clock",
            Severity.ERROR,
            f"this machine's clock is {abs(skew) / 60:.0f} minutes {'slow' if skew > 0 else 'fast'}",
            {"skew_s": round(skew)},
            effect="secure connections and signed links fail",
            rank=Rank.SETTINGS,
            fix=("sudo timedatectl set-ntp true",),
            verify="modelfetch doctor clock",
        )
    ]


def check_addresses(facts: Facts) -> list[Finding]:
    silent = [each.host for each in facts[AddressFacts].hosts if each.by_ipv4 and each.ipv6_is_silent]
    if not silent:
        return [well("addresses", "no address is silent")]
    who = f"{silent[0]} has" if len(silent) == 1 else f"{silent[0]} and {len(silent) - 1} more have"
    return [
        Finding(
            "net.ipv6",
            Severity.WARNING,
            f"{who} IPv6 addresses, and IPv6 leads nowhere from here",
            {"hosts": silent},
            effect="new connections wait for seconds",
            rank=Rank.NETWORK,
            advice="modelfetch waits once for each command; other tools for each connection. This puts IPv4 first.",
            fix=(
                "echo 'precedence ::ffff:0:0/96 100' | sudo tee -a /etc/gai.conf",
                "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=1",
            ),
            verify="modelfetch doctor addresses",
        )
    ]


CHECKS = (
    Check(
        "endpoints",
        "network",
        "whether hubs and mirrors answer",
        (EndpointFacts,),
        ("net.endpoint", "net.dns", "net.portal", "net.proxy-refuses", "net.tls"),
        check_endpoints,
    ),
    Check("clock", "network", "the clock, against the endpoints'", (EndpointFacts,), ("net.clock",), check_clock),
    Check(
        "addresses",
        "network",
        "whether IPv6 works where it is announced",
        (AddressFacts,),
        ("net.ipv6",),
        check_addresses,
    ),
    Check("token", "network", "whether each hub knows its token", (TokenFacts,), ("id.token-invalid",), check_token),
)
