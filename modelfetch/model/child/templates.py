"""Chat templates: where a model keeps its own, and a conversation rendered through it.

A template is a program of the model's. transformers runs it in a sandbox, which bounds what it reaches and not how long
it takes: whoever starts the child ends it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Messages = Sequence[Mapping[str, Any]]

# By these names templates are told whether the model is to think.
_SWITCHES = re.compile(r"\benable_thinking\b|\bthinking is (?:not )?defined\b|\bif (?:not )?thinking\b")


def find_template(folder: str, tokenizer: Any) -> str | None:
    """The chat template: the tokenizer's, or the one that older processors keep in a file of their own."""
    if getattr(tokenizer, "chat_template", None):
        return str(tokenizer.get_chat_template())
    path = Path(folder, "chat_template.json")
    if not path.is_file():
        return None
    template = json.loads(path.read_text(encoding="utf-8")).get("chat_template")
    return template if isinstance(template, str) else None


def has_thinking_switch(template: str) -> bool:
    """Whether the template can be told to let the model think, or not to."""
    return bool(_SWITCHES.search(template))


def render(
    tokenizer: Any, template: str, messages: Messages, *, thinking: bool | None = None, reply_follows: bool = True
) -> str:
    """The prompt. `thinking` None leaves it to the template; one that has no such switch passes over it."""
    switches = {} if thinking is None else {"enable_thinking": thinking, "thinking": thinking}
    rendered = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        chat_template=template,
        tokenize=False,
        add_generation_prompt=reply_follows,
        **switches,
    )
    return str(rendered)


def in_parts(messages: Messages) -> list[dict[str, Any]]:
    """The messages in the form that some templates want: their content as a list of parts."""
    return [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in messages]
