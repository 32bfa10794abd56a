"""What is said about a model and about a reply besides the reply itself, in plain sentences. Decides only."""

from __future__ import annotations

from collections.abc import Iterator

from modelfetch.chat.protocol import Ended, Ready
from modelfetch.chat.settings import described
from modelfetch.chat.state import State
from modelfetch.chat.talk import LeftOut, Replied
from modelfetch.model.placement import Placed


def greeting(name: str, placed: Placed | None, state: State) -> Iterator[str]:
    """What a conversation begins with."""
    if placed is not None:
        device = "the CPU" if placed.device == "cpu" else f"{placed.device} ({placed.device_name})"
        yield f"{name} runs on {device} in {placed.dtype}: {placed.device_reason}"
    yield described(state.settings.sampling(state.model.defaults))
    yield from warnings(name, state)
    yield "/help shows the commands; Ctrl-C stops a reply, Ctrl-D leaves"


def warnings(name: str, state: State) -> Iterator[str]:
    """What a user should know before the first word."""
    model = state.model
    if model.missing_weights:
        yield (
            f"warning: {model.missing_weights} of its weights are missing or have another shape, and are random now; "
            f"modelfetch smoke {name} says more"
        )
    if not model.template:
        yield "it has no chat template, as base models do not: it goes on from your text alone, without what was before"
        if state.conversation.system:
            yield "warning: there is no place for a system prompt without a chat template"


def left_out(told: LeftOut) -> str:
    """That, and why, the model is no longer told the beginning."""
    which = "oldest exchange is" if told.exchanges == 1 else f"{told.exchanges} oldest exchanges are"
    return (
        f"the conversation had {told.prompt_tokens:,} tokens, and the model reads {told.context_tokens:,} with its "
        f"reply: the {which} no longer told to it"
    )


def about_reply(replied: Replied, model: Ready, *, in_pipe: bool = False) -> Iterator[str]:
    """What a reply did not say itself: why it is empty, or not whole. In a pipe there are options and no commands."""
    ended, reply = replied.ended, replied.reply
    option, longer = ("--max-new-tokens" if in_pipe else "/set max_new_tokens"), ended.new_tokens * 4
    if ended.why == "stop":
        yield "stopped" if reply.answer else "stopped before there was an answer, and the question is forgotten"
    elif not reply.finished and ended.why == "length":
        off = ", or /think off" if model.thinking_switch and not in_pipe else ""
        yield f"it was still thinking when its {ended.new_tokens} tokens ran out: {option} {longer}{off}"
    elif not reply.answer and reply.thinking:
        off = "; /think off asks for one at once" if model.thinking_switch and not in_pipe else ""
        yield f"the model thought and ended its turn without an answer{off}"
    elif not reply.answer:
        warmer = "--temperature 0.7" if in_pipe else "/set temperature 0.7"
        yield f"the model ended its turn without a word: ask in another way, or try {warmer}"
    elif ended.why == "length":
        yield f"cut off after {ended.new_tokens} tokens: {option} {longer} lets it write more"


def speed(ended: Ended) -> str | None:
    """How fast it wrote; None where there is nothing to measure."""
    if ended.new_tokens < 2 or ended.decode_s <= 0:
        return None
    rate = (ended.new_tokens - 1) / ended.decode_s
    return f"{ended.new_tokens} tokens, {rate:.1f} tokens/s, the first after {ended.first_token_s:.1f} s"
