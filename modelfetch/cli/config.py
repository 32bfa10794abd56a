"""`modelfetch config`: every setting, its value, and where it came from. A token is only ever said to be set."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from modelfetch.cli._output import format_bytes, print_json
from modelfetch.config.load import load, user_mirrors_file
from modelfetch.config.values import HUBS, Settings


@click.command(
    name="config",
    epilog="Example:  modelfetch config        HF_ENDPOINT=https://hf-mirror.com modelfetch config --json",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(*, as_json: bool) -> None:
    """Show every setting, its value, and where it came from.

    Weakest first: the built-in mirrors.yaml, your own mirrors.yaml, the environment. A command's options beat all.
    """
    settings = load()
    user_file = user_mirrors_file(os.environ)
    if as_json:
        print_json(_document(settings, user_file))
        return
    rows = [(name, _shown(name, value), _origin(settings, name)) for name, value in _values(settings).items()]
    rows += [
        (f"endpoints.{endpoint.name}", endpoint.url, _origin(settings, f"endpoints.{endpoint.name}"))
        for endpoint in settings.endpoints
    ]
    rows += [(f"indexes.{each.name}", each.url, _origin(settings, f"indexes.{each.name}")) for each in settings.indexes]
    rows += [(f"samples.{each.hub}", each.repo, _origin(settings, f"samples.{each.hub}")) for each in settings.samples]
    rows.append(("mirrors.yaml", str(user_file), "yours, read" if user_file.exists() else "yours, not there"))
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
        "user_file": {"path": str(user_file), "read": user_file.exists()},
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
    return values | {f"tokens.{hub}": "set" if hub in settings.tokens else None for hub in hubs}


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
