"""Runs the weights on texts: what comes next, and how near texts and words are to each other."""

from __future__ import annotations

import re
from typing import Any

import torch

from modelfetch.inspection.answers import Likely, Next, Occurrence, RanOn, Vectors
from modelfetch.inspection.child.refusing import Incomplete, Refused
from modelfetch.inspection.child.tokens import Pieces
from modelfetch.inspection.request import Request
from modelfetch.model.child import loading, machine
from modelfetch.model.child.vectors import cosine, encode_texts, hidden_states, pooled, run
from modelfetch.model.kind import Exercise, Kind
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed, Wish
from modelfetch.units import format_bytes

_READS_FORWARD = frozenset({Kind.CHAT, Kind.BASE, Kind.JUDGE, Kind.VISION})


class Asked:
    """A model that was loaded to be asked."""

    def __init__(self, request: Request, exercise: Exercise, pieces: Pieces) -> None:
        placed = _place(request.wish, exercise)
        self.ran_on = RanOn(placed.device, placed.device_reason, placed.dtype, placed.dtype_reason)
        loaded = loading.load_model(request.folder, exercise, placed)
        _check_whole(loaded)
        self._model = loaded.model
        self._cut_at, self._notes = request.cut_at, request.notes
        self._kind, self._pooling = exercise.kind, exercise.pooling
        self._pieces, self._tokenizer = pieces, pieces.tokenizer

    def next(self, text: str, top_k: int) -> Next:
        """The likeliest tokens where the model would write next."""
        inputs = encode_texts(self._tokenizer, self._model, text)
        ids = inputs["input_ids"]
        self._check(ids)
        if self._kind is Kind.MASKED:
            position, logits = "the mask", self._at_mask(inputs)
        elif self._kind is Kind.SEQ2SEQ:
            start = self._model.config.decoder_start_token_id
            decoder = torch.tensor([[start]], device=self._model.device)
            output = run(self._model, {**inputs, "decoder_input_ids": decoder})
            position, logits = "the start of the answer", output.logits[0, -1]
        else:
            position, logits = "the end of the text", run(self._model, inputs).logits[0, -1]
            if self._kind is Kind.CHAT:
                position += ", given as it is, without the chat template"
        _check_numbers(logits)
        best = logits.float().softmax(dim=-1).topk(min(top_k, logits.shape[-1]))
        likeliest = [
            Likely(self._pieces.token(number), probability)
            for number, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]
        return Next(text, position, int(ids.shape[1]), tuple(likeliest))

    def embed(self, texts: tuple[str, ...], word: str | None) -> Vectors:
        """Cosines between the texts, or between the places of `word` in them."""
        encoder = self._model.get_encoder() if self._model.config.is_encoder_decoder else self._model
        return self._words(encoder, texts, word) if word else self._texts(encoder, texts)

    def _texts(self, encoder: Any, texts: tuple[str, ...]) -> Vectors:
        pooling = self._pooling or "mean"
        vectors, notes = [], list(self._notes)
        if not self._pooling:
            notes.append("the model names no pooling; these are means over its last hidden states")
        for number, text in enumerate(texts):
            inputs = self._cut(text, encoder)
            if (whole := len(self._tokenizer(text)["input_ids"])) > inputs["input_ids"].shape[1]:
                notes.append(f"text {number + 1} was cut to {self._cut_at} of its {whole} tokens, as its files say")
            self._check(inputs["input_ids"])
            vectors.append(pooled(encoder, inputs, pooling)[0])
            _check_numbers(vectors[-1])
        return Vectors(pooling, int(vectors[0].shape[-1]), texts, _cosines(vectors), tuple(notes))

    def _cut(self, text: str, encoder: Any) -> Any:
        """The tokens of a text, no more than sentence-transformers would take."""
        if self._cut_at is None:
            return encode_texts(self._tokenizer, encoder, text)
        options = {"truncation": True, "max_length": self._cut_at, "return_tensors": "pt"}
        return self._tokenizer(text, **options).to(encoder.device)

    def _words(self, encoder: Any, texts: tuple[str, ...], word: str) -> Vectors:
        occurrences, vectors, notes = [], [], []
        for number, text in enumerate(texts):
            if not self._tokenizer.is_fast:
                raise Refused("its tokenizer does not say where in a text a token stands, which --word needs")
            inputs = self._tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
            offsets = inputs.pop("offset_mapping")[0].tolist()
            self._check(inputs["input_ids"])
            states = hidden_states(encoder, inputs.to(encoder.device))[0]
            _check_numbers(states)
            for places in _places(text, word, offsets):
                ids = inputs["input_ids"][0, places].tolist()
                occurrences.append(Occurrence(number, tuple(self._pieces.token(each).text for each in ids)))
                vectors.append(states[places].mean(dim=0))
                if places[0] == 0 and self._kind in _READS_FORWARD:
                    notes.append(
                        f"in text {number + 1} it comes first, where a decoder's vectors are unlike all others"
                    )
        if len(vectors) < 2:
            how_often = "only once" if vectors else "nowhere"
            raise Refused(f"`{word}` stands {how_often} in the texts; two places are needed to be compared")
        return Vectors(
            "mean", int(vectors[0].shape[-1]), texts, _cosines(vectors), tuple(notes), word, tuple(occurrences)
        )

    def _at_mask(self, inputs: Any) -> Any:
        mask = self._tokenizer.mask_token_id
        places = [place for place, number in enumerate(inputs["input_ids"][0].tolist()) if number == mask]
        if len(places) != 1:
            token = self._tokenizer.mask_token
            raise Refused(f"it fills a gap; put `{token}` into the text once, where the gap is")
        return run(self._model, inputs).logits[0, places[0]]

    def _check(self, ids: Any) -> None:
        """A text that has no tokens, or more than the model has places for, is not run."""
        length, config = int(ids.shape[-1]), self._model.config.get_text_config()
        if length == 0:
            raise Refused("an empty text has no tokens")
        limit = getattr(config, "max_position_embeddings", None)
        if isinstance(limit, int) and limit < length:
            raise Refused(f"the text has {length} tokens, and the model reads {limit} at once")


