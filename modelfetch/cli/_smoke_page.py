"""The page of `--report`: every result in one file that can be sent with a bug report. Decides only.

- It needs no network and no script, and its policy allows neither.
- Every text from outside is escaped: a model may be named, or write, whatever it likes.
- It names no token, no user, neither home nor store, and of a model's folder only its own name.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from modelfetch.cli import _smoke_pictures as pictures
from modelfetch.cli._output import printable
from modelfetch.cli._smoke_report import fact_rows, unproven
from modelfetch.cli._smoke_style import STYLE
from modelfetch.redact import redact

if TYPE_CHECKING:
    from modelfetch.smoketest import Finding, SmokeResult
    from modelfetch.smoketest.result import Spoken

# Shorter names are words as well, and stand in paths that say nothing of anybody.
_MIN_NAME = 3
_ORDER = ("FAIL", "WARN", "SKIP", "PASS")


@dataclass(frozen=True)
class Author:
    """What must not be named: the user, and folders, each with what it is called instead; and the version that made
    the page.
    """

    places: Mapping[str, str]
    user: str
    version: str

    def hide(self, text: str) -> str:
        """`text` without secrets, these folders and the user's name."""
        text = redact(text)
        for place in sorted(self.places, key=len, reverse=True):
            if len(place) > 1:
                text = text.replace(place, self.places[place])
        if len(self.user) < _MIN_NAME or self.user == "root":
            return text
        return re.sub(rf"(?<![\w-]){re.escape(self.user)}(?![\w-])", "USER", text)


def render_page(
    results: Sequence[SmokeResult], unchanged: Mapping[str, Mapping[str, Any]], made_at: datetime, author: Author
) -> str:
    """The whole page. `unchanged` are kept results that were not run again, by the model's name."""
    folders = {result.subject.folder.rstrip("/") for result in results}
    author = replace(author, places={**author.places, **{folder: folder.rpartition("/")[2] for folder in folders}})
    return "\n".join(_Page(author).lines(results, unchanged, made_at)) + "\n"


class _Page:
    """Writes with one author's names hidden."""

    def __init__(self, author: Author) -> None:
        self._author = author

    def lines(
        self, results: Sequence[SmokeResult], unchanged: Mapping[str, Mapping[str, Any]], made_at: datetime
    ) -> Iterator[str]:
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
        policy = f"default-src 'none'; style-src 'sha256-{digest}'"
        yield f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield '<meta name="referrer" content="no-referrer">'
        yield f"<title>{self._title(results)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<header>"
        yield f"<h1>{self._title(results)}</h1>"
        moment = made_at.strftime("%Y-%m-%d %H:%M UTC")
        yield f'<p class="dim">{moment}, modelfetch {self._text(self._author.version)}</p>\n</header>\n<main>'
        for result in results:
            yield from self._result(result)
        if unchanged:
            yield from self._unchanged(unchanged)
        yield "</main>\n</body>\n</html>"

    def _text(self, text: str) -> str:
        return escape(printable(self._author.hide(text)))

    def _title(self, results: Sequence[SmokeResult]) -> str:
        if len(results) == 1:
            return self._text(f"Smoke test of {self._name(results[0])}: {results[0].verdict.value}")
        verdicts = [result.verdict.value for result in results]
        counted = ", ".join(f"{verdicts.count(word)} {word}" for word in _ORDER if word in verdicts)
        return f"Smoke tests: {counted or 'nothing was run'}"

    def _name(self, result: SmokeResult) -> str:
        """A folder's own name, and not where it lies."""
        subject = result.subject
        return subject.name if subject.commit else subject.name.rstrip("/").rpartition("/")[2] or subject.name

    def _result(self, result: SmokeResult) -> Iterator[str]:
        facts, subject = result.facts, result.subject
        word = result.verdict.value
        yield f'<article class="{word.lower()}">'
        yield f'<h2><span class="word of">{word}</span>{self._text(self._name(result))}</h2>'
        about = [facts.kind, f"commit {subject.commit}" if subject.commit else "a plain folder"]
        if facts.level != "exercise":
            about.append(f"to the level {facts.level}")
        yield f'<p class="dim">{self._text(", ".join(part for part in about if part))}</p>'
        for finding in result.findings:
            yield from self._finding(finding)
        if word in {"PASS", "WARN"} and facts.bytes_known is None:
            yield f'<p class="dim">{self._text(unproven(subject))}: a model can pass with damaged weights.</p>'
        if result.spoken:
            yield from self._spoken(result.spoken, facts.new_tokens)
        yield from _pictures(result)
        # All versions stand below; the terminal shows a few.
        if rows := [row for row in fact_rows(facts) if row[0] != "ran with"]:
            yield f"<h3>Measured</h3>\n{self._table(rows)}"
        if facts.versions:
            versions = (
                f"<li>{self._text(name)} <b>{self._text(each)}</b></li>" for name, each in facts.versions.items()
            )
            yield f'<h3>Software</h3>\n<ul class="key">{"".join(versions)}</ul>'
        yield "</article>"

    def _finding(self, finding: Finding) -> Iterator[str]:
        severity = finding.severity.value
        yield f'<section class="finding {severity}">'
        yield f'<p><span class="word {severity}">{severity.upper()}</span><code>{self._text(finding.check)}</code></p>'
        yield f"<p>{self._text(finding.title)}</p>"
        if finding.evidence:
            yield self._table(finding.evidence.items())
        if finding.hint:
            yield f"<p><b>Do:</b> <code>{self._text(finding.hint)}</code></p>"
        yield "</section>"

    def _spoken(self, spoken: Spoken, tokens: int | None) -> Iterator[str]:
        yield f"<h3>Asked</h3>\n<pre>{self._text(spoken.prompt)}</pre>"
        if spoken.rendered is not None and spoken.rendered != spoken.prompt:
            rendered = self._text(spoken.rendered)
            yield f"<details><summary>the prompt as the model got it</summary><pre>{rendered}</pre></details>"
        if spoken.thinking is not None:
            yield f'<h3>Thought</h3>\n<pre class="thinking">{self._text(spoken.thinking)}</pre>'
        answer = spoken.answer or ("(empty)" if spoken.complete else "(still thinking when the tokens ran out)")
        yield f"<h3>Answered</h3>\n<pre>{self._text(answer)}</pre>"
        if spoken.ended is not None:
            yield f'<p class="dim">ended by {self._text(spoken.ended)}, after {tokens} tokens</p>'

    def _table(self, rows: Iterable[tuple[str, str]]) -> str:
        lines = (f"<dt>{self._text(name)}</dt><dd>{self._text(value)}</dd>" for name, value in rows)
        return f"<dl>{''.join(lines)}</dl>"

    def _unchanged(self, unchanged: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
        yield "<article>\n<h2>Not run again</h2>"
        yield '<p class="dim">They passed, and bytes, software, device and question are the same.</p>'
        yield self._table((name, f"{kept['verdict']}, {kept['tested_at']}") for name, kept in unchanged.items())
        yield "</article>"


def _pictures(result: SmokeResult) -> Iterator[str]:
    if bars := pictures.times(result):
        yield f"<h3>Time</h3>\n{pictures.of_a_whole(bars)}"
    if bars := pictures.memory(result):
        yield f"<h3>Memory</h3>\n{pictures.compared(bars)}"
    if bars := pictures.losses(result):
        yield f"<h3>Loss on plain {result.facts.loss_language}</h3>\n{pictures.compared(bars)}"
