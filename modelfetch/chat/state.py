"""What a conversation stands at, and what each command makes of it. Decides only: no model, no file, no terminal.

- A command changes the state or says why not; it never does both, and it never reaches the model.
- What would change nothing with this model is said when it is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from modelfetch.chat.commands import COMMANDS, Action, Clear, Help, Set, SetSystem, ShowSettings, Think, Wrong
from modelfetch.chat.conversation import Conversation
from modelfetch.chat.protocol import Ready
from modelfetch.chat.settings import PARAMETERS, Settings, described
from modelfetch.errors import UsageError


@dataclass(frozen=True)
class State:
    """`thinking` None leaves it to the model's template."""

    model: Ready
    conversation: Conversation = field(default_factory=Conversation)
    settings: Settings = field(default_factory=Settings)
    thinking: bool | None = None


@dataclass(frozen=True)
class Obeyed:
    """The state after a command, and the lines that answer it."""

    state: State
    lines: tuple[str, ...] = ()


def obey(state: State, action: Action) -> Obeyed:
    """What a command that needs no model and no file comes to."""
    match action:
        case SetSystem():
            obeyed = _set_system(state, action.text)
        case Clear():
            obeyed = _clear(state)
        case Think():
            obeyed = _think(state, on=action.on)
        case Set():
            obeyed = _set(state, action)
        case ShowSettings():
            obeyed = Obeyed(state, tuple(_settings_lines(state)))
        case Help():
            width = max(map(len, COMMANDS))
            obeyed = Obeyed(state, tuple(f"{name:<{width}}  {meaning}" for name, meaning in COMMANDS.items()))
        case Wrong():
            obeyed = Obeyed(state, (action.reason,))
        case _:
            raise TypeError(f"{action} is not obeyed here")
    return obeyed


def saved(state: State, model: str) -> dict[str, Any]:
    """The document of `/save`. `messages` is what a chat template reads; the thoughts are beside it."""
    conversation = state.conversation
    messages = [{"role": "system", "content": conversation.system}] if conversation.system else []
    for exchange in conversation.exchanges:
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": exchange.answer})
    return {
        "model": model,
        "settings": {name: getattr(state.settings, name) for name in PARAMETERS},
        "messages": messages,
        "thoughts": [exchange.thinking for exchange in conversation.exchanges],
    }


def _clear(state: State) -> Obeyed:
    count = len(state.conversation.exchanges)
    cleared = replace(state, conversation=state.conversation.cleared())
    return Obeyed(cleared, (f"forgotten: {count} exchange{'' if count == 1 else 's'}",))


def _set_system(state: State, text: str | None) -> Obeyed:
    if not state.model.template:
        return Obeyed(state, ("this model has no chat template: there is no place for a system prompt",))
    if text is None:
        return Obeyed(state, (state.conversation.system or "there is no system prompt; say /system TEXT",))
    changed = replace(state, conversation=state.conversation.with_system(text))
    return Obeyed(changed, ("the system prompt is set" if text else "there is no system prompt any more",))


def _think(state: State, *, on: bool) -> Obeyed:
    if not state.model.thinking_switch:
        return Obeyed(state, ("this model's chat template has no switch for thinking: it thinks or not by itself",))
    return Obeyed(replace(state, thinking=on), (f"thinking is {'on' if on else 'off'}",))


def _set(state: State, action: Set) -> Obeyed:
    try:
        settings = state.settings.with_text(action.name, action.value)
    except UsageError as error:
        return Obeyed(state, tuple(error.render().splitlines()))
    sampling = settings.sampling(state.model.defaults)
    return Obeyed(replace(state, settings=settings), (f"{action.name} is {action.value}; {described(sampling)}",))


def _settings_lines(state: State) -> list[str]:
    own, sampling = state.model.defaults, state.settings.sampling(state.model.defaults)
    width = max(map(len, PARAMETERS))
    lines = []
    for name, parameter in PARAMETERS.items():
        value = getattr(sampling, name)
        whose = "by default"
        if getattr(state.settings, name) is not None:
            whose = "set here"
        elif getattr(own, name, None) is not None:
            whose = "the model's own"
        shown = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        lines.append(f"{name:<{width}}  {shown:<6}  {parameter.meaning} ({whose})")
    return [*lines, described(sampling)]
