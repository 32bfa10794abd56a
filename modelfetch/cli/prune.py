"""`modelfetch prune`: says what goes and what stays, asks on a terminal, makes room."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, print_json, say
from modelfetch.cli._removal import documents, tell_what_goes, tell_what_stays
from modelfetch.errors import UsageError

if TYPE_CHECKING:
    from modelfetch.adopt import Orphan
    from modelfetch.config import Settings
    from modelfetch.prune import Plan, Wishes

_EPILOG = """\b
Examples:
  modelfetch prune --dry-run
  modelfetch prune --keep-within 30d --yes
  modelfetch prune --max-size 200G
  modelfetch prune --orphans
"""
_AGE = re.compile(r"(\d+)\s*([hdw])")
_UNIT_S = {"h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}


@click.command(epilog=_EPILOG)
@click.option("--keep-within", metavar="AGE", help="Also remove models that were not used for AGE: 12h, 30d, 8w.")
@click.option("--max-size", metavar="SIZE", help="Also remove the models used longest ago until the store has SIZE.")
@click.option("--keep-views", is_flag=True, help="Of these none that another tool's cache still shows.")
@click.option("--orphans", is_flag=True, help="Also remove what other tools' downloads left behind in their caches.")
@click.option("--dry-run", is_flag=True, help="Say what would go and what would stay, and why; remove nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask. Needed where there is no terminal to ask on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md); does not ask.")
def command(*, orphans: bool, dry_run: bool, yes: bool, as_json: bool, **choices: Any) -> None:
    """Make room in the store.

    Without options what nobody needs goes: bytes that no model names, downloads that nobody went on with for 14 days,
    and what commands that were killed left behind. What a running pull works on or counts on always stays, and so does
    a model that a process has open, or that is in a folder of yours. The links in other tools' caches go with theirs.
    """
    from modelfetch.config import load
    from modelfetch.prune import carry_out, look_and_plan
    from modelfetch.store import Store

    settings = load()
    wishes = _wishes(**choices)
    store = Store.open(settings.home, create=False)
    plan = look_and_plan(store, wishes, orphans=_orphans(settings) if orphans else [])
    if not as_json:
        _tell(plan, wishes)
    removes = bool(plan.goes) and not dry_run
    if removes and not yes and (as_json or not sys.stdin.isatty()):
        if as_json:
            print_json(_document(plan, dry_run=True))
        raise UsageError("nothing was removed: there is nobody to ask", hint="modelfetch prune --yes, or --dry-run")
    if removes:
        if not yes:
            click.confirm("Remove this?", abort=True, err=True)
        plan = carry_out(store, plan, wishes, orphans=_orphans(settings) if orphans else [])
        say(f"removed; {format_bytes(plan.freed_bytes)} are free again", style="green")
    if as_json:
        print_json(_document(plan, dry_run=dry_run))


def _wishes(keep_within: str | None, max_size: str | None, *, keep_views: bool) -> Wishes:
    from modelfetch.config import parse_size
    from modelfetch.prune import Wishes

    return Wishes(
        parse_age(keep_within) if keep_within is not None else None,
        parse_size(max_size) if max_size is not None else None,
        keep_views,
    )


def parse_age(text: str) -> float:
    """`12h`, `30d` or `8w` in seconds.

    Raises:
        UsageError: it is none of these.
    """
    match = _AGE.fullmatch(text.strip().lower())
    if match is None:
        raise UsageError(f"`{text}` is not an age", facts={"expected": "hours, days or weeks, such as 12h, 30d or 8w"})
    return float(int(match[1]) * _UNIT_S[match[2]])


def _orphans(settings: Settings) -> list[Orphan]:
    from modelfetch.adopt import known_places, orphans

    return orphans(known_places(settings))


def _tell(plan: Plan, wishes: Wishes) -> None:
    tell_what_goes(plan.goes)
    # Models are told of where some were to go.
    tell_what_stays(item for item in plan.stays if wishes.chooses_models or item.what != "snapshot")
    click.echo(f"{format_bytes(plan.bytes_before)} in the store, {format_bytes(plan.bytes_after)} after that")
    if plan.over_bytes:
        say(f"that is {format_bytes(plan.over_bytes)} more than was asked for: the rest stays for the reasons above")
    if not plan.goes:
        say("there is nothing to remove")


def _document(plan: Plan, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "freed_bytes": plan.freed_bytes,
        "bytes_before": plan.bytes_before,
        "bytes_after": plan.bytes_after,
        "over_bytes": plan.over_bytes,
        "goes": documents(plan.goes),
        "stays": documents(plan.stays),
    }
