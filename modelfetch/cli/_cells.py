"""Text of a stranger in columns on a terminal: what is shown of it, and how wide that is.

- What a terminal would act on, or would not show, is written as its code: escapes, signs that turn the direction of a
  line, half of a pair. Line ends are signs like others.
- A Chinese character or an emoji takes two columns, an accent that stands by itself none.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
# Controls, formats (which turn the direction of a line), halves of pairs, private signs, line and paragraph ends.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Inside an emoji these join its parts, and are no danger.
_JOINERS = frozenset("\u200d\ufe0f")
_FIRST_COLUMN = re.compile(r"\s*\S+(?: \S+)*\s{2,}(?=\S)")
# Narrower, a column of words is a stack of single words.
_MIN_COLUMN = 24


def shown(text: str) -> str:
    """`text` in one line, with everything that would not be seen written out."""
    return "".join(_SHORT.get(sign) or _written(sign) for sign in text)


def shown_lines(text: str) -> list[str]:
    """`text` line by line; its own line ends and tabs are kept as such."""
    return [shown(line.expandtabs(4)) for line in text.split("\n")]


def width(text: str) -> int:
    """The columns that `shown` text takes."""
    return sum(map(_columns, text))


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """`text` filled up with spaces to so many columns."""
    space = " " * (columns - width(text))
    return space + text if right else text + space


def shortened(text: str, columns: int) -> str:
    """`text` cut to so many columns, with a sign that it was."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for sign in text:
        used += _columns(sign)
        if used > columns - 1:
            break
        kept.append(sign)
    return "".join(kept) + "…"


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: int = 2) -> list[str]:
    """Rows of `shown` cells as lines; the columns in `right` are set to the right."""
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    return [
        (
            " " * indent
            + "  ".join(
                padded(cell, columns, right=place in right)
                for place, (cell, columns) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in rows
    ]


def wrapped(text: str, columns: int) -> list[str]:
    """`shown` text broken between words into lines of at most so many columns; a word that has more is cut."""
    return _filled([shortened(word, columns) for word in text.split(" ")], columns)


def folded(line: str, columns: int) -> list[str]:
    """`line` broken between words; a word that has more columns than there are, such as a path, stays whole.

    What stands behind two spaces or more is a column of a table, and stays in it where there is room for words; so does
    what is indented.
    """
    column = _FIRST_COLUMN.match(line)
    head = column.group() if column else ""
    if not head or columns - width(head) < _MIN_COLUMN:
        head = " " * (len(line) - len(line.lstrip(" ")))
    first, *rest = _filled(line[len(head) :].split(" "), columns - width(head))
    return [head + first, *(" " * width(head) + more for more in rest)]


def _filled(words: Sequence[str], columns: int) -> list[str]:
    lines, line = [], ""
    for word in words:
        if line and width(line) + 1 + width(word) > columns:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _columns(sign: str) -> int:
    if unicodedata.combining(sign) or sign in _JOINERS or unicodedata.category(sign) in {"Mn", "Me"}:
        return 0
    return 2 if unicodedata.east_asian_width(sign) in {"W", "F"} else 1


def _written(sign: str) -> str:
    if unicodedata.category(sign) not in _UNSEEN or sign in _JOINERS:
        return sign
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"
