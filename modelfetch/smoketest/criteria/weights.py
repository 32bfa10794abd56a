"""Judges what was loaded: that every weight came from the file, none is damaged, and something trained them.

Decides only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from modelfetch.model.kind import GENERATES, Kind
from modelfetch.smoketest.observations import Loaded, Names, Planned, Predicted, Structured, WeightsScanned
from modelfetch.smoketest.verdict import Case, Finding, Severity

CHECKS = {
    "missing-weights": "Weights that the class needs are not in the file; transformers fills them with random numbers.",
    "unexpected-weights": "The file has weights that the class does not use: the configuration names another model.",
    "extra-heads": "The file has heads beside the model, as for another task; they were left out.",
    "mismatched-weights": "Weights have another shape than the configuration gives them.",
    "wrong-class": "Another class was loaded than the configuration names.",
    "model-type": "config.json names a class that does not go with its model type.",
    "not-loaded": "Weights stayed without any values.",
    "not-finite-weights": "Weights are not numbers, or infinite.",
    "huge-weights": "Weights are larger than any trained one.",
    "zero-rows": "A part of a weight matrix is zero: a hole in the file.",
    "random-weights": "The weights look random: nothing trained them, or they do no better than chance on plain text.",
    "weak-loss": "It predicts plain text worse than sound models do: it learned another language, or is damaged.",
    "loss-not-judged": "The loss on plain text says nothing about this model.",
}

# Padding of a vocabulary to a round number leaves fewer rows at zero.
MAX_ZERO_ROWS_SHARE = 0.02
# Loss over that of a model that knows nothing: tiny random models of every family had 1.00 to 1.13, a small trained
# one 0.27, the same with shuffled words 0.73, one under another model's tokenizer 1.00.
MAX_LOSS_SHARE = 0.85
MIN_VECTORS = 2
# Random numbers of one width, drawn 4096 at a time, differ by 3 %; training moves every matrix by itself.
MAX_FRESH_SPREAD = 1.1
# Sound models of 135 M parameters had 0.27 to 0.29, one with two layers exchanged 0.48.
WEAK_LOSS_SHARE = 0.45
# With one matrix misread it had 0.70, with another activation 0.82, and wrote no sentence.
POOR_LOSS_SHARE = 0.6
_EXTRA_HEAD = re.compile(
    r"(^|\.)(pooler|seq_relationship|lm_head|mtp|vision|visual|audio|score|classifier|qa_outputs|predictions|cls)(\.|$|_)"
    r"|rotary_emb\.inv_freq$|position_ids$|masked_bias$|attn\.bias$"
)
# Whether a bare encoder has its pooler decides no embedding that is not made with it.
_POOLER = re.compile(r"(^|\.)pooler\.")
_SHOWN = 5
# Those that predict each next word; what fills gaps was measured on too few.
_WRITERS = GENERATES - {Kind.SEQ2SEQ}


def loading(case: Case) -> Iterator[Finding]:
    """Missing and foreign weights do not stop transformers, and a model that lacks a layer still writes fluently."""
    loaded, planned = _fitted(case), case.last(Planned)
    if loaded is None:
        return
    missing = loaded.missing
    if planned and planned.kind in {Kind.EMBEDDING, Kind.ENCODER}:
        missing = _without(missing, _POOLER)
    if missing.total:
        yield Finding(
            "missing-weights",
            Severity.FAIL,
            f"{_count(missing, 'weight')} that `{loaded.class_name}` needs not in the file, and random instead",
            _shown(missing),
            f"{case.repair}; if the files are whole, the model was published so",
        )
    if loaded.mismatched.total:
        yield Finding(
            "mismatched-weights",
            Severity.FAIL,
            f"{_count(loaded.mismatched, 'weight')} of another shape than config.json says",
            _shown(loaded.mismatched),
            case.repair,
        )
    newer = "pip install -U transformers accelerate"
    if isinstance(loaded, Loaded) and loaded.on_meta.total:
        title = f"{_count(loaded.on_meta, 'weight')} without values"
        yield Finding("not-loaded", Severity.FAIL, title, _shown(loaded.on_meta), newer)
    if planned and not planned.class_name.startswith("Auto") and planned.class_name != loaded.class_name:
        title = f"`{loaded.class_name}` was loaded instead of `{planned.class_name}`"
        yield Finding("wrong-class", Severity.FAIL, title, hint=newer)


def model_type(case: Case) -> Iterator[Finding]:
    """The class that is named works; others go by the type, and get another or none."""
    planned = case.last(Planned)
    if planned and planned.type_doubt:
        yield Finding(
            "model-type",
            Severity.WARN,
            f"config.json names `{planned.class_name}`, and {planned.type_doubt}",
            hint=f"{case.repair}; if the file is whole, report it to the model's authors",
        )


def unexpected(case: Case) -> Iterator[Finding]:
    """A head for another task is common and harmless; a layer that the configuration does not have is not."""
    loaded = _fitted(case)
    if loaded is None or not loaded.unexpected.total:
        return
    foreign = _without(loaded.unexpected, _EXTRA_HEAD)
    if foreign.total:
        yield Finding(
            "unexpected-weights",
            Severity.FAIL,
            f"{_count(foreign, 'weight')} in the file that config.json has no place for",
            _shown(foreign),
            case.repair,
        )
    else:
        yield Finding(
            "extra-heads",
            Severity.NOTE,
            f"{_count(loaded.unexpected, 'weight')} of a head for another task left out",
            _shown(loaded.unexpected),
        )


def damage(case: Case) -> Iterator[Finding]:
    """What a damaged file looks like from inside; most single flipped bits look like nothing at all."""
    scanned = case.last(WeightsScanned)
    if scanned is None:
        return
    if scanned.not_finite.total:
        title = f"{_count(scanned.not_finite, 'weight')} with values that are no numbers, or infinite"
        yield Finding("not-finite-weights", Severity.FAIL, title, _shown(scanned.not_finite), case.repair)
    if scanned.huge.total:
        title = f"{_count(scanned.huge, 'weight')} with values larger than any trained one"
        yield Finding("huge-weights", Severity.FAIL, title, _shown(scanned.huge), case.repair)
    holes = [each for each in scanned.zero_rows if each.zero_rows > MAX_ZERO_ROWS_SHARE * each.rows]
    if case.allow_random:
        # Some classes begin with projections and position embeddings of nothing but zeros.
        holes = [each for each in holes if each.zero_rows < each.rows]
    if holes:
        rows = {each.name: f"{each.zero_rows} of {each.rows} rows" for each in holes[:_SHOWN]}
        title = f"{len(holes)} weight{'s' if len(holes) > 1 else ''} with rows of zeros: a hole in the file"
        yield Finding("zero-rows", Severity.FAIL, title, rows, case.repair)


def training(case: Case) -> Iterator[Finding]:
    """A fresh model has norms of one and biases of zero, and predicts no better than chance."""
    scanned, predicted = case.last(WeightsScanned), case.last(Predicted)
    if case.allow_random:
        return
    evidence = {}
    if scanned and scanned.vectors >= MIN_VECTORS and scanned.constant_vectors == scanned.vectors:
        evidence["norms and biases"] = f"all {scanned.vectors} hold one value each, as before any training"
    elif scanned and scanned.norms >= MIN_VECTORS and scanned.constant_norms == scanned.norms:
        evidence["norms"] = f"all {scanned.norms} hold one value each, as before any training"
    elif scanned and scanned.spread is not None and scanned.spread < MAX_FRESH_SPREAD:
        evidence["matrices"] = "all are equally wide, as before any training"
    chance = predicted is not None and predicted.excuse is None and not _better_than_chance(predicted)
    if predicted and chance:
        evidence[f"loss on plain {predicted.language}"] = _against_chance(predicted)
    if not evidence:
        return
    title = "the weights look random"
    if predicted and chance and len(evidence) == 1:
        title += f", or the tokenizer is another model's: it predicts {predicted.language} no better than chance"
    yield Finding(
        "random-weights",
        Severity.FAIL,
        title,
        evidence,
        f"{case.repair}; where it is meant to be random: --allow-random",
    )


def weak(case: Case) -> Iterator[Finding]:
    """Between chance and what sound models reach nothing is proven; what is far from them is worth a look."""
    predicted, planned = case.last(Predicted), case.last(Planned)
    if predicted is None or planned is None or predicted.excuse or case.allow_random or planned.kind not in _WRITERS:
        return
    share = predicted.loss / math.log(max(predicted.vocabulary, 2))
    if WEAK_LOSS_SHARE < share <= MAX_LOSS_SHARE:
        yield Finding(
            "weak-loss",
            Severity.WARN if share > POOR_LOSS_SHARE else Severity.NOTE,
            f"it predicts plain {predicted.language} worse than sound models do, which proves nothing",
            {f"loss on plain {predicted.language}": _against_chance(predicted)},
            f"where it is made to know {predicted.language}: {case.repair}",
        )


def excused(case: Case) -> Iterator[Finding]:
    predicted = case.last(Predicted)
    if predicted and predicted.excuse:
        yield Finding("loss-not-judged", Severity.NOTE, f"its loss on plain text was not judged: {predicted.excuse}")


def _fitted(case: Case) -> Loaded | Structured | None:
    """Class and weights held against each other: while the weights were read, or before that."""
    return case.last(Loaded) or case.last(Structured)


def _better_than_chance(predicted: Predicted) -> bool:
    """A loss that is no number is not judged here: the weights or the outputs say why."""
    return math.isnan(predicted.loss) or predicted.loss <= MAX_LOSS_SHARE * math.log(max(predicted.vocabulary, 2))


def _against_chance(predicted: Predicted) -> str:
    return f"{predicted.loss:.2f}, chance is {math.log(predicted.vocabulary):.2f}"


def _without(names: Names, pattern: re.Pattern[str]) -> Names:
    kept = tuple(name for name in names.examples if not pattern.search(name))
    return Names(names.total - (len(names.examples) - len(kept)), kept)


def _count(names: Names, noun: str) -> str:
    return f"{names.total} {noun}{'s' if names.total != 1 else ''}"


def _shown(names: Names) -> dict[str, str]:
    more = f" … and {names.total - _SHOWN} more" if names.total > _SHOWN else ""
    return {"which": ", ".join(names.examples[:_SHOWN]) + more}


CRITERIA = (loading, model_type, unexpected, damage, training, weak, excused)
