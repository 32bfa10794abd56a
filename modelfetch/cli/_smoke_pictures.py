"""Numbers of a smoke test as pictures: bars of SVG with a key in words. Decides only.

- A picture says nothing that its key does not say as well.
- It holds numbers and our own words alone: nothing that a model or a file could have named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modelfetch.model.placement import Placed
from modelfetch.units import format_bytes

if TYPE_CHECKING:
    from modelfetch.smoketest import SmokeResult

_WIDTH, _HEIGHT, _GAP = 600, 18, 6


@dataclass(frozen=True)
class Bar:
    """One number: what it is, and how it reads."""

    label: str
    value: float
    shown: str


def times(result: SmokeResult) -> list[Bar]:
    """What the time was spent on; nothing where it did not come to loading."""
    facts = result.facts
    if facts.seconds is None or facts.load_s is None:
        return []
    writing = 0.0
    if facts.decode_tokens_per_s and facts.new_tokens:
        writing = (facts.new_tokens - 1) / facts.decode_tokens_per_s
    parts = {
        "imports": facts.import_s or 0.0,
        "loading": facts.load_s,
        "first token": facts.first_token_s or 0.0,
        "writing": writing,
    }
    parts["checks and the rest"] = max(0.0, facts.seconds - sum(parts.values()))
    return [Bar(label, value, f"{value:.1f} s") for label, value in parts.items() if value > 0]


def memory(result: SmokeResult) -> list[Bar]:
    """What was reckoned, what was used at most, what was free."""
    facts = result.facts
    placed = next((each for each in reversed(result.observations) if isinstance(each, Placed)), None)
    need = placed.need.total_bytes if placed and placed.need else None
    sizes = {
        "reckoned before loading": need,
        "used at most by the process": facts.peak_process_bytes,
        "used at most on the GPU": facts.peak_gpu_bytes,
        "free before": placed.available_bytes if placed else None,
    }
    return [Bar(label, size, format_bytes(size)) for label, size in sizes.items() if size is not None]


def losses(result: SmokeResult) -> list[Bar]:
    """The loss on English beside that of guessing."""
    facts = result.facts
    if facts.loss is None or facts.chance_loss is None or facts.loss != facts.loss:
        return []
    return [
        Bar("this model", facts.loss, f"{facts.loss:.2f}"),
        Bar("guessing", facts.chance_loss, f"{facts.chance_loss:.2f}"),
    ]


def in_a_row(bars: Sequence[Bar], name: str) -> str:
    """Parts of a whole, one after another."""
    whole = sum(bar.value for bar in bars) or 1.0
    parts, left = [], 0.0
    for number, bar in enumerate(bars, 1):
        width = bar.value / whole * _WIDTH
        parts.append(f'<rect class="c{number}" x="{left:.1f}" y="0" width="{width:.1f}" height="{_HEIGHT}"/>')
        left += width
    return _svg(parts, _HEIGHT, name) + _key(bars)


def one_below_another(bars: Sequence[Bar], name: str) -> str:
    """Numbers to be compared, each from the left edge."""
    largest = max((bar.value for bar in bars), default=0.0) or 1.0
    parts = []
    for number, bar in enumerate(bars, 1):
        top, width = (number - 1) * (_HEIGHT + _GAP), max(1.0, bar.value / largest * _WIDTH)
        parts.append(f'<rect class="back" x="0" y="{top}" width="{_WIDTH}" height="{_HEIGHT}"/>')
        parts.append(f'<rect class="c{number}" x="0" y="{top}" width="{width:.1f}" height="{_HEIGHT}"/>')
    return _svg(parts, len(bars) * (_HEIGHT + _GAP) - _GAP, name) + _key(bars)


def _svg(parts: Sequence[str], height: int, name: str) -> str:
    """As wide as the page and as high as said: bars may be stretched along, not across."""
    shape = f'viewBox="0 0 {_WIDTH} {height}" height="{height}" preserveAspectRatio="none"'
    return f'<svg {shape} role="img" aria-label="{name}">{"".join(parts)}</svg>'


def _key(bars: Sequence[Bar]) -> str:
    entries = (
        f'<li><i class="c{number}"></i>{bar.label}: <b>{bar.shown}</b></li>' for number, bar in enumerate(bars, 1)
    )
    return f'<ul class="key">{"".join(entries)}</ul>'
