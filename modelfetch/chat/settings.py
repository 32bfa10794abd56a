"""The parameters of a conversation: what they may be, and what they come to with the model's own. Decides only.

- A parameter means what transformers says; what is not set is the model's own `generation_config`, and what that does
  not say is transformers' own.
- Temperature 0 is greedy. Setting any other way of choosing turns sampling on, which transformers alone would not do.
- A value out of its range is refused with the range, wherever it was typed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from modelfetch.errors import UsageError

Number = TypeVar("Number", int, float)

# The word that gives a parameter back to the model.
DEFAULT = "default"
# Enough for a long answer or a short thought; at the ten tokens a second of a small machine, two minutes.
MAX_NEW_TOKENS = 1024


@dataclass(frozen=True)
class Parameter:
    """One number that can be set: whole or not, between `low` and `high`."""

    whole: bool
    low: int
    high: int
    meaning: str

    def read(self, name: str, text: str) -> Any:
        """The number that `text` is.

        Raises:
            UsageError: it is none, or out of the range.
        """
        try:
            value = int(text) if self.whole else float(text)
        except ValueError:
            value = math.nan
        # What is no number is not within the range either, NaN included.
        if not self.low <= value <= self.high:
            what = "a whole number" if self.whole else "a number"
            raise UsageError(
                f"`{name}` cannot be `{text[:80]}`",
                facts={"expected": f"{what} from {self.low} to {self.high}, or `{DEFAULT}`", "means": self.meaning},
            )
        return value


PARAMETERS: Mapping[str, Parameter] = {
    "temperature": Parameter(False, 0, 100, "how boldly it chooses; 0 is greedy"),
    "top_p": Parameter(False, 0, 1, "among the likeliest tokens of this share"),
    "top_k": Parameter(True, 0, 1_000_000, "among this many tokens; 0 is all"),
    "max_new_tokens": Parameter(True, 1, 1_000_000, "the longest reply, with its thinking"),
    "seed": Parameter(True, 0, 2**32 - 1, "the same seed, the same reply"),
}


@dataclass(frozen=True)
class Defaults:
    """How the model's own `generation_config` chooses tokens."""

    do_sample: bool = False
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


# What transformers 5 does where nobody says otherwise.
TRANSFORMERS = Defaults(do_sample=False, temperature=1.0, top_p=1.0, top_k=50)


@dataclass(frozen=True)
class Sampling:
    """How one reply is to be chosen, with nothing left open; a seed of None is a new one each time."""

    do_sample: bool
    temperature: float
    top_p: float
    top_k: int
    max_new_tokens: int
    seed: int | None


@dataclass(frozen=True)
class Settings:
    """What the user has set; None is the model's own."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    max_new_tokens: int | None = None
    seed: int | None = None

    def with_text(self, name: str, text: str) -> Settings:
        """These settings with `name`, in whatever spelling, set to what `text` says.

        Raises:
            UsageError: there is no such parameter, or it cannot be that.
        """
        name = name.strip("-").replace("-", "_").lower()
        if name not in PARAMETERS:
            raise UsageError(f"there is no parameter `{name[:80]}`", facts={"expected": ", ".join(PARAMETERS)})
        parameter = PARAMETERS[name]
        value = None if text.lower() == DEFAULT else parameter.read(name, text)
        return replace(self, **{name: value})

    def sampling(self, own: Defaults) -> Sampling:
        """What these come to with a model's own."""
        do_sample = own.do_sample
        if self.temperature is not None or self.top_p is not None or self.top_k is not None:
            do_sample = True
        temperature = _first(self.temperature, own.temperature, TRANSFORMERS.temperature)
        return Sampling(
            do_sample=do_sample and temperature != 0,
            temperature=temperature,
            top_p=_first(self.top_p, own.top_p, TRANSFORMERS.top_p),
            top_k=_first(self.top_k, own.top_k, TRANSFORMERS.top_k),
            max_new_tokens=self.max_new_tokens or MAX_NEW_TOKENS,
            seed=self.seed,
        )


def described(sampling: Sampling) -> str:
    """How the tokens of a reply are chosen, in a few words."""
    if not sampling.do_sample:
        return "greedy: always the likeliest token"
    return f"sampling: temperature {sampling.temperature:g}, top_p {sampling.top_p:g}, top_k {sampling.top_k}"


def _first(*values: Number | None) -> Number:
    return next(value for value in values if value is not None)
