"""Observations cross the border of the process unchanged, and nothing else crosses it as one."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.model.cache_size import CacheSize
from modelfetch.model.contents import NotExercised
from modelfetch.model.documents import read_value
from modelfetch.model.kind import Exercise, Kind
from modelfetch.model.rankers import Judge
from modelfetch.smoketest.lines import from_line, to_line
from modelfetch.smoketest.observations import OBSERVATIONS, Garbled, Names, Observation, Predicted, Stack, Started

PLAIN_DICTIONARIES = {"evidence": NotExercised, "versions": Stack}
OBSERVED = st.one_of(
    [
        st.builds(
            kind,
            **{name: st.dictionaries(st.text(), st.text()) for name, has in PLAIN_DICTIONARIES.items() if kind is has},
        )
        for kind in OBSERVATIONS.values()
    ]
)


@given(OBSERVED.filter(lambda observed: "nan" not in repr(observed)))
def test_a_line_is_read_back_as_what_was_written(observed: Observation) -> None:
    line = to_line(observed)
    assert "\n" not in line
    assert from_line(line) == observed


def test_a_loss_that_is_no_number_crosses_as_such() -> None:
    read = from_line(to_line(Predicted(float("nan"), 10, 5)))
    assert isinstance(read, Predicted)
    assert read.loss != read.loss


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Loading weights: 100%",
        "[]",
        "null",
        "{}",
        '{"observation": "Verdict"}',
        '{"observation": "Started"}',
        '{"observation": "Started", "phase": 3}',
        '{"observation": "Started", "phase": "load", "more": 1}',
        '{"observation": "Predicted", "loss": "3", "vocabulary": 3, "tokens": 3, "excuse": null}',
        '{"observation": "Predicted", "loss": 3, "vocabulary": true, "tokens": 3, "excuse": null}',
        '{"observation": ["Started"], "phase": "load"}',
        "[" * 100_000,
    ],
)
def test_what_is_no_observation_is_garbled(line: str) -> None:
    assert isinstance(from_line(line), Garbled)


@given(st.text(max_size=200))
def test_no_text_ends_the_reading(text: str) -> None:
    from_line(text)


def test_a_nested_value_is_read_with_its_kinds() -> None:
    exercise = Exercise(Kind.JUDGE, "LlamaForCausalLM", 10, 0, 20, judge=Judge(1, 2), cache=CacheSize(7, 8, 9))
    document = json.loads(json.dumps(asdict(exercise)))
    assert read_value(document, Exercise) == exercise
    assert read_value({"total": 2, "examples": ["a", "b"]}, Names) == Names(2, ("a", "b"))


def test_a_field_that_is_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fields"):
        read_value({"phase": "load", "extra": 1}, Started)
