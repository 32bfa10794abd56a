"""Where a reasoning model's thinking ends and its answer begins. Decides only, on text with its special tokens in it.

- Thinking is open from the start when the rendered prompt ends with an opening tag (many templates write it), or when
  the output begins with one. A tag anywhere else in the prompt counts for nothing: a user may mention it.
- The first closing tag ends the thinking; a closing tag that nothing opened ends it too.
- Thinking that never closes was cut off by the token limit: the answer is empty, and that is no fault of the model.
- Without any tag, everything is answer.
- The channels of the harmony format are thinking when they are not the final one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

TAGS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),
    ("<seed:think>", "</seed:think>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
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


def split(text: str, rendered_prompt: str, special_tokens: Iterable[str] = ()) -> Reply:
    """Part `text`, the new tokens only, and take `special_tokens` out of what is to be read."""
    reply = _split_harmony(text) if HARMONY_CHANNEL in text else _split_tags(text, rendered_prompt)
    specials = sorted(set(special_tokens), key=len, reverse=True)
    thinking = None if reply.thinking is None else _clean(reply.thinking, specials) or None
    return Reply(thinking, _clean(reply.answer, specials), reply.finished)


def _split_tags(text: str, rendered_prompt: str) -> Reply:
    prompt = rendered_prompt.rstrip()
    for opening, closing in TAGS:
        body = text.lstrip()
        starts = body.startswith(opening)
        body = body[len(opening) :] if starts else body
        thinking, close, answer = body.partition(closing)
        if close:
            return Reply(thinking, answer)
        if starts or prompt.endswith(opening):
            return Reply(body, "", finished=False)
    return Reply(None, text)


def _split_harmony(text: str) -> Reply:
    messages = [(match.group(1), match.group(2)) for match in _HARMONY_MESSAGE.finditer(text)]
    thinking = "\n".join(body for channel, body in messages if channel != "final")
    finals = [body for channel, body in messages if channel == "final"]
    return Reply(thinking or None, "\n".join(finals), finished=bool(finals))


def _clean(text: str, specials: list[str]) -> str:
    for special in specials:
        text = text.replace(special, "")
    return text.strip()
