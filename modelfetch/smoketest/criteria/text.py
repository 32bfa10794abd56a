"""Judges what a model wrote: that it is text, that it ends where it should, that it is the same again. Decides only.

- The answer's content is reported and never judged.
- A prompt of the user's own may ask for anything: to be silent warns there, and what is odd is only noted.
- A random model that is allowed to be one is asked for finite numbers and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelfetch.model.kind import Kind
from modelfetch.model.placement import Placed
from modelfetch.model.thinking import HARMONY_CHANNEL
from modelfetch.smoketest.observations import Configured, Generated, Planned, Prompted, Restored, TokenIds
from modelfetch.smoketest.verdict import Case, Finding, Severity

CHECKS = {
    "token-ids": "The tokenizer makes ids that the model has no embedding for.",
    "template-error": "The chat template cannot be rendered, or leaves out what the user said.",
    "template-missing": "The model is named as one to talk to and has no chat template.",
    "template-foreign": "The chat template writes marks that the tokenizer does not know: it is another model's.",
    "template-header": "The chat template does not begin the answer, and the model writes the beginning itself.",
    "tokenizer-text": "The tokenizer does not give back the text that it was given.",
    "generation-config": "The model cannot write as its own generation_config.json says.",
    "no-text": "The model wrote nothing, or nothing but special tokens.",
    "repetition": "The model repeats the same few tokens.",
    "broken-characters": "The text has bytes in it that are no characters.",
    "runs-on": "The model ended its turn and was not stopped: the end-of-text token is configured wrongly.",
    "not-deterministic": "The same greedy generation gave another text.",
}

REPETITION_TOKENS = 32
MIN_TOKENS_FOR_REPETITION = 16
MIN_DISTINCT_SHARE = 0.2
_WORD = re.compile(r"\w+")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def token_ids(case: Case) -> Iterator[Finding]:
    for ids in case.every(TokenIds):
        if ids.highest_id >= ids.embedding_rows:
            yield Finding(
                "token-ids",
                Severity.FAIL,
                f"the tokenizer makes ids of {ids.what} that the model has no embedding for: it is another model's",
                {"highest id": str(ids.highest_id), "embedding rows": str(ids.embedding_rows)},
                case.repair,
            )


def template(case: Case) -> Iterator[Finding]:
    prompted, planned = case.last(Prompted), case.last(Planned)
    if prompted and prompted.template_error:
        yield Finding(
            "template-error",
            Severity.FAIL,
            "the chat template cannot be used",
            {"error": prompted.template_error},
            f"{case.repair}; if the file is whole, report it to the model's authors",
        )
    if prompted and planned and planned.kind == Kind.CHAT and not prompted.chat:
        yield Finding(
            "template-missing",
            Severity.WARN,
            "its chat template is empty, or not where the tokenizer looks for it, so it was asked to continue a text",
            hint=case.repair,
        )
    if prompted and planned and planned.instruct_name and planned.kind == Kind.BASE:
        yield Finding(
            "template-missing",
            Severity.WARN,
            "it is named as a model to talk to and has no chat template, so it was asked to continue a text",
            hint="modelfetch pull brings chat_template.jinja or tokenizer_config.json if the hub has them",
        )


def marks(case: Case) -> Iterator[Finding]:
    """A model answers for all that, and worse than it could: each message looks to it like a part of the text."""
    prompted, generated = case.last(Prompted), case.last(Generated)
    if prompted and prompted.foreign:
        yield Finding(
            "template-foreign",
            Severity.WARN,
            "the chat template writes marks that the tokenizer does not know, and none that it knows",
            {"marks": " ".join(prompted.foreign)},
            f"{case.repair}; the template of another model gives worse answers",
        )
    if prompted and generated and prompted.header and generated.text.lstrip().startswith(prompted.header):
        yield Finding(
            "template-header",
            Severity.WARN,
            "the chat template does not begin the answer, so the model writes the beginning itself",
            {"written": repr(prompted.header)},
            f"{case.repair}; the template should write it where add_generation_prompt is true",
        )


def restored(case: Case) -> Iterator[Finding]:
    """Spaces round marks and capitals are a tokenizer's own affair; words are not."""
    seen = case.last(Restored)
    if seen is None or _same_words(seen.text, seen.restored):
        return
    yield Finding(
        "tokenizer-text",
        Severity.WARN,
        "the tokenizer does not give back the text that it was given, so what the model writes is garbled",
        {"given": repr(seen.text[:80]), "got back": repr(seen.restored[:80])},
        case.repair,
    )


