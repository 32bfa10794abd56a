"""Every foreseen failure: its exit status is the command line's contract, its text names, proves and helps."""

from __future__ import annotations

import pytest

from modelfetch import errors
from modelfetch.errors import ModelfetchError

CONTRACT = {
    "ModelfetchError": 1,
    "UsageError": 2,
    "ConfigError": 3,
    "NotFoundError": 4,
    "AccessError": 5,
    "GatedError": 5,
    "NoSourceError": 6,
    "HostileHubError": 6,
    "DiskFullError": 7,
    "DigestMismatchError": 8,
    "StoreError": 9,
    "SmokeError": 10,
    "DoctorError": 11,
}


def test_every_class_ends_a_command_with_the_status_of_the_contract() -> None:
    classes = {
        name: each.exit_status
        for name, each in vars(errors).items()
        if isinstance(each, type) and issubclass(each, ModelfetchError)
    }
    assert classes == CONTRACT
    assert errors.INTERRUPTED == 130


def test_every_class_says_what_it_is_for() -> None:
    assert all(getattr(errors, name).__doc__ for name in CONTRACT)


def test_an_error_is_its_message_a_line_for_each_fact_and_the_hint() -> None:
    error = ModelfetchError("`x` failed", facts={"expected": 1, "got": None, "a longer name": "y"}, hint="do this")
    assert error.render().splitlines() == [
        "`x` failed",
        "  expected:      1",
        "  got:           None",
        "  a longer name: y",
        "hint: do this",
    ]
    assert str(error) == "`x` failed"


@pytest.mark.parametrize("error", [ModelfetchError("`x` failed"), ModelfetchError("`x` failed", facts={}, hint="")])
def test_an_error_without_facts_or_hint_is_its_message(error: ModelfetchError) -> None:
    assert error.render() == "`x` failed"


def test_a_fact_of_several_lines_stays_under_its_name() -> None:
    error = ModelfetchError("`x` failed", facts={"got": "one\ntwo", "from": "y"})
    assert error.render().splitlines() == ["`x` failed", "  got:  one", "        two", "  from: y"]


def test_the_facts_are_the_errors_own() -> None:
    facts: dict[str, object] = {"a": 1}
    error = ModelfetchError("x", facts=facts)
    facts["b"] = 2
    assert error.facts == {"a": 1}
