"""What a typed line means: something to say, or a command to this program. Decides only.

- A line that begins with a slash is a command; two slashes begin a line that shall begin with one.
- A command that does not exist, or is not complete, is said so and never sent to the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Say:
    """Tell the model."""

    text: str


@dataclass(frozen=True)
class SetSystem:
    """Change the system prompt; an empty text takes it away, None asks what it is."""

    text: str | None


@dataclass(frozen=True)
class Clear:
    """Forget what was said."""


@dataclass(frozen=True)
class Think:
    """Ask a thinking model to think, or not to."""

    on: bool


@dataclass(frozen=True)
class Set:
    """Set a parameter."""

    name: str
    value: str


@dataclass(frozen=True)
class ShowSettings:
    """Show every parameter."""


@dataclass(frozen=True)
class Save:
    """Write the conversation to a file."""

    path: str


@dataclass(frozen=True)
class Help:
    """Show the commands."""


@dataclass(frozen=True)
class Leave:
    """End the program."""


@dataclass(frozen=True)
class Wrong:
    """A command that cannot be obeyed, and why."""

    reason: str


Action = Say | SetSystem | Clear | Think | Set | ShowSettings | Save | Help | Leave | Wrong

COMMANDS: Mapping[str, str] = {
    "/system TEXT": "what the model is told before everything else; `/system off` takes it away",
    "/clear": "forget what was said; the system prompt and the parameters stay",
    "/think on|off": "let a thinking model think before it answers, or not",
    "/set NAME VALUE": "set a parameter, such as /set temperature 0.7; `/set` shows them all",
    "/save FILE": "write the conversation as JSON, in the form that chat templates read",
    "/help": "this",
    "/exit": "leave; so does Ctrl-D",
}


def well_formed(text: str) -> str:
    """`text` without the halves of pairs that Python makes of typed bytes that are no text."""
    return text.encode("utf-8", "replace").decode("utf-8")


def parse(line: str) -> Action | None:
    """What `line` means; None for an empty one."""
    text = well_formed(line).strip()
    if not text:
        return None
    if text.startswith("//"):
        return Say(text[1:])
    if not text.startswith("/"):
        return Say(text)
    name, _, rest = text.partition(" ")
    read = _READERS.get(name.lower())
    if read is None:
        return Wrong(f"`{name[:40]}` is no command; /help shows them, and // begins a line that shall begin with /")
    return read(rest.strip())


def _system(rest: str) -> Action:
    if not rest:
        return SetSystem(None)
    return SetSystem("" if rest.lower() == "off" else rest)


def _think(rest: str) -> Action:
    if rest.lower() not in {"on", "off"}:
        return Wrong("say /think on or /think off")
    return Think(rest.lower() == "on")


def _set(rest: str) -> Action:
    words = rest.replace("=", " ").split()
    if not words:
        return ShowSettings()
    if len(words) != 2:
        return Wrong("say a name and a value, such as /set temperature 0.7")
    return Set(*words)


def _save(rest: str) -> Action:
    return Save(rest) if rest else Wrong("say where to, such as /save talk.json")


def _alone(action: Action) -> Callable[[str], Action]:
    return lambda rest: Wrong("this command takes nothing after it") if rest else action


_READERS: Mapping[str, Callable[[str], Action]] = {
    "/system": _system,
    "/clear": _alone(Clear()),
    "/think": _think,
    "/set": _set,
    "/save": _save,
    "/help": _alone(Help()),
    "/?": _alone(Help()),
    "/exit": _alone(Leave()),
    "/quit": _alone(Leave()),
    "/bye": _alone(Leave()),
}
