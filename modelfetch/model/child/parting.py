"""Parts a reply into thinking and answer as the tokenizer's own response template says, where it has one.

Such a template comes with the model and is read by transformers; what it cannot part is left to `model.thinking`.

- A template that cannot be used parts nothing, and so does a transformers that knows none.
- When its parser fails half way, what follows is answer.
- Special tokens that it leaves in the text are not to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from modelfetch.model.thinking import Passage

# What templates call the region in which a model thinks.
THOUGHTS = frozenset({"reasoning_content", "reasoning", "thinking"})


def parting_of(tokenizer: Any, prompt: str, special_tokens: Collection[str]) -> Parting | None:
    """What parts the reply to a rendered `prompt`; None where the tokenizer does not say how."""
    if not getattr(tokenizer, "response_template", None):
        return None
    try:
        return Parting(tokenizer.get_response_parser(prefix=prompt), special_tokens)
    except Exception:
        # A file of the model's own: it may hold anything, and there is another way to part a reply.
        return None


class Parting:
    """Give it the reply as it is written, special tokens and all; it gives the passages that are known."""

    def __init__(self, parser: Any, special_tokens: Collection[str]) -> None:
        self._parser = parser
        self._special_tokens = sorted(special_tokens, key=len, reverse=True)
        self._failed = False

    def put(self, text: str) -> Iterator[Passage]:
        """The passages that `text` completes. One without text says that the thinking is over."""
        events = [] if self._failed else self._events(lambda: self._parser.feed(text))
        for event in events:
            thinking = event.get("field") in THOUGHTS
            if event.get("type") == "region_chunk":
                yield Passage(self._readable(str(event.get("text"))), thinking)
            elif event.get("type") == "region_close" and thinking:
                yield Passage("")
        if self._failed:
            yield Passage(self._readable(text))

    def finish(self) -> Iterator[Passage]:
        """What was held back."""
        events = [] if self._failed else self._events(lambda: self._parser.finalize()[1])
        for event in events:
            if event.get("type") == "region_chunk":
                yield Passage(self._readable(str(event.get("text"))), event.get("field") in THOUGHTS)

    def _events(self, parse: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
        try:
            return parse()
        except Exception:
            self._failed = True
            return []

    def _readable(self, text: str) -> str:
        for token in self._special_tokens:
            text = text.replace(token, "")
        return text
