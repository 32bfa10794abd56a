"""Puts the question as the model wants it: through its chat template where it has one."""

from __future__ import annotations

from itertools import product
from typing import Any

from modelfetch.model.child.templates import find_template, in_parts, render
from modelfetch.model.kind import Kind
from modelfetch.smoketest.observations import Prompted
from modelfetch.smoketest.prompts import BASE_PROMPT, CHAT_PROMPT, SPAN_PROMPT
from modelfetch.smoketest.request import Request

_MARK = "Paris"


def prompt_for(request: Request, tokenizer: Any) -> Prompted:
    """The prompt, rendered. A template that fails is an observation, and the plain text is used instead."""
    kind = request.exercise.kind
    template = find_template(request.folder, tokenizer)
    if kind not in {Kind.CHAT, Kind.VISION} or template is None:
        text = request.prompt or _plain_prompt(kind, tokenizer)
        return Prompted(text, text, chat=False, built_in=request.prompt is None)
    text = request.prompt or CHAT_PROMPT
    rendered, error = _render(tokenizer, template, text)
    return Prompted(text, rendered, chat=True, built_in=request.prompt is None, template_error=error)


def turn_ends(request: Request, tokenizer: Any) -> dict[int, str]:
    """The tokens that end the model's turn: the tokenizer's own, and what the template writes after an answer."""
    ends = {tokenizer.eos_token_id: tokenizer.eos_token} if tokenizer.eos_token_id is not None else {}
    template = find_template(request.folder, tokenizer)
    if template is None:
        return ends
    answered = [{"role": "user", "content": CHAT_PROMPT}, {"role": "assistant", "content": _MARK}]
    try:
        rendered = render(tokenizer, template, answered, thinking=False, reply_follows=False)
    except Exception:
        # The template was tried before and its error reported then.
        return ends
    after = rendered.rpartition(_MARK)[2].lstrip()
    special = {each: token for token, each in tokenizer.get_added_vocab().items() if each in tokenizer.all_special_ids}
    return ends | {token_id: token for token_id, token in special.items() if after.startswith(token)}


def _plain_prompt(kind: Kind, tokenizer: Any) -> str:
    return SPAN_PROMPT if kind is Kind.SEQ2SEQ and spans(tokenizer) else BASE_PROMPT


def spans(tokenizer: Any) -> bool:
    """Whether the model was taught to fill spans, as T5 was."""
    return "<extra_id_0>" in tokenizer.get_vocab()


def _render(tokenizer: Any, template: str, text: str) -> tuple[str | None, str | None]:
    """The rendered prompt, or why there is none.

    Without thinking, a few tokens are enough for an answer; but some templates refuse to be told so, and some want a
    message's content in parts.
    """
    error = "the text of the message is not in the rendered prompt"
    plain = [{"role": "user", "content": text}]
    for thinking, messages in product((False, None), (plain, in_parts(plain))):
        try:
            rendered = render(tokenizer, template, messages, thinking=thinking)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"[:500]
            continue
        if text.strip() in rendered:
            return rendered, None
    return None, error
