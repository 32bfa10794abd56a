"""Judges the numbers that a model gives: that they are numbers, that they depend on the input, that near is near.

Decides only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from modelfetch.smoketest.observations import Answered, Embedded, Generated, Predicted, Ranked
from modelfetch.smoketest.verdict import Case, Finding, Severity

CHECKS = {
    "not-finite-output": "The model's outputs are not numbers, or infinite.",
    "same-output": "Two different inputs gave the same output.",
    "similarity": "Sentences that mean the same are no nearer than a foreign one, or near by their words alone.",
    "padding": "A sentence has another embedding when it is padded in a batch.",
    "ranking": "A ranker scores a foreign document above the one that answers.",
}

# The margin of a real small model was 0.78; one that cannot tell sentences apart has none.
MIN_MARGIN = 0.05
# A real small model had 4 of 5, and as many with its layers exchanged; with its embeddings shifted it had none.
MIN_NEARER = 2
# Padding moves a sound embedding by rounding only: a cosine of 0.99 is far outside of that.
MIN_BATCH_SIMILARITY = 0.99


def finite(case: Case) -> Iterator[Finding]:
    """One finding for all outputs: NaN in one place is NaN everywhere after it."""
    predicted, generated, embedded = case.last(Predicted), case.last(Generated), case.last(Embedded)
    broken = {answered.head: answered.finite for answered in case.every(Answered)}
    broken["loss"] = predicted is None or math.isfinite(predicted.loss)
    broken["logits"] = generated is None or generated.finite
    broken["embeddings"] = embedded is None or embedded.finite
    where = [name for name, sound in broken.items() if not sound]
    if where:
        yield Finding(
            "not-finite-output",
            Severity.FAIL,
            "the model's outputs are not numbers, or infinite",
            {"where": ", ".join(where)},
            f"try --dtype float32; if it stays so, {case.repair}",
        )


def answers(case: Case) -> Iterator[Finding]:
    """A tiny random model tells inputs apart by less than can be measured, and is not asked to."""
    for answered in case.every(Answered):
        if answered.finite and not answered.differs and not case.allow_random:
            title = f"the same {answered.head} for different inputs"
            yield Finding("same-output", Severity.FAIL, title, hint=case.repair)


def embeddings(case: Case) -> Iterator[Finding]:
    embedded = case.last(Embedded)
    if embedded is None or not embedded.finite:
        return
    if not case.allow_random and embedded.related < embedded.unrelated + MIN_MARGIN:
        yield Finding(
            "similarity",
            Severity.FAIL,
            "sentences that mean the same are no nearer to each other than to a foreign one",
            {"related": f"{embedded.related:.3f}", "unrelated": f"{embedded.unrelated:.3f}"},
            case.repair,
        )
    elif not case.allow_random and embedded.compared and embedded.nearer < MIN_NEARER:
        yield Finding(
            "similarity",
            Severity.WARN,
            "sentences are near by their words and not by what they mean",
            {"nearer to the same in other words": f"{embedded.nearer} of {embedded.compared}"},
            case.repair,
        )
    if embedded.batch_similarity is not None and embedded.batch_similarity < MIN_BATCH_SIMILARITY:
        yield Finding(
            "padding",
            Severity.WARN,
            "a sentence has another embedding when it is padded in a batch",
            {"cosine of the two": f"{embedded.batch_similarity:.3f}"},
            "embed one sentence at a time, or set the tokenizer's padding_side",
        )


def ranking(case: Case) -> Iterator[Finding]:
    ranked = case.last(Ranked)
    if ranked and ranked.ranker and not case.allow_random and ranked.relevant <= ranked.irrelevant:
        title = "a foreign document scores above the one that answers the question"
        if not ranked.certain:
            title += "; how this model wants to be asked is not in its files, and was guessed"
        yield Finding(
            "ranking",
            Severity.FAIL if ranked.certain else Severity.WARN,
            title,
            {"relevant": f"{ranked.relevant:.3f}", "irrelevant": f"{ranked.irrelevant:.3f}"},
            case.repair if ranked.certain else "ask it as its card says, and compare",
        )


CRITERIA = (finite, answers, embeddings, ranking)
