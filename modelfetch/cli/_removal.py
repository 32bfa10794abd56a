"""How `rm` and `prune` say what goes and what stays: a line for each thing, and one for all that is alike.

- What goes is named, but for blobs and what commands left behind, of which a person reads the sum.
- Of snapshots that stay for one reason the first few are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes

if TYPE_CHECKING:
    from modelfetch.store.removal import Item

_SUMMED = frozenset({"blob", "hint", "temporary", "list of a pull"})
_NAMED = 3


def tell_what_goes(items: Iterable[Item]) -> None:
    """Print the items, each with why."""
    items = list(items)
    lines = (_line(item) for item in items if item.what not in _SUMMED)
    _print("goes", [*lines, *_sums(items)])


def tell_what_stays(items: Iterable[Item]) -> None:
    """Print the items, each with why; snapshots together by their reasons."""
    items = list(items)
    lines = (_line(item) for item in items if item.what not in _SUMMED | {"snapshot"})
    snapshots = _alike(item for item in items if item.what == "snapshot")
    names = (f"{_names(group)} ({why})" for (_, why), group in snapshots.items())
    _print("stays", [*names, *lines, *_sums(items)])


def documents(items: Iterable[Item]) -> list[dict[str, Any]]:
    """The items as `--json` has them."""
    return [
        {
            "what": item.what,
            "model": item.model,
            "path": str(item.path),
            "size_bytes": item.size_bytes,
            "why": item.why,
        }
        for item in items
    ]


def _print(verb: str, lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(f"  {verb}: {line}")


def _line(item: Item) -> str:
    if item.what == "snapshot":
        return f"{item.model} ({item.why})"
    size = f", {format_bytes(item.size_bytes)}" if item.size_bytes else ""
    of = f" of {item.model}" if item.model else ""
    return f"{item.what}{of} {item.path}{size} ({item.why})"


def _sums(items: Iterable[Item]) -> Iterator[str]:
    for (what, why), group in sorted(_alike(item for item in items if item.what in _SUMMED).items()):
        size = format_bytes(sum(one.size_bytes for one in group))
        yield f"{len(group)} {'file' if what == 'blob' else what}(s), {size} ({why})"


def _alike(items: Iterable[Item]) -> dict[tuple[str, str], list[Item]]:
    alike: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        alike.setdefault((item.what, item.why), []).append(item)
    return alike


def _names(snapshots: Sequence[Item]) -> str:
    named = ", ".join(str(item.model) for item in snapshots[:_NAMED])
    more = len(snapshots) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
