"""Writes replies, one at a time, token by token.

- A reply ends at the end-of-text tokens of the model's `generation_config`; where that has none, at the tokenizer's.
- A conversation that is only continued is not read again from its beginning: what the model made of it is kept.
- Nothing is shortened here: what is too long to be answered is told, with its numbers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
import transformers

from modelfetch.chat.child.writing import Memory, Stopping, Streamer, configured
from modelfetch.chat.fragments import Fragment, Fragments
from modelfetch.chat.protocol import RENDERING, WRITING, Ask, Began, Ended, Ready, Report, Started, TooLong, Wrote
from modelfetch.chat.settings import Defaults
from modelfetch.model.child.loading import LoadedModel
from modelfetch.model.child.parting import Parting, parting_of
from modelfetch.model.child.templates import find_template, has_thinking_switch, in_parts, render

# A reply is given a fourth of what the model can read, or as much as it may be long.
RESERVED_SHARE = 4
# Longer than any tag that opens thinking.
PROMPT_END_CHARACTERS = 200


class Replies:
    """One model, and what it keeps of the last conversation."""

    def __init__(self, loaded: LoadedModel, tokenizer: Any, folder: str) -> None:
        self._model = loaded.model
        self._keys = loaded.keys
        self._tokenizer = tokenizer
        self._template = find_template(folder, tokenizer)
        self._own = self._model.generation_config
        self._stop_ids = _ids(self._own.eos_token_id) or _ids(tokenizer.eos_token_id)
        self._special_ids = frozenset(tokenizer.all_special_ids) | self._stop_ids
        declared = getattr(self._model.config.get_text_config(), "max_position_embeddings", None)
        self._context_tokens = declared if isinstance(declared, int) and declared > 0 else None
        self._memory = Memory()

    def ready(self) -> Ready:
        """What the program must know of the model."""
        own = self._own
        return Ready(
            defaults=Defaults(bool(own.do_sample), own.temperature, own.top_p, own.top_k),
            template=self._template is not None,
            thinking_switch=self._template is not None and has_thinking_switch(self._template),
            context_tokens=self._context_tokens,
            missing_weights=len(self._keys["missing_keys"]) + len(self._keys["mismatched_keys"]),
        )

    def write(self, ask: Ask, is_stopped: Callable[[int], bool], report: Callable[[Report], None]) -> None:
        """Write the reply to `ask` until it ends or is stopped, and report it as it comes."""
        report(Started(RENDERING))
        prompt = self._prompt(ask)
        report(Started(WRITING))
        ids = self._tokenize(prompt)
        room, context = ask.sampling.max_new_tokens, self._context_tokens
        if context is not None:
            if len(ids) + min(room, context // RESERVED_SHARE) > context:
                report(TooLong(ask.number, len(ids), context))
                return
            room = min(room, context - len(ids))
        parting = self._parting(prompt)
        report(Began(ask.number, prompt[-PROMPT_END_CHARACTERS:], len(ids), parted=parting is not None))
        fragments = Fragments(self._decode, self._special_ids, ids)

        def tell(told: Iterable[Fragment]) -> None:
            for fragment in told if parting is None else _parted(parting, told):
                report(Wrote(ask.number, fragment.text, fragment.special, fragment.thinking))

        streamer = Streamer(lambda token_id: tell(fragments.put(token_id)))
        started = time.perf_counter()
        self._generate(ids, ask, room, streamer, lambda: is_stopped(ask.number))
        tell(fragments.finish())
        if parting is not None:
            for passage in parting.finish():
                report(Wrote(ask.number, passage.text, special=False, thinking=passage.thinking))
        times = streamer.times or [time.perf_counter()]
        why = self._why_ended(streamer.ids, room, stopped=is_stopped(ask.number))
        report(Ended(ask.number, why, len(streamer.ids), times[0] - started, times[-1] - times[0]))

    def _generate(
        self, ids: list[int], ask: Ask, room: int, streamer: Streamer, is_stopped: Callable[[], bool]
    ) -> None:
        if ask.sampling.seed is not None:
            torch.manual_seed(ask.sampling.seed)
        inputs = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            result = self._model.generate(
                input_ids=inputs,
                attention_mask=torch.ones_like(inputs),
                generation_config=configured(self._own, ask.sampling, room, self._stop_ids),
                # Without it, a configuration with stop strings is refused.
                tokenizer=self._tokenizer,
                streamer=streamer,
                stopping_criteria=transformers.StoppingCriteriaList([Stopping(is_stopped)]),
                **self._memory.take(ids),
            )
        self._memory.keep(getattr(result, "past_key_values", None), [*ids, *streamer.ids])

    def _why_ended(self, ids: list[int], room: int, *, stopped: bool) -> str:
        if ids and ids[-1] in self._stop_ids:
            return "end of text"
        if stopped:
            return "stop"
        if len(ids) >= room:
            return "length"
        return "stop string" if self._own.stop_strings else "time"

    def _parting(self, prompt: str) -> Parting | None:
        """What the tokenizer itself says of thinking and answer, where there is a template that it could say it of."""
        if self._template is None:
            return None
        return parting_of(self._tokenizer, prompt, self._tokenizer.convert_ids_to_tokens(sorted(self._special_ids)))

    def _prompt(self, ask: Ask) -> str:
        """The rendered conversation; the bare question where there is no template for one.

        Some templates want a message's content in parts, and fail or leave it out where it is not.
        """
        question = ask.messages[-1].content
        if self._template is None:
            return question
        plain = [{"role": message.role, "content": message.content} for message in ask.messages]
        errors: list[Exception] = []
        for messages in (plain, in_parts(plain)):
            try:
                rendered = render(self._tokenizer, self._template, messages, thinking=ask.thinking)
            except Exception as error:
                errors.append(error)
                continue
            if question.strip() in rendered:
                return rendered
        raise errors[0] if errors else ValueError("the chat template leaves out what the user said")

    def _tokenize(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=self._template is None)["input_ids"]
        if not ids:
            raise ValueError("there is nothing to go on from")
        if max(ids) >= int(self._model.get_input_embeddings().weight.shape[0]):
            raise ValueError("the tokenizer makes token ids that the model has no embedding for")
        return ids

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _parted(parting: Parting, fragments: Iterable[Fragment]) -> Iterator[Fragment]:
    for fragment in fragments:
        for passage in parting.put(fragment.text):
            yield Fragment(passage.text, thinking=passage.thinking)


def _ids(declared: int | list[int] | None) -> frozenset[int]:
    """End-of-text tokens: a configuration has one id, several, or none."""
    if declared is None:
        return frozenset()
    return frozenset({declared} if isinstance(declared, int) else declared)