def configured(case: Case) -> Iterator[Finding]:
    """Outputs that are no numbers cannot be drawn from, whatever the configuration says."""
    seen, generated = case.last(Configured), case.last(Generated)
    if seen and seen.error and generated and generated.finite:
        yield Finding(
            "generation-config",
            Severity.WARN,
            "it writes when it is told how, and fails as its own generation_config.json says",
            {"error": seen.error},
            "pass do_sample=False, or mend generation_config.json",
        )


def _same_words(given: str, back: str) -> bool:
    """Some tokenizers mark a space by a letter, others by a sign, and a broken one leaves it in the text."""
    spaced = 2 * back.count(" ") > given.count(" ")
    return spaced and _WORD.findall(given.casefold()) == _WORD.findall(back.casefold())


def written(case: Case) -> Iterator[Finding]:
    generated, prompted = case.last(Generated), case.last(Prompted)
    if generated is None or prompted is None or case.allow_random:
        return
    if generated.only_special:
        yield Finding(
            "no-text",
            Severity.FAIL if prompted.built_in else Severity.WARN,
            "the model wrote no text",
            {"tokens": f"{len(generated.new_ids)}: {generated.text[:100]!r}"},
            case.repair,
        )
    yield from _oddities(case, generated, prompted)


def _oddities(case: Case, generated: Generated, prompted: Prompted) -> Iterator[Finding]:
    strict = Severity.FAIL if prompted.chat else Severity.WARN
    if not prompted.built_in:
        strict = Severity.NOTE
    window = generated.new_ids[:REPETITION_TOKENS]
    distinct = len(set(window))
    if len(window) >= MIN_TOKENS_FOR_REPETITION and distinct < MIN_DISTINCT_SHARE * len(window):
        evidence = {"distinct tokens": f"{distinct} of the first {len(window)}"}
        yield Finding("repetition", strict, "the model repeats the same few tokens", evidence, case.repair)
    # A character that the last token leaves unfinished is the limit's fault, not the model's.
    if _REPLACEMENT in generated.text.rstrip(_REPLACEMENT):
        yield Finding(
            "broken-characters",
            strict,
            "the text has bytes in it that are no characters",
            hint=case.repair,
        )


def runs_on(case: Case) -> Iterator[Finding]:
    """Harmony ends several messages in one answer, so there the end of one is no end of the turn."""
    generated = case.last(Generated)
    if generated is None or case.allow_random or HARMONY_CHANNEL in generated.text:
        return
    if generated.turn_end_inside and generated.ended != "end of text":
        yield Finding(
            "runs-on",
            Severity.FAIL,
            f"the model ended its turn with `{generated.turn_end_inside}` and was not stopped there",
            {"written": repr(generated.text[:200])},
            "eos_token_id in generation_config.json and config.json must have the id of this token",
        )


def determinism(case: Case) -> Iterator[Finding]:
    """On a GPU sums may be added up in another order, and a near tie may fall the other way."""
    generated, placed = case.last(Generated), case.last(Placed)
    if generated and placed and generated.same_again is False:
        yield Finding(
            "not-deterministic",
            Severity.FAIL if placed.device == "cpu" else Severity.WARN,
            "the same greedy generation gave another text",
            hint="check the machine's memory; if it is sound, report it",
        )


CRITERIA = (token_ids, template, marks, restored, configured, written, runs_on, determinism)
