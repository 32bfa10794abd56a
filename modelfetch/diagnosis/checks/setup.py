"""Settings and variables: what would surprise whoever runs the next command.

- A mirror in use is information. A token is said to be set, where it is from and where it goes, and never shown.
- A variable that keeps everything offline is a warning: it is set on purpose, and forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.credentials import CredentialFacts
from modelfetch.errors import ConfigError
from modelfetch.redact import redact_url

# Hub, the variable that is read, and what other programs and pages call it.
_UNREAD_TOKENS = (
    (
        "huggingface",
        "HF_TOKEN",
        (
            "HUGGINGFACE_TOKEN",
            "HUGGING_FACE_TOKEN",
            "HUGGINGFACE_HUB_TOKEN",
            "HUGGINGFACEHUB_API_TOKEN",
            "HUGGINGFACE_API_KEY",
            "HF_API_TOKEN",
            "HF_API_KEY",
        ),
    ),
    ("modelscope", "MODELSCOPE_API_TOKEN", ("MODELSCOPE_TOKEN", "MODELSCOPE_API_KEY", "MODELSCOPE_ACCESS_TOKEN")),
)

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
    if not settings.offline and facts[Machine].environment.get("TRANSFORMERS_OFFLINE"):
        return [
            note("id.offline", "TRANSFORMERS_OFFLINE keeps Hugging Face's own programs offline, and not modelfetch")
        ]
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
            _chosen(variable, name, endpoint.url)
            for endpoint in settings.endpoints
            if endpoint.hub == hub and environment.get(variable)
        ]
    if environment.get("HF_HUB_ENABLE_HF_TRANSFER"):
        findings.append(note("hf_transfer", "HF_HUB_ENABLE_HF_TRANSFER is set, which huggingface_hub no longer reads"))
    return findings or [well("variables", "no variable changes the endpoints")]


def _chosen(variable: str, name: str, url: str) -> Finding:
    title = f"{variable} takes {name}'s models from {url}"
    if not url.startswith("http://") or not _is_public(urlsplit(url).hostname or ""):
        return note("id.endpoint", title)
    return Finding(
        "id.endpoint",
        Severity.WARNING,
        f"{title}, which anybody on the way can read and change",
        {"url": url},
        rank=Rank.SETTINGS,
        fix=(f"export {variable}=https{url.removeprefix('http')}",),
        verify="modelfetch doctor variables",
    )


def _is_public(host: str) -> bool:
    """Whether the way to this host leads through networks of others."""
    try:
        return ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".lan", ".internal", ".localhost"))


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
    findings += _unread_tokens(settings, facts[Machine].environment)
    return findings or [well("tokens", "no token is set, so gated and private models cannot be pulled", hubs=[])]


def _unread_tokens(settings: Settings, environment: Mapping[str, str]) -> list[Finding]:
    return [
        Finding(
            "id.token-unread",
            Severity.WARNING,
            f"{name} holds a token that neither modelfetch nor the {hub} client reads",
            {"variable": name, "hub": hub},
            rank=Rank.SETTINGS,
            fix=(f'export {read}="${name}"',),
            verify="modelfetch doctor tokens",
        )
        for hub, read, names in _UNREAD_TOKENS
        if hub not in settings.tokens
        for name in names
        if environment.get(name)
    ]


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
            f"{each.variable} names `{each.path}`, which {each.problem}",
            {"variable": each.variable, "path": each.path},
            effect="no https connection can be made",
            rank=Rank.SETTINGS,
            fix=(f"unset {each.variable}",),
            verify="modelfetch doctor proxy",
        )
        for each in facts[CredentialFacts].unusable_certificates
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
        ("id.token", "id.token-mode", "id.token-unused", "id.token-unread"),
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
