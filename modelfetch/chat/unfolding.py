"""A reply that can be shown while it is written: what is thinking, what is answer, as far as is known. Decides only.

What is thinking and what is answer says `model.thinking`, of all that was written so far.

- Text that may still become a tag is held back, so that no half of a tag is shown.
- What was shown is never taken back. Where a closing tag tells that it was thinking, that is told with the next part.
- A reply without a chat template is text, spaces and all.
- Where the tokenizer says itself what is thinking, no tag is looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelfetch.chat.fragments import Fragment
from modelfetch.model.thinking import TAGS, Passage, Reply, joined, split

_TAGS = tuple(tag for pair in TAGS for tag in pair)


@dataclass(frozen=True)
class Part:
    """A bit of what is to be shown. `all_before_was_thinking` tells of parts that were shown as an answer."""

    text: str
    thinking: bool = False
    all_before_was_thinking: bool = False


class Unfolding:
    """Give it each fragment; it gives the parts that can be shown."""

    def __init__(self, rendered_prompt: str) -> None:
        self._prompt = rendered_prompt
        self._text = ""
        self._special: set[str] = set()
        self._shown_thinking = ""
        self._shown_answer = ""

    def put(self, fragment: Fragment) -> Iterator[Part]:
        """What `fragment` makes known."""
        self._text += fragment.text
        if fragment.special:
            self._special.add(fragment.text)
        yield from self._parts(_without_half_a_tag(self._text))

    def finish(self) -> Iterator[Part]:
        """What was held back."""
        yield from self._parts(self._text)

    def reply(self) -> Reply:
        """The whole reply, as far as it was written."""
        return split(self._text, self._prompt, self._special)

    def _parts(self, text: str) -> Iterator[Part]:
        reply = split(text, self._prompt, self._special)
        thinking = reply.thinking or ""
        if not reply.answer.startswith(self._shown_answer):
            yield Part("", all_before_was_thinking=True)
            self._shown_thinking, self._shown_answer = self._shown_answer, ""
        if new := _rest(thinking, self._shown_thinking):
            self._shown_thinking = thinking
            yield Part(new, thinking=True)
        if new := _rest(reply.answer, self._shown_answer):
            self._shown_answer = reply.answer
            yield Part(new)


class Plain:
    """The same for a model without a chat template: everything is answer, and special tokens are not to be read."""

    def __init__(self) -> None:
        self._text = ""

    def put(self, fragment: Fragment) -> Iterator[Part]:
        if not fragment.special:
            self._text += fragment.text
            yield Part(fragment.text)

    def finish(self) -> Iterator[Part]:
        yield from ()

    def reply(self) -> Reply:
        return Reply(None, self._text)


class Parted:
    """The same for a tokenizer that says itself what is thinking."""

    def __init__(self) -> None:
        self._pieces: list[Passage] = []
        self._begun = {True: False, False: False}

    def put(self, fragment: Fragment) -> Iterator[Part]:
        thinking = fragment.thinking
        self._pieces.append(Passage(fragment.text, thinking))
        # Space before the first word is layout.
        text = fragment.text if self._begun[thinking] else fragment.text.lstrip()
        if text:
            self._begun[thinking] = True
            yield Part(text, thinking)

    def finish(self) -> Iterator[Part]:
        yield from ()

    def reply(self) -> Reply:
        return joined(self._pieces)


def _without_half_a_tag(text: str) -> str:
    """`text` without an ending that more text could make a tag of."""
    tail = text[-max(map(len, _TAGS)) :]
    starts = (start for start in range(len(tail)) if any(tag.startswith(tail[start:]) for tag in _TAGS))
    held = next(starts, len(tail))
    whole = tail[held:] in _TAGS
    return text if whole else text[: len(text) - len(tail) + held]


def _rest(text: str, shown: str) -> str:
    return text[len(shown) :] if text.startswith(shown) else ""
