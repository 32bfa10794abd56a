"""Settings and variables: what would surprise whoever runs the next command.

- A mirror in use is information. A token is said to be set, where it is from and where it goes, and never shown.
- A variable that keeps everything offline is a warning: it is set on purpose, and forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.credentials import CredentialFacts
from modelfetch.errors import ConfigError
from modelfetch.redact import redact_url

_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass(frozen=True)
class SettingsFacts:
    """Why the settings could not be read, where they could not; doctor goes on with the built-in ones then."""

    error: ConfigError | None = None


def check_config(facts: Facts) -> list[Finding]:
    error = facts[SettingsFacts].error
    if error is None:
        return [well("config", "the settings can be read")]
    return [
        Finding(
            "config.broken",
            Severity.ERROR,
            error.message,
            {name: str(value) for name, value in error.facts.items()},
            effect="no command works",
            rank=Rank.SETTINGS,
            advice=". ".join(
                [*(f"{name}: {value}" for name, value in error.facts.items()), *([error.hint] if error.hint else [])]
            ),
            verify="modelfetch config",
        )
    ]


def check_offline(facts: Facts) -> list[Finding]:
    settings = facts[Settings]
    if not settings.offline:
        return [well("offline", "nothing keeps it offline")]
    variable = settings.origins.get("offline", "")
    return [
        Finding(
            "id.offline",
            Severity.WARNING,
            f"{variable or 'a setting'} keeps everything offline",
            {"variable": variable},
            effect="nothing is downloaded",
            rank=Rank.SETTINGS,
            fix=(f"unset {variable}",) if variable else (),
            verify="modelfetch doctor offline",
        )
    ]


def check_endpoint_variables(facts: Facts) -> list[Finding]:
    settings, environment = facts[Settings], facts[Machine].environment
    findings = []
    for variable, hub, name in (
        ("HF_ENDPOINT", "huggingface", "Hugging Face"),
        ("MODELSCOPE_ENDPOINT", "modelscope", "ModelScope"),
    ):
        findings += [
            note("id.endpoint", f"{variable} takes {name}'s models from {endpoint.url}")
            for endpoint in settings.endpoints
            if endpoint.hub == hub and environment.get(variable)
        ]
    if environment.get("HF_HUB_ENABLE_HF_TRANSFER"):
        findings.append(note("hf_transfer", "HF_HUB_ENABLE_HF_TRANSFER is set, which huggingface_hub no longer reads"))
    return findings or [well("variables", "no variable changes the endpoints")]


def check_tokens(facts: Facts) -> list[Finding]:
    settings, credentials = facts[Settings], facts[CredentialFacts]
    findings = [_token_goes_to(settings, hub) for hub in sorted(settings.tokens)]
    if credentials.differs:
        findings.append(
            Finding(
                "id.token",
                Severity.WARNING,
                f"{settings.origins.get('tokens.huggingface')} holds another token than `{credentials.token_file}`",
                rank=Rank.SETTINGS,
                advice="The variable wins.",
                fix=("unset HF_TOKEN HUGGING_FACE_HUB_TOKEN",),
                verify="modelfetch doctor tokens",
            )
        )
    if credentials.readable_by_others:
        findings.append(
            Finding(
                "id.token-mode",
                Severity.WARNING,
                f"other users can read the token in `{credentials.token_file}`",
                rank=Rank.SETTINGS,
                fix=(f'chmod 600 "{credentials.token_file}"',),
                verify="modelfetch doctor tokens",
            )
        )
    return findings or [well("tokens", "no token is set, so gated and private models cannot be pulled", hubs=[])]


def _token_goes_to(settings: Settings, hub: str) -> Finding:
    origin = settings.origins.get(f"tokens.{hub}", "a setting")
    to = sorted({endpoint.origin for endpoint in settings.endpoints if endpoint.hub == hub and endpoint.sends_token})
    evidence = {"hub": hub, "from": origin, "to": to}
    if to:
        return well("tokens", f"the {hub} token ({origin}) goes to {' and '.join(to)}", **evidence)
    advice = "`--send-token-to ORIGIN` or `token: true` in mirrors.yaml sends it to an endpoint of your own."
    return note("id.token-unused", f"the {hub} token ({origin}) goes nowhere", advice=advice, **evidence)


def check_network_variables(facts: Facts) -> list[Finding]:
    environment = facts[Machine].environment
    findings = [
        Finding(
            "net.ca",
            Severity.ERROR,
            f"{variable} names `{path}`, which is not there",
            {"variable": variable, "path": path},
            effect="no https connection can be made",
            rank=Rank.SETTINGS,
            fix=(f"unset {variable}",),
            verify="modelfetch doctor proxy",
        )
        for variable, path in facts[CredentialFacts].missing_certificates
    ]
    for name in _PROXIES:
        small, large = environment.get(name), environment.get(name.upper())
        if small and large and small != large:
            findings.append(
                Finding(
                    "net.proxy",
                    Severity.WARNING,
                    f"{name} and {name.upper()} name different proxies",
                    {name: redact_url(small), name.upper(): redact_url(large)},
                    rank=Rank.SETTINGS,
                    advice="Programs differ in which one they take.",
                    fix=(f'export {name.upper()}="${name}"',),
                    verify="modelfetch doctor proxy",
                )
            )
        elif small or large:
            findings.append(
                note("net.proxy", f"{name.upper()} sends everything through {redact_url(small or large or '')}")
            )
    return findings or [well("proxy", "no proxy is set")]


CHECKS = (
    Check(
        "config", "settings", "mirrors.yaml and our own variables", (SettingsFacts,), ("config.broken",), check_config
    ),
    Check("offline", "settings", "variables that keep everything offline", (), ("id.offline",), check_offline),
    Check(
        "variables",
        "settings",
        "variables that change where models come from",
        (),
        ("id.endpoint", "hf_transfer"),
        check_endpoint_variables,
    ),
    Check(
        "tokens",
        "settings",
        "tokens: where they are from, who can read them, where they go",
        (CredentialFacts,),
        ("id.token", "id.token-mode", "id.token-unused"),
        check_tokens,
    ),
    Check(
        "proxy",
        "settings",
        "proxies and certificates",
        (CredentialFacts,),
        ("net.ca", "net.proxy"),
        check_network_variables,
    ),
)
