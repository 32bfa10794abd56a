"""How to run a smoke test, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from modelfetch.model.placement import Wish
from modelfetch.smoketest.level import Level

# The longest text that an exercise gives a model is the paragraph, of some 90 tokens in English and 300 in bytes.
PROMPT_TOKENS = 512


@dataclass(frozen=True)
class SmokeOptions:
    """How to run a smoke test, and how far. `timeout_s` None: a limit that grows with the model."""

    device: str = "auto"
    dtype: str = "auto"
    max_new_tokens: int = 32
    prompt: str | None = None
    timeout_s: float | None = None
    trust_remote_code: bool = False
    allow_random: bool = False
    level: Level = Level.EXERCISE

    @property
    def wish(self) -> Wish:
        """Where it is to run, with room for the longest answer."""
        return Wish(self.device, self.dtype, tokens=PROMPT_TOKENS + self.max_new_tokens)


DEFAULTS = SmokeOptions()
