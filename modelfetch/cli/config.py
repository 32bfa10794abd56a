"""`modelfetch config`: every setting, its value, and where it came from.

A token is only ever said to be set, and of a proxy its user and password are left out.
"""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

import click

from modelfetch.cli._output import format_bytes, print_json
from modelfetch.config.load import load, user_mirrors_file
from modelfetch.config.values import DEFAULT_CONNECTIONS, HUBS, Endpoint, Settings
from modelfetch.redact import redact

_PROXIES = {"http": "http_proxy", "https": "https_proxy", "all": "all_proxy", "none_for": "no_proxy"}


@click.command(
    name="config",
    epilog="Example:  modelfetch config        HF_ENDPOINT=https://hf-mirror.com modelfetch config --json",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(*, as_json: bool) -> None:
    """Show every setting, its value, and where it came from.

    Weakest first: the built-in mirrors.yaml, your own mirrors.yaml, the environment. A command's options beat all.
    """
    settings = _with_proxies(load())
    user_file = user_mirrors_file(os.environ)
    if as_json:
        print_json(_document(settings, user_file))
        return
    rows = [(name, _shown(name, value), _origin(settings, name)) for name, value in _values(settings).items()]
    rows += [
        (f"endpoints.{endpoint.name}", _described(endpoint), _origin(settings, f"endpoints.{endpoint.name}"))
        for endpoint in settings.endpoints
    ]
    rows += [(f"indexes.{each.name}", each.url, _origin(settings, f"indexes.{each.name}")) for each in settings.indexes]
    rows += [(f"samples.{each.hub}", each.repo, _origin(settings, f"samples.{each.hub}")) for each in settings.samples]
    here = "read" if user_file.exists() else "not there"
    rows.append(("mirrors.yaml", str(user_file), f"{_user_file_origin() or 'yours'}, {here}"))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, origin in rows:
        click.echo(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")


def _document(settings: Settings, user_file: Path) -> dict[str, object]:
    return {
        "settings": {
            name: {"value": value, "origin": _origin(settings, name)} for name, value in _values(settings).items()
        },
        "endpoints": [
            {
                "name": endpoint.name,
                "hub": endpoint.hub,
                "url": endpoint.url,
                "region": endpoint.region,
                "connections": endpoint.connections,
                "sends_token": endpoint.sends_token,
                "origin": _origin(settings, f"endpoints.{endpoint.name}"),
            }
            for endpoint in settings.endpoints
        ],
        "indexes": [
            asdict(index) | {"origin": _origin(settings, f"indexes.{index.name}")} for index in settings.indexes
        ],
        "samples": [
            asdict(sample) | {"origin": _origin(settings, f"samples.{sample.hub}")} for sample in settings.samples
        ],
        "user_file": {
            "path": str(user_file),
            "origin": _user_file_origin() or "default",
            "read": user_file.exists(),
        },
    }


def _values(settings: Settings) -> dict[str, str | int | bool | None]:
    values: dict[str, str | int | bool | None] = {
        "home": str(settings.home),
        "hf_cache": str(settings.hf_cache),
        "modelscope_cache": str(settings.modelscope_cache),
        "source": settings.source,
        "offline": settings.offline,
        "connections": settings.connections,
        "limit_rate": settings.limit_rate,
        "experience": str(settings.experience) if settings.experience else None,
    }
    hubs = dict.fromkeys((*HUBS, *settings.tokens))
    values |= {f"tokens.{hub}": "set" if hub in settings.tokens else None for hub in hubs}
    return values | {f"proxies.{kind}": _proxy(kind, settings) for kind in _PROXIES}


def _with_proxies(settings: Settings) -> Settings:
    """`settings` that also say which variable each proxy is from: they are read where connections are opened."""
    set_by = {
        f"proxies.{kind}": name
        for kind, variable in _PROXIES.items()
        # As every other program reads them: in small letters they count first.
        if (name := next((each for each in (variable, variable.upper()) if os.environ.get(each)), None))
    }
    return replace(settings, origins={**settings.origins, **set_by})


def _proxy(kind: str, settings: Settings) -> str | None:
    name = settings.origins.get(f"proxies.{kind}")
    return redact(os.environ[name]) if name else None


def _user_file_origin() -> str | None:
    return "MODELFETCH_CONFIG" if os.environ.get("MODELFETCH_CONFIG") else None


def _described(endpoint: Endpoint) -> str:
    """Its address, and what is not as it is without being said."""
    told = [
        "gets the token" if endpoint.sends_token else None,
        endpoint.region if endpoint.region != "global" else None,
        f"{endpoint.connections} connections" if endpoint.connections != DEFAULT_CONNECTIONS else None,
    ]
    beside = ", ".join(text for text in told if text)
    return f"{endpoint.url} ({beside})" if beside else endpoint.url


def _shown(name: str, value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{format_bytes(value)}/s" if name == "limit_rate" else str(value)
    if value is not None:
        return value
    return {"connections": "as the endpoint allows", "limit_rate": "no limit"}.get(name, "not set")


def _origin(settings: Settings, name: str) -> str:
    return settings.origins.get(name, "default")
