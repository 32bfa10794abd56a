"""How `rm` and `prune` say what goes and what stays: one line for each thing, and one for all blobs of one reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes

if TYPE_CHECKING:
    from modelfetch.store.removal import Item

# Of what there may be thousands, a person reads the sum.
_SUMMED = frozenset({"blob", "hint", "temporary", "list of a pull"})


def tell(verb: str, items: Iterable[Item]) -> None:
    """Print the items, each with why."""
    items = list(items)
    for item in items:
        if item.what not in _SUMMED:
            size = f", {format_bytes(item.size_bytes)}" if item.size_bytes else ""
            click.echo(f"  {verb}: {item.what} {item.path}{size} ({item.why})")
    alike: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        if item.what in _SUMMED:
            alike.setdefault((item.what, item.why), []).append(item)
    for (what, why), group in sorted(alike.items()):
        name = "file" if what == "blob" else what
        click.echo(f"  {verb}: {len(group)} {name}(s), {format_bytes(sum(one.size_bytes for one in group))} ({why})")


def documents(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The items as `--json` has them."""
    return [
        {"what": item.what, "path": str(item.path), "size_bytes": item.size_bytes, "why": item.why} for item in items
    ]
