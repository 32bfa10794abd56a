"""Text out of tokens as they come, in fragments that are whole. Decides only.

- A character whose bytes are spread over several tokens comes when its last byte has; one that never ends never comes.
- A token is decoded together with those before it: many tokenizers write a word's space only between two words.
- A special token is a fragment of its own, so that it can be told from text that spells it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

# What decoders put in the place of bytes that are no character, or not one yet.
BROKEN = "\ufffd"
# So many tokens of the prompt are decoded with the first new ones.
CONTEXT_TOKENS = 6


@dataclass(frozen=True)
class Fragment:
    """Some of the text that was written. `thinking` is set where the tokenizer itself tells thinking from answer."""

    text: str
    special: bool = False
    thinking: bool = False


class Fragments:
    """Give it each new token; it gives the fragments that are complete."""

    def __init__(
        self, decode: Callable[[list[int]], str], special_ids: Collection[int], prompt_ids: Sequence[int] = ()
    ) -> None:
        self._decode = decode
        self._special_ids = special_ids
        # `_ids[:_given]` are already told, and decoded again only so that what follows is decoded as after them.
        self._ids = list(prompt_ids[-CONTEXT_TOKENS:])
        self._given = len(self._ids)

    def put(self, token_id: int) -> Iterator[Fragment]:
        """The fragments that `token_id` completes."""
        if token_id in self._special_ids:
            yield from self.finish()
            yield Fragment(self._decode([token_id]), special=True)
            self._ids, self._given = [], 0
            return
        self._ids.append(token_id)
        text = self._new_text()
        if text and not text.endswith(BROKEN):
            self._go_on()
            yield Fragment(text)

    def finish(self) -> Iterator[Fragment]:
        """What is left when no more tokens follow."""
        text = self._new_text().rstrip(BROKEN)
        self._go_on()
        if text:
            yield Fragment(text)

    def _new_text(self) -> str:
        told = self._decode(self._ids[: self._given])
        return self._decode(self._ids)[len(told) :]

    def _go_on(self) -> None:
        self._ids = self._ids[self._given :]
        self._given = len(self._ids)
