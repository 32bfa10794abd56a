"""Lets a model write: greedily, timed token by token, and once more to see whether it writes the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from modelfetch.model.child.parting import parting_of
from modelfetch.model.kind import Kind
from modelfetch.model.thinking import Reply, joined
from modelfetch.smoketest.child.prompting import prompt_for, turn_ends
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Configured, Generated, Prompted, Started, TokenIds, Wrote
from modelfetch.smoketest.request import Request

REPEATED_TOKENS = 8
CONFIGURED_TOKENS = 2
# While the model writes, the end of it is told: about what fits into a line, not oftener than an eye can follow.
TOLD_TOKENS = 40
TELL_EVERY_S = 0.1


class TokenClock:
    """Given to `generate` as its streamer: notes each token and when it came. The first it is given is the prompt.

    `tell` is given the tokens so far, now and then.
    """

    def __init__(self, tell: Callable[[Sequence[int]], None] | None = None) -> None:
        self._tell = tell
        self._tell_at = 0.0
        self.ids: list[int] = []
        self.times: list[float] = []
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by `generate` with every new token."""
        if self._prompt_seen:
            self.ids += value.flatten().tolist()
            self.times.append(time.perf_counter())
            if self._tell and self.times[-1] >= self._tell_at:
                self._tell_at = self.times[-1] + TELL_EVERY_S
                self._tell(self.ids)
        self._prompt_seen = True

    def end(self) -> None:
        """Called by `generate` when it is done."""


def generate(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Ask, and report the prompt and what was written."""
    report(Started("prompt"))
    prompted = prompt_for(request, tokenizer)
    report(prompted)
    text = prompted.rendered or prompted.text
    plain = prompted.rendered is None or not prompted.chat
    inputs = tokenizer(text, add_special_tokens=plain, return_tensors="pt").to(model.device)
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask") if name in inputs}
    if not ids_fit(model, inputs["input_ids"], "the prompt", report):
        return
    report(Started("generate"))
    clock = TokenClock(lambda ids: report(Wrote(tokenizer.decode(ids[-TOLD_TOKENS:], skip_special_tokens=True))))
    generated = _generated(model, tokenizer, request, inputs, clock)
    report(replace(generated, parted=_parted(tokenizer, prompted, generated)))
    report(_as_configured(model, {**inputs, "tokenizer": tokenizer, "max_time": request.generation_limit_s}))


def ids_fit(model: Any, ids: Any, what: str, report: Report) -> bool:
    """Whether every id has a row of the embedding. On a GPU one that has none would end the process."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    highest = int(ids.max())
    report(TokenIds(what, highest, rows))
    return highest < rows


def _parted(tokenizer: Any, prompted: Prompted, generated: Generated) -> Reply | None:
    """Thinking and answer, where the tokenizer says itself which is which."""
    if not prompted.chat or prompted.rendered is None:
        return None
    parting = parting_of(tokenizer, prompted.rendered, generated.special_tokens)
    return joined([*parting.put(generated.text), *parting.finish()]) if parting else None


def _generated(model: Any, tokenizer: Any, request: Request, inputs: dict[str, Any], clock: TokenClock) -> Generated:
    started = time.perf_counter()
    # Without the tokenizer, a configuration with stop strings is refused.
    options = {**inputs, "tokenizer": tokenizer, "max_time": request.generation_limit_s}
    result = _write(model, options, request.max_new_tokens, clock)
    ids, times = clock.ids, clock.times or [time.perf_counter()]
    again = TokenClock()
    # One more than is compared: some models are made to end at the last token they may write.
    _write(model, options, min(REPEATED_TOKENS + 1, request.max_new_tokens), again)
    ends = turn_ends(request, tokenizer)
    special_ids = set(tokenizer.all_special_ids)
    blank_ids = special_ids
    if request.exercise.kind is Kind.SEQ2SEQ:
        # What fills a span is written between special tokens, and may be nothing but them.
        blank_ids = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.bos_token_id}
    readable = tokenizer.decode([each for each in ids if each not in blank_ids])
    inside = next((each for each in ids[:-1] if each in ends), None)
    return Generated(
        text=tokenizer.decode(ids),
        new_ids=tuple(ids),
        special_tokens=tuple(tokenizer.convert_ids_to_tokens(sorted(special_ids & set(ids)))),
        only_special=not readable.strip(),
        turn_end_inside=None if inside is None else ends[inside],
        ended=_why_ended(model, tokenizer, ids, request.max_new_tokens),
        prompt_tokens=int(inputs["input_ids"].shape[1]),
        first_token_s=times[0] - started,
        decode_s=times[-1] - times[0],
        same_again=_same_beginning(ids, again.ids),
        finite=all(bool(torch.isfinite(logits).all()) for logits in result.logits),
    )


def _same_beginning(ids: list[int], again: list[int]) -> bool:
    """As far as both go: either may have been cut off by the time."""
    common = min(len(ids), len(again), REPEATED_TOKENS)
    return ids[:common] == again[:common]


def _write(model: Any, options: dict[str, Any], max_new_tokens: int, clock: TokenClock) -> Any:
    with torch.inference_mode():
        return model.generate(
            **options,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            streamer=clock,
            output_logits=True,
            return_dict_in_generate=True,
        )


def _as_configured(model: Any, options: dict[str, Any]) -> Configured:
    """What somebody gets who asks for nothing: tokens drawn, or searched for, as generation_config.json says."""
    try:
        with torch.inference_mode():
            model.generate(**options, max_new_tokens=CONFIGURED_TOKENS, disable_compile=True)
    except (ValueError, TypeError, RuntimeError) as error:
        # To search along several beams takes more memory than was planned for.
        short = isinstance(error, torch.OutOfMemoryError)
        return Configured(None if short else f"{type(error).__name__}: {error}"[:500])
    return Configured(None)


def _stop_ids(model: Any) -> set[int]:
    """What ends a generation: the model's configuration has one id, several, or none."""
    stop = model.generation_config.eos_token_id
    if stop is None:
        return set()
    return {stop} if isinstance(stop, int) else set(stop)


def _why_ended(model: Any, tokenizer: Any, ids: list[int], max_new_tokens: int) -> str:
    if ids and ids[-1] in _stop_ids(model):
        return "end of text"
    strings = model.generation_config.stop_strings or []
    text = tokenizer.decode(ids)
    if any(each in text for each in ([strings] if isinstance(strings, str) else strings)):
        return "stop string"
    return "length" if len(ids) >= max_new_tokens else "time"
