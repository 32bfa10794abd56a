"""Puts the question as the model wants it: through its chat template where it has one."""

from __future__ import annotations

import re
from itertools import product
from typing import Any

from modelfetch.model.child.templates import find_template, in_parts, render
from modelfetch.model.kind import Kind
from modelfetch.smoketest.observations import Prompted
from modelfetch.smoketest.prompts import BASE_PROMPT, CHAT_PROMPT, SPAN_PROMPT
from modelfetch.smoketest.request import Request

_MARK = "Paris"
_ANSWER = {"role": "assistant", "content": _MARK}
# As templates write them: <|im_start|>, [INST], <start_of_turn>.
_MARKS = re.compile(r"<\|[\w ]{1,40}\|>|\[/?[A-Z_]{2,20}\]|<(?:start|end)_of_turn>")


def prompt_for(request: Request, tokenizer: Any) -> Prompted:
    """The prompt, rendered. A template that fails is an observation, and the plain text is used instead."""
    kind = request.exercise.kind
    template = find_template(request.folder, tokenizer)
    if kind not in {Kind.CHAT, Kind.VISION} or template is None:
        text = request.prompt or _plain_prompt(kind, tokenizer)
        return Prompted(text, text, chat=False, built_in=request.prompt is None)
    text = request.prompt or CHAT_PROMPT
    rendered, error = _render(tokenizer, template, text)
    return Prompted(
        text,
        rendered,
        chat=True,
        built_in=request.prompt is None,
        template_error=error,
        header=_header(tokenizer, template, text, rendered),
        # What a user writes may hold any mark.
        foreign=_foreign(tokenizer, rendered) if rendered and request.prompt is None else (),
    )


def turn_ends(request: Request, tokenizer: Any) -> dict[int, str]:
    """The tokens that end the model's turn: the tokenizer's own, and what the template writes after an answer."""
    ends = {tokenizer.eos_token_id: tokenizer.eos_token} if tokenizer.eos_token_id is not None else {}
    template = find_template(request.folder, tokenizer)
    rendered = _answered(tokenizer, template, CHAT_PROMPT, _ANSWER) if template else None
    if rendered is None:
        return ends
    after = rendered.rpartition(_MARK)[2].lstrip()
    special = {each: token for token, each in tokenizer.get_added_vocab().items() if each in tokenizer.all_special_ids}
    return ends | {token_id: token for token_id, token in special.items() if after.startswith(token)}


def _answered(tokenizer: Any, template: str, text: str, *answer: dict[str, str]) -> str | None:
    """A question and its answer; None where the template fails, which was reported when it was tried first."""
    messages = [{"role": "user", "content": text}, *answer]
    try:
        return render(tokenizer, template, messages, thinking=False, reply_follows=False)
    except Exception:
        return None


def _header(tokenizer: Any, template: str, text: str, rendered: str | None) -> str | None:
    """What stands before an answer, where the prompt ends as if none were asked for."""
    if not rendered or _answered(tokenizer, template, text) != rendered:
        return None
    answered = _answered(tokenizer, template, text, _ANSWER)
    if not answered or not answered.startswith(rendered):
        return None
    return answered.removeprefix(rendered).partition(_MARK)[0].strip() or None


def _foreign(tokenizer: Any, rendered: str) -> tuple[str, ...]:
    """Marks that are no tokens. Some models have them as plain text, but then beside tokens of their own."""
    known = tokenizer.get_added_vocab()
    if any(token in rendered for token in known):
        return ()
    vocabulary = tokenizer.get_vocab()
    return tuple(sorted({mark for mark in _MARKS.findall(rendered) if mark not in vocabulary}))


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