def _check_whole(loaded: loading.LoadedModel) -> None:
    """transformers fills what is missing with random numbers and goes on. No answer here goes through a pooler."""
    absent = [*loaded.keys["missing_keys"], *(name for name, *_ in loaded.keys["mismatched_keys"])]
    if absent := sorted(name for name in absent if "pooler." not in name):
        raise Incomplete(
            f"{len(absent)} of its weights are not in the files or have another shape, `{absent[0]}` first"
        )


def _check_numbers(output: Any) -> None:
    if bool(torch.isnan(output).any()):
        raise Refused("what it computes are no numbers; its weights are damaged, or too large for their type")


def _place(wish: Wish, exercise: Exercise) -> Placed:
    last = machine.settle(wish, exercise)[-1]
    match last:
        case Placed():
            return last
        case NoDevice():
            raise Refused(f"`{last.device}` cannot be used: {last.reason}")
        case DoesNotFit():
            needed, available = format_bytes(last.needed_bytes), format_bytes(last.available_bytes)
            raise Refused(f"its weights need {needed} on `{last.device}`, of which {available} are free")


def _places(text: str, word: str, offsets: list[list[int]]) -> list[list[int]]:
    """For each place of `word` in `text`, the tokens that share a character with it.

    A word of Latin letters is not looked for inside other words; scripts without spaces have no such borders.
    """
    pattern = rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])" if word.isascii() else re.escape(word)
    found = []
    for match in re.finditer(pattern, text, re.IGNORECASE):
        begin, end = match.span()
        found.append([place for place, (start, stop) in enumerate(offsets) if start < end and stop > begin])
    return [places for places in found if places]


def _cosines(vectors: list[Any]) -> tuple[tuple[float, ...], ...]:
    """Rounded to what float32 can tell."""
    return tuple(tuple(round(cosine(one, other), 6) for other in vectors) for one in vectors)
