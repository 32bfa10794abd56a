"""How well a model predicts plain English that it has not chosen: far better than chance, or it knows no English.

- A causal model predicts each next token, a masked one every seventh token from the others, an encoder-decoder the
  spans left out (T5) or the text itself.
- Where the paragraph is mostly unknown to the tokenizer, the loss says nothing, and says that it says nothing.
"""

from __future__ import annotations

from typing import Any

import torch

from modelfetch.model.kind import GENERATES, Kind
from modelfetch.smoketest.child.generation import ids_fit
from modelfetch.smoketest.child.prompting import spans
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Predicted, Restored, Started
from modelfetch.smoketest.prompts import PARAGRAPH
from modelfetch.smoketest.request import Request

MASK_EVERY = 7
MAX_UNKNOWN_SHARE = 0.3


def predict(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Report the loss on the paragraph."""
    report(Started("loss"))
    kind = request.exercise.kind
    ids = tokenizer(PARAGRAPH, return_tensors="pt")["input_ids"].to(model.device)
    if not ids_fit(model, ids, "plain English", report):
        return
    with torch.inference_mode():
        if model.config.is_encoder_decoder:
            logits, targets = _rewritten(model, tokenizer, ids)
        elif kind is Kind.MASKED:
            logits, targets = _unmasked(model, tokenizer, ids)
        else:
            logits, targets = model(input_ids=ids).logits[0, :-1], ids[0, 1:]
        loss = torch.nn.functional.cross_entropy(logits.float(), targets)
    unknown = float((ids == tokenizer.unk_token_id).float().mean()) if tokenizer.unk_token_id is not None else 0.0
    excuse = request.exercise.loss_excuse
    if unknown > MAX_UNKNOWN_SHARE:
        excuse = f"{unknown:.0%} of plain English is unknown to its tokenizer"
    if kind in GENERATES and not unknown and not excuse:
        report(Restored(PARAGRAPH, tokenizer.decode(ids[0], skip_special_tokens=True)))
    report(Predicted(float(loss), int(logits.shape[-1]), int(targets.numel()), excuse))


def _rewritten(model: Any, tokenizer: Any, ids: Any) -> tuple[Any, Any]:
    source, target = PARAGRAPH, PARAGRAPH
    if spans(tokenizer):
        source = PARAGRAPH.replace("before sunrise", "<extra_id_0>").replace("fresh bread", "<extra_id_1>")
        target = "<extra_id_0> before sunrise<extra_id_1> fresh bread<extra_id_2>"
    encoded = tokenizer(source, return_tensors="pt")["input_ids"].to(ids.device)
    labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"].to(ids.device)
    return model(input_ids=encoded, labels=labels).logits[0], labels[0]


def _unmasked(model: Any, tokenizer: Any, ids: Any) -> tuple[Any, Any]:
    special = torch.tensor(tokenizer.get_special_tokens_mask(ids[0].tolist(), already_has_special_tokens=True))
    places = [place for place in range(1, ids.shape[1], MASK_EVERY) if not special[place]]
    masked = ids.clone()
    masked[0, places] = tokenizer.mask_token_id
    return model(input_ids=masked).logits[0, places], ids[0, places]
