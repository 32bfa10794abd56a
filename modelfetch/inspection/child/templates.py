"""Renders a sample conversation through the chat template, in the sandbox that transformers runs templates in.

- A template that loops is ended after `LIMIT_S`, one that wants more than `MEMORY_BYTES` at once.
"""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from modelfetch.inspection.answers import Rendered
from modelfetch.model.child import memory
from modelfetch.model.child.templates import find_template, in_parts

LIMIT_S = 10
MEMORY_BYTES = 1 << 30
MAX_RENDERED = 1 << 20
CONVERSATION = (
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy?"},
)


def render(folder: str, tokenizer: Any) -> Rendered:
    """The sample as the template writes it by default, and with thinking on and off where that changes it."""
    template = find_template(folder, tokenizer)
    if template is None:
        return Rendered(None, None, None, None)
    try:
        with _limited(LIMIT_S):
            default = _apply(tokenizer, template)
            on, off = (_apply(tokenizer, template, enable_thinking=thinking) for thinking in (True, False))
    except Exception as error:
        return Rendered(None, None, None, f"{type(error).__name__}: {error}"[:500].removesuffix(": "))
    if on == off:
        return Rendered(default, None, None, None)
    return Rendered(default, on, off, None)


def _apply(tokenizer: Any, template: str, **choices: bool) -> str:
    """Some templates want the content of a message in parts; they lose or refuse it otherwise."""
    marker = CONVERSATION[0]["content"]
    try:
        rendered = _rendered(tokenizer, template, list(CONVERSATION), choices)
    except Exception:
        rendered = ""
    if marker not in rendered:
        rendered = _rendered(tokenizer, template, in_parts(CONVERSATION), choices)
    return rendered


def _rendered(tokenizer: Any, template: str, messages: list[Any], choices: dict[str, bool]) -> str:
    text = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=True, **choices
    )
    return str(text)[:MAX_RENDERED]


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        # Not an Exception: a template engine catches those.
        raise _TooLong

    handler = signal.signal(signal.SIGALRM, stop)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    memory.cap(memory.data_bytes() + MEMORY_BYTES)
    signal.alarm(seconds)
    try:
        yield
    except _TooLong:
        raise TimeoutError(f"the template was still being rendered after {seconds} s") from None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_DATA, limits)


class _TooLong(BaseException):
    """The time of a template is over."""
