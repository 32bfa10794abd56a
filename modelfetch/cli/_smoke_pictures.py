"""Numbers of a smoke test as pictures: a bar of SVG between its name and its number. Decides only.

- A bar says nothing that the words beside it do not say: it needs no colours, and who cannot see it misses nothing.
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

_WIDTH, _HEIGHT = 600, 14


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
    """The loss on plain text beside that of guessing."""
    facts = result.facts
    if facts.loss is None or facts.chance_loss is None or facts.loss != facts.loss:
        return []
    return [
        Bar("this model", facts.loss, f"{facts.loss:.2f}"),
        Bar("guessing", facts.chance_loss, f"{facts.chance_loss:.2f}"),
    ]


def of_a_whole(bars: Sequence[Bar]) -> str:
    """Parts of one thing, each as long as its share."""
    return _drawn(bars, sum(bar.value for bar in bars))


def compared(bars: Sequence[Bar]) -> str:
    """Numbers to be compared, the largest over the whole width."""
    return _drawn(bars, max((bar.value for bar in bars), default=0.0))


def _drawn(bars: Sequence[Bar], whole: float) -> str:
    rows = (f"<dt>{bar.label}</dt><dd>{_svg(bar.value / (whole or 1.0))}</dd><dd>{bar.shown}</dd>" for bar in bars)
    return f'<dl class="bars">{"".join(rows)}</dl>'


def _svg(share: float) -> str:
    """As wide as there is room and as high as said: it may be stretched along, not across."""
    shape = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" height="{_HEIGHT}" preserveAspectRatio="none" aria-hidden="true"'
    bar = f'<rect class="bar" x="0" y="0" width="{max(1.0, share * _WIDTH):.1f}" height="{_HEIGHT}"/>'
    return f'<svg {shape}><rect class="back" x="0" y="0" width="{_WIDTH}" height="{_HEIGHT}"/>{bar}</svg>'
