"""Endpoints and the clock.

- An endpoint that does not answer is information while another of its hub does, a warning otherwise, and an error when
  none at all answers.
- The clock is wrong only when every endpoint says so: a single server may be the one that is wrong.
"""

from __future__ import annotations

from modelfetch.doctor.checks.check import Check, note, well
from modelfetch.doctor.facts import Facts
from modelfetch.doctor.finding import Finding, Rank, Severity
from modelfetch.doctor.probes.endpoints import EndpointAnswer, EndpointFacts

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
    return Finding(
        "net.endpoint",
        Severity.ERROR,
        f"no endpoint answers: {why}",
        {answer.name: answer.problem for answer in answers},
        effect="nothing can be downloaded",
        rank=Rank.NETWORK,
        advice="Look at the name servers and the proxy (HTTPS_PROXY), or add a mirror that this network reaches.",
        verify="modelfetch doctor endpoints",
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


CHECKS = (
    Check(
        "endpoints", "network", "whether hubs and mirrors answer", (EndpointFacts,), ("net.endpoint",), check_endpoints
    ),
    Check("clock", "network", "the clock, against the endpoints'", (EndpointFacts,), ("net.clock",), check_clock),
)
