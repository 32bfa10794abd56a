"""`modelfetch inspect`: what a model is, without loading it where possible. Prints what `inspection` found."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import print_json, say
from modelfetch.cli._placing import device_option, trust_option
from modelfetch.cli._waiting import WaitingLine
from modelfetch.config import load
from modelfetch.errors import ConfigError, NotFoundError, UsageError

if TYPE_CHECKING:
    from modelfetch.inspection import Answers, Inspection, Permission, Questions

# Beyond this a line is hard to read, whatever the terminal has.
MAX_COLUMNS = 120


@click.command(
    name="inspect",
    epilog="Examples:  modelfetch inspect Qwen/Qwen3-0.6B       modelfetch inspect ./my-model --next 'Once upon a'",
)
@click.argument("model", metavar="REF|FOLDER")
@click.option("--template", is_flag=True, help="The chat template, raw and rendered, with thinking on and off.")
@click.option("--tokens", metavar="TEXT", help="How a text becomes tokens and back.")
@click.option("--vocab", metavar="GLOB", help="The pieces of the vocabulary that fit, as in '*ing'.")
@click.option("--next", "following", metavar="TEXT", help="The likeliest next tokens after a text. Loads the weights.")
@click.option("--top-k", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many of them.")
@click.option("--embed", metavar="TEXT", multiple=True, help="Cosines between two texts or more; give it for each.")
@click.option("--word", help="With --embed: compare this word's vectors in the texts instead.")
@device_option
@trust_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of lines.")
def command(*, model: str, as_json: bool, device: str, trust_remote_code: bool, **asked: Any) -> None:
    """Say what a model is: what it is built of, what it takes, how it reads text, what it would say next.

    Without an option that asks for more, only files are read: no torch, no weights.
    """
    from modelfetch.cli._stored import find_model
    from modelfetch.inspection import Permission, inspect
    from modelfetch.store import Store

    questions = _questions(asked)
    inspection = inspect(find_model(Store.open(load().home, create=False), model))
    if questions.template and not inspection.templates:
        raise NotFoundError(
            f"`{inspection.subject.name}` has no chat template", facts={"it is": inspection.purpose.what}
        )
    answers = None
    if questions.need_tokenizer:
        answers = _ask(inspection, questions, Permission(device, trust_remote_code))
    if as_json:
        print_json(document(inspection, answers))
    else:
        click.echo(_render(inspection, answers, questions))


def _ask(inspection: Inspection, questions: Questions, permission: Permission) -> Answers:
    """The answers, with a line that says what is waited for. A template can be read by whoever cannot render it."""
    from modelfetch.inspection import Answers, Questions, ask

    try:
        with WaitingLine() as line:
            what = "weights" if questions.need_weights else "tokenizer"
            line.show(f"{inspection.subject.name}: loading the {what}")
            return ask(inspection, questions, permission)
    except (ConfigError, NotFoundError) as error:
        if questions != Questions(template=True, top_k=questions.top_k):
            raise
        say(f"the template was not rendered: {error.render()}")
        return Answers()


def _questions(asked: dict[str, Any]) -> Questions:
    """What is asked, where it makes sense together."""
    from modelfetch.inspection import Questions

    embed, word = asked["embed"], asked["word"]
    for text in (asked["tokens"], asked["following"], word, *embed):
        _check_text(text)
    if word is not None and not (embed and word.strip()):
        raise UsageError(
            "--word needs texts to look for it in", hint="--word bank --embed 'a river bank' --embed 'a bank'"
        )
    if len(embed) == 1 and word is None:
        raise UsageError("one text cannot be compared", hint="give --embed for each text, at least twice")
    return Questions(
        template=asked["template"],
        tokens=(asked["tokens"],) if asked["tokens"] is not None else (),
        vocabulary=asked["vocab"],
        next=asked["following"],
        top_k=asked["top_k"],
        embed=embed,
        word=word,
    )


def _check_text(text: str | None) -> None:
    """Bytes of a command line that are no UTF-8 have become halves of pairs, which no tokenizer takes."""
    try:
        (text or "").encode("utf-8")
    except UnicodeEncodeError as error:
        raise UsageError("the text is not UTF-8", facts={"text": repr(text)}) from error


def _render(inspection: Inspection, answers: Answers | None, questions: Questions) -> str:
    from modelfetch.cli import _inspect_answers, _inspect_report

    columns = min(shutil.get_terminal_size().columns, MAX_COLUMNS)
    if answers is None:
        return _inspect_report.render(inspection, columns)
    return _inspect_answers.render(inspection, answers, columns, template=questions.template)


def document(inspection: Inspection, answers: Answers | None) -> dict[str, Any]:
    """The document of `--json`: all that the files say, and what was asked."""
    from modelfetch.inspection import Answers

    asked = asdict(answers or Answers())
    return {**inspection.to_json(), **{name: asked[name] for name in asked if name != "refused"}}
