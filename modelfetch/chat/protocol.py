"""What the program and the child that holds the model say to each other: values, one line of JSON each.

- What is read has the declared fields with the declared types, or it is not read: a model's code may write anything.
- A request and all that answers it carry one number, so that a late stop stops nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import get_args

from modelfetch.chat.conversation import Message
from modelfetch.chat.settings import Defaults, Sampling
from modelfetch.model.documents import read_value
from modelfetch.model.kind import Exercise
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed, Wish

# Phases of a reply, as a sentence has them; those of loading have the names that smoke gives them.
RENDERING = "rendering the chat template"
WRITING = "writing"

# ---- told to the child


@dataclass(frozen=True)
class Load:
    """The model to load, and where; comes first."""

    folder: str
    exercise: Exercise
    wish: Wish
    trust_remote_code: bool


@dataclass(frozen=True)
class Ask:
    """Reply to the last of `messages`, after the others. `thinking` None leaves it to the template."""

    number: int
    messages: tuple[Message, ...]
    sampling: Sampling
    thinking: bool | None


@dataclass(frozen=True)
class Stop:
    """End the reply to the request of this number, if it is still being written."""

    number: int


# ---- told by the child


@dataclass(frozen=True)
class Started:
    """A phase of the work began."""

    phase: str


@dataclass(frozen=True)
class Ready:
    """The model is loaded. `context_tokens` is the most it reads and writes in all, where its configuration says.

    `missing_weights` were not in the files, or had another shape: the model is not the one that was trained.
    """

    defaults: Defaults
    template: bool
    thinking_switch: bool
    context_tokens: int | None
    missing_weights: int = 0


@dataclass(frozen=True)
class TooLong:
    """The request is not answered: with room for a reply it is longer than the model can read."""

    number: int
    prompt_tokens: int
    context_tokens: int


@dataclass(frozen=True)
class Began:
    """The reply begins. `prompt_end` is what the rendered prompt ends with, where it may open a thought.

    `parted`: the tokenizer says itself what of the reply is thinking.
    """

    number: int
    prompt_end: str
    prompt_tokens: int
    parted: bool = False


@dataclass(frozen=True)
class Wrote:
    """Some more of the reply; a special token comes alone. `thinking` is told of a reply that is `parted`."""

    number: int
    text: str
    special: bool
    thinking: bool = False


@dataclass(frozen=True)
class Ended:
    """The reply is over: by `end of text`, `length` or `stop`, which is the user's; where the model's own configuration
    has one, by a `stop string` or the `time`. `decode_s` is the time after the first token.
    """

    number: int
    why: str
    new_tokens: int
    first_token_s: float
    decode_s: float


@dataclass(frozen=True)
class Raised:
    """What was being done failed in `phase`. While a reply is written, the model stays and the next may be asked."""

    phase: str
    error: str
    message: str


Request = Load | Ask | Stop
Report = Started | Placed | DoesNotFit | NoDevice | Ready | TooLong | Began | Wrote | Ended | Raised
_KINDS: Mapping[str, type[Request | Report]] = {kind.__name__: kind for kind in (*get_args(Request), *get_args(Report))}


def to_line(value: Request | Report) -> bytes:
    """One line, with its end."""
    return json.dumps({"is": type(value).__name__, **asdict(value)}).encode() + b"\n"


def from_line(line: bytes) -> Request | Report:
    """What `to_line` wrote.

    Raises:
        ValueError: it is anything else.
    """
    try:
        document = json.loads(line)
        return read_value(document, _KINDS[document.pop("is")])
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"{line[:80]!r} is no line of the protocol") from error
