"""What a child answers about a model, as values; they come back as one JSON document.

- A document that does not hold exactly these fields with these types is no answer (`model.documents`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """One piece of a vocabulary. `text` is what it adds to a text, `bytes` the same in hexadecimal digits."""

    id: int
    piece: str
    text: str
    bytes: str
    special: bool


@dataclass(frozen=True)
class Tokenized:
    """A text as tokens, and what they give when they are put together again."""

    text: str
    tokens: tuple[Token, ...]
    decoded: str
    same: bool


@dataclass(frozen=True)
class Vocabulary:
    """The pieces that fit a pattern: how many there are, and the first of them by their ids."""

    pattern: str
    size: int
    matches: int
    tokens: tuple[Token, ...]


@dataclass(frozen=True)
class Rendered:
    """A sample conversation as the chat template writes it. The last two are None where they change nothing."""

    default: str | None
    thinking_on: str | None
    thinking_off: str | None
    error: str | None


@dataclass(frozen=True)
class Likely:
    """A token that could come next."""

    token: Token
    probability: float


@dataclass(frozen=True)
class Next:
    """The likeliest tokens after a text. `position` says for where in the text."""

    text: str
    position: str
    prompt_tokens: int
    likeliest: tuple[Likely, ...]


@dataclass(frozen=True)
class Occurrence:
    """One place of a word: in which text, counted from 0, and the pieces it is made of."""

    text: int
    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Vectors:
    """How near texts, or the places of one word in them, are to each other: cosines, a row for each."""

    pooling: str
    dimension: int
    texts: tuple[str, ...]
    cosines: tuple[tuple[float, ...], ...]
    notes: tuple[str, ...] = ()
    word: str | None = None
    occurrences: tuple[Occurrence, ...] = ()


@dataclass(frozen=True)
class RanOn:
    """Where the weights ran and in which type, each with the reason."""

    device: str
    device_reason: str
    dtype: str
    dtype_reason: str


@dataclass(frozen=True)
class Refused:
    """Why there is no answer: what was being done, and what was raised or found."""

    doing: str
    error: str
    message: str


@dataclass(frozen=True)
class Answers:
    """Everything that was asked; what was not is None."""

    tokenized: tuple[Tokenized, ...] = ()
    vocabulary: Vocabulary | None = None
    rendered: Rendered | None = None
    next: Next | None = None
    vectors: Vectors | None = None
    ran_on: RanOn | None = None
    refused: Refused | None = None
