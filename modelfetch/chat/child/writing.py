"""What `generate` of transformers is given to write one reply, and what is kept of it for the next."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicCache, DynamicLayer

from modelfetch.chat.settings import Sampling


class Streamer:
    """Given each new token by `generate`; notes when it came and passes it on. The first it is given is the prompt."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.ids: list[int] = []
        self.times: list[float] = []
        self._tell = tell
        self._prompt_seen = False

    def put(self, value: Any) -> None:
        """Called by `generate` with every new token."""
        if self._prompt_seen:
            for token_id in value.flatten().tolist():
                self.ids.append(token_id)
                self.times.append(time.perf_counter())
                self._tell(token_id)
        self._prompt_seen = True

    def end(self) -> None:
        """Called by `generate` when it is done."""


class Stopping(transformers.StoppingCriteria):  # type: ignore[misc]  # a class of transformers, which has no types
    """Asked by `generate` after every token whether that was the last."""

    def __init__(self, is_stopped: Callable[[], bool]) -> None:
        self._is_stopped = is_stopped

    def __call__(self, input_ids: Any, scores: Any, **options: Any) -> Any:  # noqa: ARG002 - transformers' signature
        return torch.full((input_ids.shape[0],), self._is_stopped(), dtype=torch.bool, device=input_ids.device)


class Memory:
    """What the model made of the last prompt and reply, for a prompt that begins with the same tokens."""

    def __init__(self) -> None:
        self._cache: Any = None
        self._ids: list[int] = []

    def take(self, prompt_ids: Sequence[int]) -> dict[str, Any]:
        """The option of `generate` that lets it go on from there; none where the prompt begins otherwise.

        What is taken is not kept: a reply that fails half way leaves it as nobody knows.
        """
        cache, ids = self._cache, self._ids
        self._cache, self._ids = None, []
        fits = cache is not None and len(ids) < len(prompt_ids) and list(prompt_ids[: len(ids)]) == ids
        return {"past_key_values": cache} if fits else {}

    def keep(self, cache: Any, ids: Sequence[int]) -> None:
        """Keep what `generate` made of `ids`, where every layer remembers every token and nothing else."""
        if isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers):
            self._cache, self._ids = cache, list(ids[: int(cache.get_seq_length())])


def configured(own: Any, sampling: Sampling, max_new_tokens: int, stop_ids: Collection[int]) -> Any:
    """The model's own generation configuration with what was chosen for this reply."""
    config = copy.deepcopy(own)
    chosen = {
        "do_sample": sampling.do_sample,
        # Greedy wants none of them, and says so in a warning.
        "temperature": sampling.temperature if sampling.do_sample else None,
        "top_p": sampling.top_p if sampling.do_sample else None,
        "top_k": sampling.top_k if sampling.do_sample else None,
        "max_new_tokens": max_new_tokens,
        "max_length": None,
        "return_dict_in_generate": True,
        "num_beams": 1,
        "num_return_sequences": 1,
        "eos_token_id": sorted(stop_ids) or None,
        # transformers wants one to fill a batch with; there is nothing to fill in a batch of one.
        "pad_token_id": own.pad_token_id if own.pad_token_id is not None else min(stop_ids, default=0),
    }
    for name, value in chosen.items():
        setattr(config, name, value)
    return config
