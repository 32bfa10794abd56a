"""`modelfetch chat`: a conversation on a terminal, or one answer in a pipe."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import say
from modelfetch.cli._placing import device_option, dtype_option, trust_option
from modelfetch.config import load
from modelfetch.errors import INTERRUPTED

if TYPE_CHECKING:
    from modelfetch.chat.settings import Settings

_EPILOG = """\b
Examples:
  modelfetch chat Qwen/Qwen3-0.6B
  modelfetch chat Qwen/Qwen3-0.6B --system 'Answer in Chinese.' --temperature 0.7 --seed 1
  echo 'Why is the sky blue?' | modelfetch chat Qwen/Qwen3-0.6B
"""


@click.command(epilog=_EPILOG)
@click.argument("model", metavar="REF|FOLDER")
@click.option("--system", metavar="TEXT", help="What the model is told before everything else.")
@click.option("--temperature", metavar="T", help="How boldly it chooses among likely tokens, 0 to 100; 0 is greedy.")
@click.option("--top-p", metavar="P", help="Choose among the likeliest tokens of this probability together, 0 to 1.")
@click.option("--top-k", metavar="K", help="Choose among this many of the likeliest tokens; 0 is among all.")
@click.option("--max-new-tokens", metavar="N", help="The longest reply, thinking included; 1024 otherwise.")
@click.option("--seed", metavar="S", help="The same seed and the same conversation give the same reply.")
@device_option
@dtype_option
@trust_option
def command(
    *, model: str, system: str | None, device: str, dtype: str, trust_remote_code: bool, **parameters: str | None
) -> int:
    """Talk with a model.

    What you do not set is the model's own generation configuration. Type /help for the commands; Alt-Enter begins a new
    line, Ctrl-C stops a reply, and Ctrl-D leaves. In a pipe the whole input is one message, and only the answer is
    printed.
    """
    from modelfetch.chat import ChatOptions, open_talk
    from modelfetch.chat.commands import well_formed
    from modelfetch.chat.conversation import Conversation
    from modelfetch.chat.state import State
    from modelfetch.cli._chat_lines import typing_unseen
    from modelfetch.cli._chat_screen import Loading
    from modelfetch.cli._chatting import answer_once, converse, piped_message
    from modelfetch.cli._stored import find_model
    from modelfetch.store import Store

    settings = _settings(parameters)
    found = find_model(Store.open(load().home, create=False), model)
    options = ChatOptions(device, dtype, trust_remote_code)
    told = Conversation(well_formed(system) if system else None)
    try:
        question = None if sys.stdin.isatty() else piped_message()
        with Loading(model) as loading, closing(open_talk(found, options, loading)) as talk:
            with typing_unseen():
                state = State(talk.load(), told, settings)
            if question is None:
                converse(talk, state, loading.placed)
            else:
                answer_once(talk, state, question)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    return 0


def _settings(parameters: dict[str, Any]) -> Settings:
    from modelfetch.chat.settings import Settings

    settings = Settings()
    for name, text in parameters.items():
        if text is not None:
            settings = settings.with_text(name, text)
    return settings
