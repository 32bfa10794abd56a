"""Sizes, speeds, times and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 3
_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_bytes(size: float) -> str:
    """`1.2 GB`: powers of 1000, as hubs, disks and links count."""
    power = 0
    while abs(size) >= 999.5 and power < len(_UNITS) - 1:
        size /= 1000
        power += 1
    unit = _UNITS[power]
    return f"{size:.0f} {unit}" if unit == "B" or abs(size) >= 99.95 else f"{size:.1f} {unit}"


def format_duration(seconds: float) -> str:
    """`8.1 s`, `2 min 05 s`, `3 h 07 min`, `12 days`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours >= 240:
        return f"{hours / 24:.0f} days"
    return f"{hours} h {minutes:02d} min"


def format_ago(seconds: float) -> str:
    """`a moment ago`, `5 minutes ago`, `3 hours ago`, `yesterday`, `4 days ago`."""
    if seconds < 90:
        return "a moment ago"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes ago"
    if seconds < 24 * 3600:
        return f"{seconds / 3600:.0f} hours ago"
    days = seconds / (24 * 3600)
    return "yesterday" if days < 2 else f"{days:.0f} days ago"


def format_names(names: Sequence[str]) -> str:
    """The names, or the first few of many: `a, b, c and 4 more`."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
