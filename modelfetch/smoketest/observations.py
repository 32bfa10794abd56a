"""What was seen of a model, as values. They cross from the child process to its parent as lines (`lines`).

Decides nothing: a verdict is a pure function of these (`criteria`).

- An observation states a fact; whether the fact is good or bad is said nowhere here.
- Lists that a broken model could make endless are cut where they are made, with the true total beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

from modelfetch.model.contents import BrokenFile, NotExercised
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed
from modelfetch.model.thinking import Reply

MAX_EXAMPLES = 1000


@dataclass(frozen=True)
class Names:
    """Names of weights: how many there are, and the first `MAX_EXAMPLES` of them."""

    total: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ZeroRows:
    """A matrix in which whole rows are zero."""

    name: str
    zero_rows: int
    rows: int


# ---- seen by the parent, from the files alone


@dataclass(frozen=True)
class BytesKnown:
    """What is known of a snapshot's bytes: known from before, or read for it now; `damaged` are not as they were."""

    known_bytes: int
    read_bytes: int
    damaged: Names = Names()


@dataclass(frozen=True)
class HeadersRead:
    """The headers and configurations were read; how many files there are, and weights in their headers."""

    files: int
    weights: int


@dataclass(frozen=True)
class Planned:
    """What the files say the model is, before anything is run. `code` lists the Python files that came with it."""

    kind: str
    class_name: str
    stored_bytes: int
    pickled: bool = False
    instruct_name: bool = False
    quantisation: str | None = None
    type_doubt: str | None = None
    code: Mapping[str, str] = field(default_factory=dict)


# ---- seen by the child


@dataclass(frozen=True)
class Started:
    """A phase of the work began; what it does is being waited for."""

    phase: str


@dataclass(frozen=True)
class Stack:
    """The software that ran the model, and how long it took to import; without `byte_code` it takes that every time.

    `compiled` is whether it was compiled this time to be kept, in `byte_code_folder` where that is not beside it.
    """

    versions: Mapping[str, str]
    threads: int
    import_s: float | None = None
    byte_code: bool = True
    compiled: bool = False
    byte_code_folder: str | None = None


@dataclass(frozen=True)
class Structured:
    """The model's class was made without memory, and its weights looked for in the headers of the files."""

    class_name: str
    seconds: float
    parameters: int
    missing: Names = Names()
    unexpected: Names = Names()
    mismatched: Names = Names()


@dataclass(frozen=True)
class Loaded:
    """The model's class was made and its weights read."""

    class_name: str
    attention: str
    seconds: float
    parameters: int
    embedding_rows: int | None
    missing: Names = Names()
    unexpected: Names = Names()
    mismatched: Names = Names()
    on_meta: Names = Names()


@dataclass(frozen=True)
class WeightsScanned:
    """Every weight was looked at once. `vectors` are the one-dimensional ones: norms and biases; `norms` are those of
    them that are called so, because some classes begin with random biases. `spread` is looked at where there are none
    of either: the standard deviation of the widest matrix over that of the narrowest.
    """

    tensors: int
    vectors: int
    constant_vectors: int
    not_finite: Names = Names()
    huge: Names = Names()
    zero_rows: tuple[ZeroRows, ...] = ()
    norms: int = 0
    constant_norms: int = 0
    spread: float | None = None


@dataclass(frozen=True)
class TokenIds:
    """The highest id of some tokens beside the rows of the embedding they look up."""

    what: str
    highest_id: int
    embedding_rows: int


@dataclass(frozen=True)
class Prompted:
    """What the model was asked. `rendered` is the prompt after the chat template, None where that failed.

    `header` is what the template writes before an answer and leaves out of the prompt; `foreign` are marks that it
    writes and the tokenizer does not know, where there is no other mark in the prompt.
    """

    text: str
    rendered: str | None
    chat: bool
    built_in: bool
    template_error: str | None = None
    header: str | None = None
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """What the tokenizer makes of the tokens of a text: another text, where it is broken."""

    text: str
    restored: str


@dataclass(frozen=True)
class Predicted:
    """Mean loss, in nats, on text the model has not chosen. `excuse` says why it cannot judge this model."""

    loss: float
    vocabulary: int
    tokens: int
    excuse: str | None = None
    language: str = "English"


@dataclass(frozen=True)
class Generated:
    """New tokens, decoded with special tokens left in. `ended` is `end of text`, `stop string`, `length` or `time`.

    `parted` is there where the tokenizer says itself what of it is thinking.
    """

    text: str
    new_ids: tuple[int, ...]
    special_tokens: tuple[str, ...]
    only_special: bool
    turn_end_inside: str | None
    ended: str
    prompt_tokens: int
    first_token_s: float
    decode_s: float
    same_again: bool | None
    finite: bool
    parted: Reply | None = None


@dataclass(frozen=True)
class Configured:
    """The model wrote two tokens as its own configuration says, or why it could not."""

    error: str | None


@dataclass(frozen=True)
class Filled:
    """What a masked model puts in the gap of a sentence, best first."""

    sentence: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Embedded:
    """Cosines of sentence embeddings. `batch_similarity` compares one sentence alone and padded in a batch.

    `nearer` counts how many of the `compared` sentences are nearer to what means the same than to what means another
    thing in the same words.
    """

    pooling: str
    dimension: int
    finite: bool
    related: float
    unrelated: float
    batch_similarity: float | None
    sentences: tuple[str, str, str]
    nearer: int = 0
    compared: int = 0


@dataclass(frozen=True)
class Ranked:
    """Scores of two documents for one query. `ranker` is true where the files say that the model ranks.

    A language model that ranks was asked in words, `rendered`; its score is how much rather it says yes than no.
    `certain` is false where how to ask it was a guess.
    """

    relevant: float
    irrelevant: float
    ranker: bool
    rendered: str | None = None
    certain: bool = True


@dataclass(frozen=True)
class Answered:
    """What a head gave for two different inputs: its shape, and whether the outputs are numbers and differ."""

    head: str
    shape: tuple[int, ...]
    finite: bool
    differs: bool
    detail: str = ""


@dataclass(frozen=True)
class Memory:
    """The most memory that was in use at once."""

    process_bytes: int
    gpu_bytes: int | None


@dataclass(frozen=True)
class Wrote:
    """The end of what the model has written so far: to be shown while it writes, and judged nowhere."""

    text: str


@dataclass(frozen=True)
class Raised:
    """An exception ended the work in `phase`."""

    phase: str
    error: str
    message: str


@dataclass(frozen=True)
class Finished:
    """The child did all that it was asked to."""

    seconds: float


# ---- seen by the parent, of the child


@dataclass(frozen=True)
class Garbled:
    """A line from the child that is no observation."""

    line: str


@dataclass(frozen=True)
class Ended:
    """How the child process ended. `oom_kills` counts what the kernel killed for memory meanwhile."""

    exit_status: int | None
    signal: str | None
    timed_out: bool
    seconds: float
    phase: str
    oom_kills: int
    log: str


Observation = (
    BrokenFile
    | NotExercised
    | BytesKnown
    | HeadersRead
    | Planned
    | Started
    | Stack
    | Placed
    | DoesNotFit
    | NoDevice
    | Structured
    | Loaded
    | WeightsScanned
    | TokenIds
    | Prompted
    | Restored
    | Predicted
    | Generated
    | Configured
    | Filled
    | Embedded
    | Ranked
    | Answered
    | Memory
    | Wrote
    | Raised
    | Finished
    | Garbled
    | Ended
)
OBSERVATIONS: Mapping[str, type[Observation]] = {kind.__name__: kind for kind in get_args(Observation)}
