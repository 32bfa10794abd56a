"""A conversation with a model that a child process holds: a crash, a kill or a lack of memory there ends nothing here.

What was said, what is set and what commands make of it are values that only this package's pure modules decide over:
`conversation`, `settings`, `commands`, `state`, `fragments`, `unfolding`. `talk` asks the child, which is `process`.

- No code of the model's own runs without consent; the child knows no token and is told to stay offline.
- A model that does not write, and one that cannot be loaded, are refused by what their files say, before anything runs.
- torch and transformers are imported by the child alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelfetch.chat import failures
from modelfetch.chat.protocol import Load
from modelfetch.chat.talk import Listener, Talk
from modelfetch.model.contents import NotExercised
from modelfetch.model.folder import read_folder
from modelfetch.model.kind import Kind, choose
from modelfetch.model.placement import Wish
from modelfetch.model.stack import require_stack, usable_modules
from modelfetch.model.tables import read_tables
from modelfetch.store import Snapshot

__all__ = ["ChatOptions", "Talk", "open_talk"]

_TALKERS = {Kind.CHAT, Kind.BASE, Kind.VISION}


@dataclass(frozen=True)
class ChatOptions:
    """How to load the model."""

    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False


def open_talk(model: Snapshot | Path, options: ChatOptions, listener: Listener) -> Talk:
    """A conversation with the model of a snapshot, or in a folder. It is loaded when it is first asked.

    Raises:
        ConfigError: a package that it needs is not installed.
        NotFoundError: the folder is not there or empty, or has no file of the quantisation that is meant.
        SmokeError: a file of it is broken.
        UsageError: it is no model that writes, or needs consent to code of its own.
    """
    place = model if isinstance(model, Path) else model.folder
    name, quant = (str(model), None) if isinstance(model, Path) else (model.model, model.quant)
    transformers = require_stack("a conversation")
    folder = read_folder(place, name, quant)
    if folder.broken:
        raise failures.broken(name, folder.broken)
    plan = choose(folder, read_tables(transformers), usable_modules(), trust_remote_code=options.trust_remote_code)
    if isinstance(plan, NotExercised):
        raise failures.not_loadable(name, plan)
    if plan.kind not in _TALKERS:
        raise failures.not_a_talker(name, plan.kind)
    load = Load(str(place.resolve()), plan, Wish(options.device, options.dtype), options.trust_remote_code)
    return Talk(load, name, listener)
