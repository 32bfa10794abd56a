"""`modelfetch mirrors`: the endpoints that can be pulled from, what is known of them, and trying them.

- `list` sends nothing.
- `test` ends with exit status 0 when any endpoint can be used (any index, where only indexes are tried), 6 when none
  can. Endpoints and indexes are tried one after the other, so that they do not share the line.
"""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from modelfetch import reference
from modelfetch.cli._cells import table
from modelfetch.cli._output import print_json, say
from modelfetch.config import Endpoint, Index, Settings, load, with_endpoints
from modelfetch.config.load import BUILT_IN
from modelfetch.errors import NoSourceError
from modelfetch.units import format_ago

if TYPE_CHECKING:
    from modelfetch.planning.preference import Score

_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")


@click.group(
    name="mirrors",
    invoke_without_command=True,
    epilog="Examples:  modelfetch mirrors list --json        modelfetch mirrors test",
)
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
    """List the endpoints: name, dialect, address, whether it gets your token, how fast it was, where yours are from.

    How fast an endpoint was on this network is from `modelfetch mirrors test` and from pulls. Nothing is sent.
    """
    _list(as_json=as_json)


@command.command(
    name="test",
    epilog="Examples:  modelfetch mirrors test        modelfetch mirrors test hf-mirror modelscope        "
    "modelfetch mirrors test pypi pypi-tuna        modelfetch mirrors test --repo Qwen/Qwen3-0.6B --json",
)
@click.argument("names", nargs=-1, metavar="[NAME|URL]...")
@click.option("--repo", metavar="OWNER/NAME", help="The model to try endpoints with, instead of mirrors.yaml's sample.")
@_json_option
def test_command(names: tuple[str, ...], *, repo: str | None, as_json: bool) -> int:
    """Try endpoints, and then package indexes: how fast each is from here, and whether it sends what it lists.

    Without names all of them, at once and for five seconds. Of each up to 8 MB are fetched, and nothing is kept but the
    result, which later pulls begin with and `doctor` chooses an index by. Sends no token. One that cannot be used is a
    line of the result; when no endpoint can be, the exit status is 6.
    """
    from modelfetch.cli._mirrors_report import print_endpoints, print_indexes
    from modelfetch.mirrors import try_endpoints, try_indexes

    settings = _named(load(), names)
    document: dict[str, Any] = {"endpoints": [], "order": [], "why": None, "indexes": []}
    usable: list[bool] = []
    if settings.endpoints:
        _say_trying(settings.endpoints, quiet=as_json)
        tested = try_endpoints(settings, repo=reference.parse(repo).repo if repo else None)
        usable.append(tested.usable)
        document |= tested.to_json()
        if not as_json:
            print_endpoints(tested)
    if settings.indexes:
        _say_trying(settings.indexes, quiet=as_json)
        indexes = try_indexes(settings)
        usable.append(indexes.usable)
        document |= indexes.to_json()
        if not as_json:
            print_indexes(indexes)
    if as_json:
        print_json(document)
    return 0 if usable and usable[0] else NoSourceError.exit_status


def _named(settings: Settings, names: tuple[str, ...]) -> Settings:
    """`settings` with only the endpoints and indexes of these names; with all where there are none."""
    if not names:
        return settings
    indexes = tuple(index for index in settings.indexes if index.name in names)
    others = [name for name in names if name not in {index.name for index in indexes}]
    endpoints = with_endpoints(settings, others).endpoints if others else ()
    return replace(settings, endpoints=endpoints, indexes=indexes)


def _say_trying(places: tuple[Endpoint, ...] | tuple[Index, ...], *, quiet: bool) -> None:
    if not quiet:
        say(f"trying {', '.join(place.name for place in places)} …")


def _list(*, as_json: bool) -> None:
    settings = load()
    scores = _scores(settings)
    if as_json:
        print_json(
            [
                {
                    "name": endpoint.name,
                    "hub": endpoint.hub,
                    "url": endpoint.url,
                    "region": endpoint.region,
                    "connections": endpoint.connections,
                    "sends_token": endpoint.sends_token,
                    "origin": settings.origins.get(f"endpoints.{endpoint.name}", "default"),
                    **_score_document(scores[endpoint.name]),
                }
                for endpoint in settings.endpoints
            ]
        )
        return
    rows = [
        (endpoint.name, endpoint.hub, endpoint.url, "gets the token" if endpoint.sends_token else "no token")
        for endpoint in settings.endpoints
    ]
    for endpoint, line in zip(settings.endpoints, table(rows, indent=0) if rows else (), strict=True):
        click.echo(line)
        origin = settings.origins.get(f"endpoints.{endpoint.name}", "default")
        told = [_score_text(scores[endpoint.name]), *([] if origin == BUILT_IN else [f"from {origin}"])]
        click.echo("\n".join(f"  {text}" for text in told))


def _scores(settings: Settings) -> dict[str, Score]:
    """What is known of each endpoint on this network, by name."""
    from modelfetch.experience import scores

    return scores(settings.experience, settings.endpoints, time.time())


def _score_document(score: Score) -> dict[str, object]:
    seen_at = datetime.fromtimestamp(score.seen_at, UTC).isoformat(timespec="seconds") if score.seen_at else None
    return {"seconds_per_gb": score.seconds if score.seconds < float("inf") else None, "seen_at": seen_at}


def _score_text(score: Score) -> str:
    return f"{score.why}, seen {format_ago(time.time() - score.seen_at)}" if score.seen_at else score.why
