"""`modelfetch mirrors`: the endpoints that can be pulled from. Sends nothing."""

from __future__ import annotations

import click

from modelfetch.cli._output import print_json
from modelfetch.config import load

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")


@click.group(name="mirrors", invoke_without_command=True, epilog="Example:  modelfetch mirrors list --json")
@_json_option
@click.pass_context
def command(context: click.Context, *, as_json: bool) -> None:
    """The endpoints that can be pulled from: the hubs, their mirrors, and your own.

    An endpoint of your own goes into your mirrors.yaml, whose place `modelfetch config` names.
    """
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@command.command(name="list", epilog="Example:  modelfetch mirrors list")
@_json_option
def list_command(*, as_json: bool) -> None:
    """List the endpoints: name, dialect, address, whether it gets your token, and where the entry is from."""
    _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    settings = load()
    entries = [
        {
            "name": endpoint.name,
            "hub": endpoint.hub,
            "url": endpoint.url,
            "region": endpoint.region,
            "connections": endpoint.connections,
            "sends_token": endpoint.sends_token,
            "origin": settings.origins.get(f"endpoints.{endpoint.name}", "default"),
        }
        for endpoint in settings.endpoints
    ]
    if as_json:
        print_json(entries)
        return
    rows = [
        (
            str(entry["name"]),
            str(entry["hub"]),
            str(entry["url"]),
            str(entry["region"]),
            "gets the token" if entry["sends_token"] else "no token",
            str(entry["origin"]),
        )
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
