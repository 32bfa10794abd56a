"""What is kept of a smoke test, and whether it still holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelfetch.smoketest import SmokeOptions
from modelfetch.smoketest.kept import Circumstances, asked_of, changes, to_keep
from modelfetch.smoketest.result import make_result
from tests.unit.test_smoke_verdict import CHAT, FAULTS, SUBJECT

NOW = Circumstances("ab", {"torch": "2.13.0"}, ("a CPU",), {"prompt": "None"})
MOMENT = "2026-11-22T10:00:00.000+00:00"
PASSED = make_result(SUBJECT, CHAT)
FAILED = make_result(SUBJECT, FAULTS["a hole"].observations)


def test_a_pass_holds_while_nothing_changes() -> None:
    assert changes(to_keep(PASSED, MOMENT, NOW, None), NOW) == ()


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (replace(NOW, bytes="cd"), "other bytes"),
        (replace(NOW, software={"torch": "2.14.0"}), "other software"),
        (replace(NOW, hardware=("a CPU", "H100")), "other hardware"),
        (replace(NOW, asked={"prompt": "Hi"}), "other asked"),
    ],
)
def test_each_change_ends_it(now: Circumstances, why: str) -> None:
    assert changes(to_keep(PASSED, MOMENT, NOW, None), now) == (why,)


def test_what_did_not_pass_or_is_not_known_never_holds() -> None:
    assert changes(None, NOW) == ("it was never tested",)
    assert changes(to_keep(FAILED, MOMENT, NOW, None), NOW) == ("it did not pass",)
    assert changes({"verdict": "PASS"}, NOW) == ("what it was tested with is not known",)


def test_when_it_last_passed_outlives_a_failure() -> None:
    passed = to_keep(PASSED, MOMENT, NOW, None)
    assert passed["last_pass"] == {"at": MOMENT, "device": "cpu", "dtype": "float32", "stack": {"torch": "2.13.0+cpu"}}
    failed = to_keep(FAILED, "2026-11-23T10:00:00.000+00:00", NOW, passed)
    assert (failed["verdict"], failed["last_pass"]) == ("FAIL", passed["last_pass"])


def test_how_long_one_waits_is_no_part_of_the_question() -> None:
    assert asked_of(SmokeOptions()) == asked_of(SmokeOptions(timeout_s=3.0))
    assert asked_of(SmokeOptions()) != asked_of(SmokeOptions(allow_random=True))
