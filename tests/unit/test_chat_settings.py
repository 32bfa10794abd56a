"""Parameters mean what transformers says, and one that is out of its range is refused with the range."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.chat.settings import MAX_NEW_TOKENS, PARAMETERS, Defaults, Settings, described
from modelfetch.errors import UsageError

GREEDY = Defaults()
QWEN = Defaults(do_sample=True, temperature=0.6, top_p=0.95, top_k=20)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("temperature", "-0.1", "a number from 0 to 100"),
        ("temperature", "101", "a number from 0 to 100"),
        ("temperature", "nan", "a number from 0 to 100"),
        ("temperature", "warm", "a number from 0 to 100"),
        ("top_p", "1.01", "a number from 0 to 1"),
        ("top_k", "-1", "a whole number from 0 to 1000000"),
        ("top_k", "1.5", "a whole number from 0 to 1000000"),
        ("max_new_tokens", "0", "a whole number from 1 to 1000000"),
        ("seed", "-1", "a whole number from 0 to 4294967295"),
    ],
)
def test_a_value_out_of_its_range_is_refused_with_the_range(name: str, text: str, expected: str) -> None:
    with pytest.raises(UsageError, match=f"`{name}` cannot be `{text}`") as raised:
        Settings().with_text(name, text)
    assert expected in str(raised.value.facts["expected"])


@pytest.mark.parametrize("name", PARAMETERS)
def test_both_ends_of_a_range_are_within_it(name: str) -> None:
    for end in (PARAMETERS[name].low, PARAMETERS[name].high):
        assert getattr(Settings().with_text(name, str(end)), name) == end


@given(st.floats() | st.integers(), st.sampled_from(sorted(PARAMETERS)))
def test_whatever_number_is_typed_it_is_taken_as_it_is_or_refused(number: float, name: str) -> None:
    try:
        settings = Settings().with_text(name, str(number))
    except UsageError:
        return
    assert getattr(settings, name) == number
    assert PARAMETERS[name].low <= number <= PARAMETERS[name].high


def test_a_name_is_read_as_options_and_as_transformers_spell_it() -> None:
    for name in ("top_p", "top-p", "--top-p", "Top_P"):
        assert Settings().with_text(name, "0.5") == Settings(top_p=0.5)


def test_a_parameter_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match="no parameter `heat`") as raised:
        Settings().with_text("heat", "1")
    assert raised.value.facts["expected"] == "temperature, top_p, top_k, max_new_tokens, seed"


def test_what_is_not_set_is_the_models_own() -> None:
    sampling = Settings().sampling(QWEN)
    assert (sampling.do_sample, sampling.temperature, sampling.top_p, sampling.top_k) == (True, 0.6, 0.95, 20)
    assert (sampling.max_new_tokens, sampling.seed) == (MAX_NEW_TOKENS, None)
    assert not Settings().sampling(GREEDY).do_sample


def test_what_is_set_goes_before_the_models_own_and_can_be_given_back() -> None:
    settings = Settings().with_text("temperature", "1.5").with_text("max_new_tokens", "7")
    assert settings.sampling(QWEN).temperature == 1.5
    assert settings.sampling(QWEN).max_new_tokens == 7
    assert settings.with_text("temperature", "default").sampling(QWEN).temperature == 0.6


def test_temperature_zero_is_greedy_whatever_the_model_would_do() -> None:
    settings = Settings(temperature=0.0)
    assert not settings.sampling(QWEN).do_sample
    assert not settings.with_text("top_p", "0.5").sampling(QWEN).do_sample
    assert described(settings.sampling(QWEN)) == "greedy: always the likeliest token"


@pytest.mark.parametrize(("name", "text"), [("temperature", "0.7"), ("top_p", "0.9"), ("top_k", "40")])
def test_setting_a_way_to_choose_turns_sampling_on(name: str, text: str) -> None:
    assert Settings().with_text(name, text).sampling(GREEDY).do_sample


@pytest.mark.parametrize(("name", "text"), [("seed", "1"), ("max_new_tokens", "9")])
def test_setting_anything_else_does_not(name: str, text: str) -> None:
    assert not Settings().with_text(name, text).sampling(GREEDY).do_sample


def test_how_tokens_are_chosen_is_said_with_every_number() -> None:
    assert described(Settings().sampling(QWEN)) == "sampling: temperature 0.6, top_p 0.95, top_k 20"
