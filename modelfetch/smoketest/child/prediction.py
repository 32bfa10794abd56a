"""How well a model predicts plain text that it has not chosen: far better than chance, or it knows no such language.

- A causal model predicts each next token, a masked one every seventh token from the others, an encoder-decoder the
  spans left out (T5) or the text itself.
- The text is English. A tokenizer that has words of Chinese is of a model that may know that better: the language that
  it knows best is the one that counts.
- Where the text is mostly unknown to the tokenizer, the loss says nothing, and says that it says nothing.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from modelfetch.model.kind import GENERATES, Kind
from modelfetch.smoketest.child.generation import ids_fit
from modelfetch.smoketest.child.prompting import spans
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Predicted, Restored, Started
from modelfetch.smoketest.prompts import CHINESE, ENGLISH, Paragraph
from modelfetch.smoketest.request import Request

MASK_EVERY = 7
MAX_UNKNOWN_SHARE = 0.3
# A tokenizer made for English alone takes two or three for each character of Chinese.
MAX_TOKENS_FOR_A_CHARACTER = 1.0
# Of chance. A model of English under the tokenizer of another, which has each character of Chinese, came to 0.63: by
# what is repeated. Sound models of a language have less than 0.45.
KNOWN_SHARE = 0.5
# What begins and ends a text.
_FRAME_TOKENS = 2


def predict(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Report the loss on the paragraph that the model knows best."""
    report(Started("loss"))
    predicted = _on(ENGLISH, model, tokenizer, request, report)
    if predicted is None:
        return
    if _has_words_of(CHINESE, tokenizer):
        other = _on(CHINESE, model, tokenizer, request, report)
        # English that its tokenizer does not know says nothing.
        if other and not other.excuse and (predicted.excuse or other.loss < min(predicted.loss, _known(other))):
            predicted = other
    report(predicted)


def _on(paragraph: Paragraph, model: Any, tokenizer: Any, request: Request, report: Report) -> Predicted | None:
    """The loss on `paragraph`; None where an id of it would be beyond the embedding."""
    kind = request.exercise.kind
    ids = tokenizer(paragraph.text, return_tensors="pt")["input_ids"].to(model.device)
    if not ids_fit(model, ids, f"plain {paragraph.language}", report):
        return None
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            logits, targets = _rewritten(model, tokenizer, paragraph, ids.device)
        elif kind is Kind.MASKED:
            logits, targets = _unmasked(model, tokenizer, ids)
        else:
            logits, targets = model(input_ids=ids).logits[0, :-1], ids[0, 1:]
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
    unknown = _unknown_share(ids, tokenizer)
    excuse = request.exercise.loss_excuse
    if unknown > MAX_UNKNOWN_SHARE:
        excuse = f"{unknown:.0%} of plain {paragraph.language} is unknown to its tokenizer"
    if paragraph is ENGLISH and kind in GENERATES and not unknown and not excuse:
        report(Restored(paragraph.text, tokenizer.decode(ids[0], skip_special_tokens=True)))
    return Predicted(float(loss), int(logits.shape[-1]), int(targets.numel()), excuse, paragraph.language)


def _known(predicted: Predicted) -> float:
    """The loss from which on a model does not know the language."""
    return KNOWN_SHARE * math.log(predicted.vocabulary)


def _has_words_of(paragraph: Paragraph, tokenizer: Any) -> bool:
    """Whether the tokenizer was made for the paragraph's language: not in pieces of its characters."""
    ids = tokenizer(paragraph.text, return_tensors="pt")["input_ids"]
    most = len(paragraph.text) * MAX_TOKENS_FOR_A_CHARACTER + _FRAME_TOKENS
    return int(ids.numel()) <= most and _unknown_share(ids, tokenizer) <= MAX_UNKNOWN_SHARE


def _unknown_share(ids: Any, tokenizer: Any) -> float:
    unknown = tokenizer.unk_token_id
    return float((ids == unknown).float().mean()) if unknown is not None else 0.0


def _rewritten(model: Any, tokenizer: Any, paragraph: Paragraph, device: Any) -> tuple[Any, Any]:
    source = target = paragraph.text
    if spans(tokenizer):
        first, second = paragraph.left_out
        source = source.replace(first, "<extra_id_0>").replace(second, "<extra_id_1>")
        target = f"<extra_id_0> {first}<extra_id_1> {second}<extra_id_2>"
    encoded = tokenizer(source, return_tensors="pt")["input_ids"].to(device)
    labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"].to(device)
    return model(input_ids=encoded, labels=labels).logits[0], labels[0]


def _unmasked(model: Any, tokenizer: Any, ids: Any) -> tuple[Any, Any]:
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True))
    places = [place for place in range(1, ids.shape[1], MASK_EVERY) if not special[place]]
    masked = ids.clone()
    masked[0, places] = tokenizer.mask_token_id
    return model(input_ids=masked).logits[0, places], ids[0, places]
