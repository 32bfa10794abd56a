"""Runs models that do not write: encoders, classifiers, rankers, and those that fill a gap or find an answer.

Each runs on two different inputs: outputs that are the same for both come from a model that does not look.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from modelfetch.model.child.vectors import cosine, encode_texts, hidden_states, pooled, run
from modelfetch.model.kind import Kind
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Answered, Embedded, Filled, Ranked, Started
from modelfetch.smoketest.prompts import (
    CONTEXT,
    IRRELEVANT,
    MASKED_PROMPT,
    NEAR_AND_FAR,
    OTHER_CONTEXT,
    QUERY,
    QUESTION,
    RELATED,
    RELEVANT,
    UNRELATED,
)
from modelfetch.smoketest.request import Request

TOP = 5


def fill(model: Any, tokenizer: Any, report: Report) -> None:
    """What a masked model puts in the gap."""
    report(Started("fill"))
    sentence = MASKED_PROMPT.format(mask=tokenizer.mask_token)
    inputs = encode_texts(tokenizer, model, sentence)
    gap = int((inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()[0])
    logits = run(model, inputs).logits[0]
    best = logits[gap].float().topk(TOP).indices
    report(Filled(sentence, tuple(tokenizer.decode([each]).strip() for each in best.tolist())))
    report(Answered("mask", tuple(logits.shape), bool(torch.isfinite(logits).all()), _varies(logits)))


def embed(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Sentence vectors, pooled as the model's own configuration says, of two sentences that are near and one far."""
    report(Started("embed"))
    pooling = request.exercise.pooling or "mean"
    first, second = RELATED
    vectors = [pooled(model, encode_texts(tokenizer, model, text), pooling)[0] for text in (first, second, UNRELATED)]
    batch_similarity = None
    if tokenizer.pad_token is not None:
        batch = pooled(model, encode_texts(tokenizer, model, [first, f"{UNRELATED} {UNRELATED}"]), pooling)
        batch_similarity = cosine(vectors[0], batch[0])
    report(
        Embedded(
            pooling=pooling,
            dimension=int(vectors[0].shape[-1]),
            finite=all(bool(torch.isfinite(vector).all()) for vector in vectors),
            related=cosine(vectors[0], vectors[1]),
            unrelated=cosine(vectors[0], vectors[2]),
            batch_similarity=batch_similarity,
            sentences=(first, second, UNRELATED),
            nearer=sum(_is_nearer(model, tokenizer, sentences, pooling) for sentences in NEAR_AND_FAR),
            compared=len(NEAR_AND_FAR),
        )
    )


def _is_nearer(model: Any, tokenizer: Any, sentences: Sequence[str], pooling: str) -> bool:
    """Whether the second sentence is nearer to the first than the third is."""
    one, same, other = (pooled(model, encode_texts(tokenizer, model, text), pooling)[0] for text in sentences)
    return cosine(one, same) > cosine(one, other)


def encode(model: Any, tokenizer: Any, report: Report) -> None:
    """Hidden states of two sentences."""
    report(Started("encode"))
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    one = hidden_states(encoder, encode_texts(tokenizer, encoder, RELATED[0]))[0]
    other = hidden_states(encoder, encode_texts(tokenizer, encoder, UNRELATED))[0]
    finite = bool(torch.isfinite(one).all() and torch.isfinite(other).all())
    report(Answered("hidden states", tuple(one.shape), finite, _differ(one[-1], other[-1]) and _varies(one)))


def classify(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Scores of two documents for a query, or of two sentences where there is more than one label."""
    report(Started("classify"))
    labels = int(model.config.num_labels)
    if labels == 1:
        one = run(model, encode_texts(tokenizer, model, QUERY, RELEVANT)).logits[0]
        other = run(model, encode_texts(tokenizer, model, QUERY, IRRELEVANT)).logits[0]
        report(Ranked(float(one[0]), float(other[0]), request.exercise.ranker))
    else:
        one = run(model, encode_texts(tokenizer, model, RELATED[0])).logits[0]
        other = run(model, encode_texts(tokenizer, model, UNRELATED)).logits[0]
    finite = bool(torch.isfinite(one).all() and torch.isfinite(other).all())
    detail = str(model.config.id2label.get(int(one.argmax()), "")) if labels > 1 else ""
    report(Answered("labels", tuple(one.shape), finite, _differ(one, other), detail))


def tag(model: Any, tokenizer: Any, report: Report) -> None:
    """A label for each token of a sentence."""
    report(Started("tag"))
    logits = run(model, encode_texts(tokenizer, model, CONTEXT)).logits[0]
    labels = [str(model.config.id2label.get(each, each)) for each in logits.argmax(dim=-1).tolist()]
    report(
        Answered(
            "token labels", tuple(logits.shape), bool(torch.isfinite(logits).all()), _varies(logits), " ".join(labels)
        )
    )


def find_answer(model: Any, tokenizer: Any, report: Report) -> None:
    """The span of a text that answers a question."""
    report(Started("answer"))
    inputs = encode_texts(tokenizer, model, QUESTION, CONTEXT)
    one = run(model, inputs)
    other = run(model, encode_texts(tokenizer, model, QUESTION, OTHER_CONTEXT))
    starts, ends = one.start_logits[0], one.end_logits[0]
    begin = int(starts.argmax())
    end = begin + int(ends[begin:].argmax())
    span = tokenizer.decode(inputs["input_ids"][0, begin : end + 1], skip_special_tokens=True)
    finite = bool(torch.isfinite(starts).all() and torch.isfinite(ends).all())
    report(Answered("answer span", tuple(starts.shape), finite, _differ(starts[:1], other.start_logits[0, :1]), span))


EXERCISES = {Kind.ENCODER: encode, Kind.TOKENS: tag, Kind.QUESTION: find_answer, Kind.MASKED: fill}


def _differ(one: Any, other: Any) -> bool:
    return not bool(torch.allclose(one.float(), other.float(), rtol=0, atol=1e-6))


def _varies(rows: Any) -> bool:
    """Whether not every row is the same as the first."""
    return _differ(rows, rows[:1].expand_as(rows))
