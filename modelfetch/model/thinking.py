"""Where a reasoning model's thinking ends and its answer begins. Decides only, on text with its special tokens in it.

- Thinking is open from the start when the rendered prompt ends with an opening tag (many templates write it), or when
  the output begins with one. A tag anywhere else in the prompt counts for nothing: a user may mention it.
- The first closing tag of its family ends the thinking; a closing tag that nothing opened ends it too.
- Thinking that never closes was cut off by the token limit: the answer is empty, and that is no fault of the model.
- Without any tag, everything is answer.
- The channels of the harmony format are thinking when they are not the final one.
- Where a tokenizer says itself what is what, the passages are joined and no tag is looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought", "<channel|>"),
)
HARMONY_CHANNEL = "<|channel|>"
_HARMONY_MESSAGE = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|return|call|start)\|>|\Z)", re.DOTALL
)


@dataclass(frozen=True)
class Reply:
    """`finished` is false where the thinking was still open when the tokens ran out."""

    thinking: str | None
    answer: str
    finished: bool = True


@dataclass(frozen=True)
class Passage:
    """Some of a reply whose tokenizer says what it is."""

    text: str
    thinking: bool = False


def joined(passages: Sequence[Passage]) -> Reply:
    """The reply that such passages make; it is not finished where the last of them is still thinking."""
    thinking = "".join(passage.text for passage in passages if passage.thinking).strip()
    answer = "".join(passage.text for passage in passages if not passage.thinking).strip()
    return Reply(thinking or None, answer, finished=not (passages and passages[-1].thinking))


def split(text: str, rendered_prompt: str, special_tokens: Iterable[str] = ()) -> Reply:
    """Part `text`, the new tokens only, and take `special_tokens` out of what is to be read."""
    reply = _split_harmony(text) if HARMONY_CHANNEL in text else _split_tags(text, rendered_prompt)
    specials = sorted(set(special_tokens), key=len, reverse=True)
    thinking = None if reply.thinking is None else _clean(reply.thinking, specials) or None
    return Reply(thinking, _clean(reply.answer, specials), reply.finished)


def _split_tags(text: str, rendered_prompt: str) -> Reply:
    prompt, body = rendered_prompt.rstrip(), text.lstrip()
    pairs = [pair for pair in TAGS if prompt.endswith(pair[0])] or [pair for pair in TAGS if body.startswith(pair[0])]
    if pairs:
        opening, closing = pairs[0]
        thinking, close, answer = body.removeprefix(opening).partition(closing)
        return Reply(thinking, answer, finished=bool(close))
    closings = [(text.index(closing), closing) for _, closing in TAGS if closing in text]
    if not closings:
        return Reply(None, text)
    start, closing = min(closings)
    return Reply(text[:start], text[start + len(closing) :])


def _split_harmony(text: str) -> Reply:
    messages = [(match.group(1), match.group(2)) for match in _HARMONY_MESSAGE.finditer(text)]
    thinking = "\n".join(body for channel, body in messages if channel != "final")
    finals = [body for channel, body in messages if channel == "final"]
    return Reply(thinking or None, "\n".join(finals), finished=bool(finals))


def _clean(text: str, specials: list[str]) -> str:
    for special in specials:
        text = text.replace(special, "")
    return text.strip()
