"""States what was seen while a model was loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelfetch.model.child.loading import LoadedModel
from modelfetch.smoketest.observations import MAX_EXAMPLES, Loaded, Names, Structured


def observe(loaded: LoadedModel) -> Loaded:
    """The class, its size, and the weights that did not go where they belong."""
    model, keys = loaded.model, loaded.keys
    return Loaded(
        class_name=type(model).__name__,
        attention=loaded.attention,
        seconds=loaded.seconds,
        # It knows of weights that a backend has packed.
        parameters=model.num_parameters(),
        embedding_rows=_embedding_rows(model),
        missing=names(keys["missing_keys"]),
        unexpected=names(keys["unexpected_keys"]),
        mismatched=names(
            f"{name}: {list(stored)} stored, {list(wanted)} wanted" for name, stored, wanted in keys["mismatched_keys"]
        ),
        on_meta=names(name for name, parameter in model.named_parameters() if parameter.is_meta),
    )


def observe_structure(loaded: LoadedModel) -> Structured:
    """The same of a model that has no memory of its own."""
    seen = observe(loaded)
    return Structured(seen.class_name, loaded.seconds, seen.parameters, seen.missing, seen.unexpected, seen.mismatched)


def names(these: Iterable[str]) -> Names:
    """Names in order, cut to what a line can carry."""
    ordered = sorted(these)
    return Names(len(ordered), tuple(ordered[:MAX_EXAMPLES]))


def _embedding_rows(model: Any) -> int | None:
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (NotImplementedError, AttributeError):
        return None
