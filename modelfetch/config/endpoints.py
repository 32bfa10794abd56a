"""Which endpoints a command uses: `--source`, `--endpoint` and `--send-token-to` on top of the settings. Pure.

- `--source`: `auto` is all of them, `huggingface`/`hf` and `modelscope`/`ms` those of that dialect, any other word the
  endpoint of that name.
- `--endpoint` leaves only the endpoints that are named. A URL that is no known endpoint's becomes one for each dialect,
  because nothing tells which it speaks, unless the reference said the hub.
- An endpoint that is named by its URL gets a token only where its origin is one of a known endpoint that gets it, or by
  `--send-token-to`.
- Names stay unique.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from modelfetch.config.urls import base_url, host_of, may_carry_token
from modelfetch.config.values import HUBS, Endpoint, Settings, origin_of
from modelfetch.errors import UsageError
from modelfetch.redact import redact

# What is typed for a machine next door: its name or number, and a port.
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}")
_SHORT = {"hf": "huggingface", "ms": "modelscope"}
_SHORT_OF = {hub: word for word, hub in _SHORT.items()}


def choose(settings: Settings, source: str | None = None) -> tuple[Endpoint, ...]:
    """The endpoints that `source` stands for; the settings' own source where it is None.

    Raises:
        UsageError: no endpoint is called so.
    """
    wanted = settings.source if source is None else source
    if wanted == "auto":
        return settings.endpoints
    hub = _SHORT.get(wanted, wanted)
    chosen = tuple(endpoint for endpoint in settings.endpoints if endpoint.hub == hub)
    chosen = chosen or tuple(endpoint for endpoint in settings.endpoints if endpoint.name == wanted)
    if not chosen:
        raise UsageError(
            f"`{redact(wanted)}` is not a source",
            facts={"expected": "one of " + ", ".join(f"`{name}`" for name in source_names(settings.endpoints))},
            hint="modelfetch mirrors",
        )
    return chosen


def source_names(endpoints: Iterable[Endpoint]) -> tuple[str, ...]:
    """Every word that `--source` understands, given these endpoints."""
    names = ["auto"]
    for endpoint in endpoints:
        short = [word for word, hub in _SHORT.items() if hub == endpoint.hub]
        names += [endpoint.hub, *short, endpoint.name]
    return tuple(dict.fromkeys(names))


def with_endpoints(settings: Settings, names_or_urls: Iterable[str], *, hub: str | None = None) -> Settings:
    """`settings` with only the endpoints that are named, in the order they are named; unchanged where none is.

    Raises:
        UsageError: a name that no endpoint has, or a URL that cannot be one.
    """
    chosen: list[Endpoint] = []
    for word in names_or_urls:
        found = _by_url(settings, word, hub) if "://" in word else _by_name(settings, word)
        for endpoint in found:
            if endpoint not in chosen:
                chosen.append(named_apart(endpoint, chosen))
    if not chosen:
        return settings
    origins = {f"endpoints.{endpoint.name}": "--endpoint" for endpoint in chosen}
    return replace(settings, endpoints=tuple(chosen), origins={**settings.origins, **origins})


def send_tokens_to(settings: Settings, origins: Iterable[str]) -> Settings:
    """`settings` whose endpoints at these origins get their hub's token.

    Raises:
        UsageError: not an origin, no endpoint there, or plain http to another machine.
    """
    endpoints = settings.endpoints
    for text in origins:
        wanted = _origin(text)
        if not any(endpoint.origin == wanted for endpoint in endpoints):
            known = ", ".join(dict.fromkeys(f"`{endpoint.origin}`" for endpoint in endpoints))
            raise UsageError(f"no endpoint is at `{wanted}`", facts={"expected": f"one of {known}"})
        endpoints = tuple(
            replace(endpoint, sends_token=True) if endpoint.origin == wanted else endpoint for endpoint in endpoints
        )
    return replace(settings, endpoints=endpoints)


def endpoint_at(url: str, hub: str, known: Iterable[Endpoint], *, name: str | None = None) -> Endpoint:
    """The known endpoint of `hub` at `url`, or a new one named by its host; it gets a token where known ones do."""
    same_hub = [endpoint for endpoint in known if endpoint.hub == hub]
    for endpoint in same_hub:
        if endpoint.url.lower() == url.lower():
            return endpoint
    trusted = any(endpoint.sends_token and endpoint.origin == origin_of(url) for endpoint in same_hub)
    return Endpoint(name=name or host_of(url), hub=hub, url=url, sends_token=trusted)


def named_apart(endpoint: Endpoint, others: Iterable[Endpoint]) -> Endpoint:
    """`endpoint` under a name that none of `others` has."""
    taken = {other.name for other in others}
    candidates = [endpoint.name, f"{endpoint.name}-{endpoint.hub}"]
    candidates += [f"{endpoint.name}-{number}" for number in range(2, len(taken) + 3)]
    return replace(endpoint, name=next(name for name in candidates if name not in taken))


def _by_name(settings: Settings, name: str) -> list[Endpoint]:
    found = [endpoint for endpoint in settings.endpoints if endpoint.name == name]
    if not found:
        known = ", ".join(f"`{endpoint.name}`" for endpoint in settings.endpoints)
        raise UsageError(
            f"`{redact(name)}` is not an endpoint",
            facts={"expected": f"one of {known}, or a URL such as https://hub.example.com"},
            hint=f"--endpoint http://{redact(name)}" if _ADDRESS.fullmatch(name) else "modelfetch mirrors",
        )
    return found


def _by_url(settings: Settings, text: str, hub: str | None) -> list[Endpoint]:
    try:
        url = base_url(text)
    except ValueError as error:
        raise UsageError(f"`{redact(text)}` cannot be an endpoint", facts={"expected": str(error)}) from error
    if hub is not None:
        return [endpoint_at(url, hub, settings.endpoints)]
    known = [endpoint for endpoint in settings.endpoints if endpoint.url.lower() == url.lower()]
    hubs = dict.fromkeys((*HUBS, *(endpoint.hub for endpoint in settings.endpoints)))
    return known or [
        endpoint_at(url, each, settings.endpoints, name=f"{host_of(url)}-{_SHORT_OF.get(each, each)}") for each in hubs
    ]


def _origin(text: str) -> str:
    try:
        url = base_url(text)
    except ValueError as error:
        raise UsageError(f"`{redact(text)}` is not an origin", facts={"expected": str(error)}) from error
    if not may_carry_token(url):
        raise UsageError(
            f"a token is not sent to `{origin_of(url)}`",
            facts={"why": "plain http to another machine can be read on the way"},
        )
    return origin_of(url)
