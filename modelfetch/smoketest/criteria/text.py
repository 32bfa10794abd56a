"""Judges what a model wrote: that it is text, that it ends where it should, that it is the same again. Decides only.

- The answer's content is reported and never judged.
- A prompt of the user's own may ask for anything, so what would fail the built-in prompt only warns there.
- A random model that is allowed to be one is asked for finite numbers and nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelfetch.model.kind import Kind
from modelfetch.model.placement import Placed
from modelfetch.model.thinking import HARMONY_CHANNEL
from modelfetch.smoketest.observations import Generated, Planned, Prompted, TokenIds
from modelfetch.smoketest.verdict import Case, Finding, Severity

CHECKS = {
    "token-ids": "The tokenizer makes ids that the model has no embedding for.",
    "template-error": "The chat template cannot be rendered, or leaves out what the user said.",
    "template-missing": "The model is named as one to talk to and has no chat template.",
    "no-text": "The model wrote nothing, or nothing but special tokens.",
    "repetition": "The model repeats the same few tokens.",
    "broken-characters": "The text has bytes in it that are no characters.",
    "runs-on": "The model ended its turn and was not stopped: the end-of-text token is configured wrongly.",
    "not-deterministic": "The same greedy generation gave another text.",
}

REPETITION_TOKENS = 32
MIN_TOKENS_FOR_REPETITION = 16
MIN_DISTINCT_SHARE = 0.2
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
    if prompted and planned and planned.instruct_name and planned.kind == Kind.BASE:
        yield Finding(
            "template-missing",
            Severity.WARN,
            "it is named as a model to talk to and has no chat template, so it was asked to continue a text",
            hint="modelfetch pull brings chat_template.jinja or tokenizer_config.json if the hub has them",
        )


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
    strict = Severity.FAIL if prompted.built_in and prompted.chat else Severity.WARN
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


CRITERIA = (token_ids, template, written, runs_on, determinism)
