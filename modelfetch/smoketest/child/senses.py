"""Runs models that hear or see: on tones and pictures that are made here, two of each, which must not look alike."""

from __future__ import annotations

from typing import Any

import torch

from modelfetch.model.child.loading import load_feature_extractor
from modelfetch.model.child.vectors import run
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Answered, Started
from modelfetch.smoketest.request import Request

MAX_WORDS = 16
# Where a configuration has no size of its own, as that of a convolutional network, any will do.
_PICTURE = 224
_CHANGE = 1e-6


def listen(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """What a model of speech makes of a tone, and whether one that rises is another to it."""
    report(Started("listen"))
    extractor = load_feature_extractor(
        request.folder, remote_code=request.exercise.remote_code, trust_remote_code=request.trust_remote_code
    )
    rate = int(extractor.sampling_rate)
    moments = torch.arange(rate) / rate
    steady, rising = (torch.sin(2 * torch.pi * 440 * moments**power).numpy() / 2 for power in (1, 2))
    one, other = (_heard(extractor, tone, rate, model) for tone in (steady, rising))
    if model.can_generate():
        encoder = model.get_encoder()
        states, others = (run(encoder, heard).last_hidden_state[0].float() for heard in (one, other))
        with torch.inference_mode():
            ids = model.generate(**one, max_new_tokens=MAX_WORDS, do_sample=False, num_beams=1)[0]
    else:
        states, others = (run(model, heard).logits[0].float() for heard in (one, other))
        ids = states.argmax(dim=-1)
    text = tokenizer.decode(ids, skip_special_tokens=True)
    report(Answered("speech", tuple(states.shape), _finite(states, others), _differ(states, others), text))


def see(model: Any, report: Report) -> None:
    """The label of a picture, and whether its negative is another to the model."""
    report(Started("see"))
    # A model of pictures and words keeps what it knows of pictures apart.
    config = getattr(model.config, "vision_config", model.config)
    size = getattr(config, "image_size", None) or _PICTURE
    height, width = size if isinstance(size, list | tuple) else (size, size)
    channels = int(getattr(config, "num_channels", 3))
    rows, columns = torch.linspace(-1, 1, int(height)), torch.linspace(-1, 1, int(width))
    # Light from one corner to the other, with stripes that are finer in each colour.
    light = rows[:, None] + columns[None, :]
    picture = torch.stack([torch.sin(light * 3 * (1 + channel)) for channel in range(channels)])[None]
    picture = picture.to(model.device, next(model.parameters()).dtype)
    logits, others = (run(model, {"pixel_values": each})[0][0].float() for each in (picture, -picture))
    best = int(logits.argmax())
    label = str((getattr(model.config, "id2label", None) or {}).get(best, best))
    report(Answered("picture labels", tuple(logits.shape), _finite(logits, others), _differ(logits, others), label))


def _heard(extractor: Any, tone: Any, rate: int, model: Any) -> dict[str, Any]:
    """The tone as the model takes it: a spectrum, or the wave itself."""
    features = extractor(tone, sampling_rate=rate, return_tensors="pt")
    name = model.main_input_name
    return {name: features[name].to(model.device, next(model.parameters()).dtype)}


def _finite(*outputs: Any) -> bool:
    return all(bool(torch.isfinite(output).all()) for output in outputs)


def _differ(one: Any, other: Any) -> bool:
    return not bool(torch.allclose(one, other, rtol=0, atol=_CHANGE))
