"""Runs a model on texts and makes vectors of what it answers."""

from __future__ import annotations

from typing import Any

import torch


def encode_texts(tokenizer: Any, model: Any, text: str | list[str], pair: str | None = None) -> Any:
    """Tokens of a text, of a pair of texts, or of several texts padded to one length; nothing is cut off."""
    padding = isinstance(text, list)
    return tokenizer(text, pair, padding=padding, truncation=False, return_tensors="pt").to(model.device)


def run(model: Any, inputs: Any) -> Any:
    """What the model answers, without gradients."""
    with torch.inference_mode():
        return model(**inputs)


def hidden_states(model: Any, inputs: Any) -> Any:
    """The last hidden state of each token, of a bare model or of one with a head."""
    with torch.inference_mode():
        output = model(**inputs, output_hidden_states=True)
    state = getattr(output, "last_hidden_state", None)
    return (output.hidden_states[-1] if state is None else state).float()


def pooled(model: Any, inputs: Any, pooling: str) -> Any:
    """One vector a text."""
    states = hidden_states(model, inputs)
    mask = inputs["attention_mask"].unsqueeze(-1)
    if pooling == "cls":
        return states[:, 0]
    if pooling == "lasttoken":
        # The last token that is not padding, on whichever side the padding is.
        last = (inputs["attention_mask"] * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)
        return states[torch.arange(states.shape[0]), last]
    if pooling == "max":
        return states.masked_fill(mask == 0, -torch.inf).amax(dim=1)
    if pooling == "weightedmean":
        # Later tokens have seen more of the text.
        mask = mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)[:, None]
    length = mask.sum(dim=1)
    return (states * mask).sum(dim=1) / (length.sqrt() if pooling == "mean_sqrt_len_tokens" else length)


def cosine(one: Any, other: Any) -> float:
    """1 for the same direction, 0 for none in common."""
    return float(torch.nn.functional.cosine_similarity(one, other, dim=-1))
