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
from modelfetch.planning.retry import Kind

# TLS and signed links allow minutes, not more.
_LARGEST_SKEW_S = 300


def check_endpoints(facts: Facts) -> list[Finding]:
    answers = facts[EndpointFacts].answers
    alive = {answer.hub for answer in answers if answer.problem is None}
    if not alive:
        return [_none_answers(answers)]
    return [_answered(answer) if answer.problem is None else _silent(answer, alive) for answer in answers]


def _answered(answer: EndpointAnswer) -> Finding:
    milliseconds = round(answer.seconds * 1000)
    return well("endpoints", f"{answer.name} answers in {milliseconds} ms", endpoint=answer.name, ms=milliseconds)


def _silent(answer: EndpointAnswer, alive: set[str]) -> Finding:
    title = f"{answer.name} does not answer ({answer.problem})"
    if answer.hub in alive:
        return note("net.endpoint", title, advice=f"Another {answer.hub} endpoint does.", endpoint=answer.name)
    return Finding(
        "net.endpoint",
        Severity.WARNING,
        title,
        {"endpoint": answer.name, "problem": answer.problem},
        rank=Rank.NETWORK,
        advice=f"No {answer.hub} endpoint answers; models come from the others, where they have them.",
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
    kinds = {answer.kind for answer in answers}
    cause = next((cause for kind, cause in _CAUSES.items() if kinds == {kind}), _UNKNOWN_CAUSE)
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
class _Cause:
    """Why no endpoint at all answers, when all of them fail in the same way."""

    name: str
    title: str
    advice: str
    fix: tuple[str, ...] = ()


_UNKNOWN_CAUSE = _Cause(
    "net.endpoint",
    "no endpoint answers",
    "Look at the name servers and the proxy (HTTPS_PROXY), or add a mirror that this network reaches.",
)
_CAUSES = {
    Kind.DNS: _Cause(
        "net.dns",
        "no name of an endpoint can be looked up",
        "The name servers in /etc/resolv.conf do not answer, there is no network, or it wants a proxy (HTTPS_PROXY). "
        "`getent hosts huggingface.co` tries it.",
    ),
    Kind.PROXY: _Cause(
        "net.proxy-refuses",
        "the proxy lets no endpoint through",
        "It may be over, or want a name and a password.",
        ("unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy",),
    ),
    Kind.TLS: _Cause(
        "net.tls",
        "no endpoint's certificate is accepted",
        "Something in between, usually a company's proxy, shows its own; its authority must be trusted by the system.",
        ("sudo cp COMPANY.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",),
    ),
    Kind.PORTAL: _Cause(
        "net.portal",
        "something else answers in the place of every endpoint",
        "Log in to the network with a browser first.",
    ),
}


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
