"""What is done about every fault, and how long an endpoint may make us wait."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.retry import (
    FIRST_WAIT_S,
    MAX_ATTEMPTS,
    MAX_WAIT_S,
    TRICKLE_S,
    Action,
    Decision,
    Fault,
    FaultError,
    Kind,
    Patience,
    asked_wait,
    decide,
    may_pass,
    throttles,
)
from tests.unit.planning.faults_page import PAGE, page

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
ANSWERS = {401, 403, 404}
PASSING_KINDS = {Kind.DNS, Kind.CONNECT, Kind.PROXY, Kind.CUT, Kind.SHORT, Kind.STALL, Kind.TRICKLE}
PASSING_KINDS |= {Kind.RANGE, Kind.ENCODED}
HOPELESS_KINDS = {Kind.TLS, Kind.CHANGED, Kind.PORTAL, Kind.MALFORMED, Kind.REDIRECT}

FAULTS = st.builds(
    Fault,
    st.sampled_from(Kind),
    status=st.none() | st.integers(300, 999),
    wait_s=st.none() | st.floats(0, 1e9),
    redirected=st.booleans(),
)


def status(number: int, *, wait_s: float | None = None, redirected: bool = False) -> Fault:
    return Fault(Kind.STATUS, status=number, wait_s=wait_s, redirected=redirected)


@given(FAULTS, st.integers(1, 1000), st.floats(0, 1, exclude_max=True))
def test_every_fault_is_decided_and_every_wait_is_bounded(fault: Fault, attempt: int, jitter: float) -> None:
    decision = decide(fault, attempt, jitter)
    asked_s = fault.wait_s or 0.0
    assert 0 <= decision.wait_s <= max(FIRST_WAIT_S * 2**MAX_ATTEMPTS, min(asked_s, MAX_WAIT_S))
    assert decision.action is not Action.GIVE_UP or decision.wait_s == 0
    assert attempt < MAX_ATTEMPTS or decision == Decision(Action.GIVE_UP)


@given(FAULTS, st.integers(1, MAX_ATTEMPTS - 2), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_waits_grow_without_progress_whatever_chance_does(
    fault: Fault, attempt: int, jitter: float, later_jitter: float
) -> None:
    earlier, later = decide(fault, attempt, jitter), decide(fault, attempt + 1, later_jitter)
    assert later.action is Action.GIVE_UP or later.wait_s >= earlier.wait_s


def test_every_kind_is_in_one_of_the_rules() -> None:
    assert PASSING_KINDS | HOPELESS_KINDS | {Kind.STATUS, Kind.DIGEST} == set(Kind)


@pytest.mark.parametrize("kind", sorted(PASSING_KINDS, key=str))
def test_a_fault_of_the_transport_is_tried_again(kind: Kind) -> None:
    actions = [decide(Fault(kind), attempt, 0.5).action for attempt in range(1, MAX_ATTEMPTS + 1)]
    assert actions == [Action.AGAIN] * (MAX_ATTEMPTS - 1) + [Action.GIVE_UP]


@pytest.mark.parametrize("kind", sorted(HOPELESS_KINDS, key=str))
def test_what_cannot_pass_is_not_tried_again(kind: Kind) -> None:
    assert decide(Fault(kind), 1, 0.5) == Decision(Action.GIVE_UP)


@pytest.mark.parametrize("kind", [Kind.CUT, Kind.SHORT])
def test_a_connection_that_broke_off_after_progress_is_replaced_at_once_and_then_waits_grow(kind: Kind) -> None:
    waits = [decide(Fault(kind), attempt, 0.0).wait_s for attempt in range(1, 5)]
    assert waits == [0.0, FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]


def test_chance_spreads_a_wait_over_its_upper_half() -> None:
    assert [decide(Fault(Kind.CONNECT), 3, jitter).wait_s for jitter in (0.0, 0.5)] == [0.5, 0.75]


def test_bytes_with_a_wrong_digest_are_fetched_once_more_and_never_again() -> None:
    decisions = [decide(Fault(Kind.DIGEST), attempt, 0.5) for attempt in (1, 2, 3)]
    assert decisions == [Decision(Action.AGAIN), Decision(Action.GIVE_UP), Decision(Action.GIVE_UP)]


@pytest.mark.parametrize("number", range(400, 600))
def test_an_error_status_of_the_hub_is_tried_again_only_when_it_speaks_of_the_moment(number: int) -> None:
    passes = number in {408, 425, 429} or number >= 500
    assert may_pass(number) == passes
    assert decide(status(number), 1, 0.5).action is (Action.AGAIN if passes else Action.GIVE_UP)


@pytest.mark.parametrize("number", sorted(ANSWERS))
def test_an_answer_of_the_hub_is_never_tried_again(number: int) -> None:
    assert decide(status(number, wait_s=1.0), 1, 0.5) == Decision(Action.GIVE_UP)


@pytest.mark.parametrize("number", [400, 401, 403, 404, 410])
def test_an_expired_link_is_asked_for_again_at_its_hub_at_once(number: int) -> None:
    assert decide(status(number, redirected=True), 1, 0.5) == Decision(Action.ASK_HUB_AGAIN)
    assert decide(status(number, redirected=True), 2, 0.0) == Decision(Action.ASK_HUB_AGAIN, FIRST_WAIT_S)
    assert decide(status(number, redirected=True), MAX_ATTEMPTS, 0.0).action is Action.GIVE_UP


def test_a_status_fault_without_a_status_is_given_up() -> None:
    assert decide(Fault(Kind.STATUS), 1, 0.5).action is Action.GIVE_UP


@pytest.mark.parametrize("number", [408, 429, 500, 503])
def test_the_wait_that_is_asked_for_is_honoured_up_to_a_limit(number: int) -> None:
    assert decide(status(number, wait_s=30.0), 1, 0.5) == Decision(Action.AGAIN, 30.0)
    assert decide(status(number, wait_s=MAX_WAIT_S), 1, 0.5) == Decision(Action.AGAIN, MAX_WAIT_S)
    assert decide(status(number, wait_s=MAX_WAIT_S + 1), 1, 0.5) == Decision(Action.GIVE_UP)
    assert decide(status(number, wait_s=float("inf")), 1, 0.5) == Decision(Action.GIVE_UP)


def test_who_asks_for_no_wait_is_not_asked_six_times_in_a_moment() -> None:
    assert decide(status(503, wait_s=0.0), 4, 0.0) == decide(status(503), 4, 0.0)


@pytest.mark.parametrize(("number", "expected"), [(429, True), (503, True), (500, False), (408, False)])
def test_429_and_503_say_that_the_endpoint_is_asked_too_much(number: int, expected: bool) -> None:
    assert throttles(status(number)) is expected


def test_only_a_status_throttles() -> None:
    assert not throttles(Fault(Kind.STALL, status=429))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("9" * 400, float("inf")),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime((NOW + timedelta(seconds=90)).astimezone(timezone(timedelta(hours=8)))), 90.0),
        ("Sunday, 22-Nov-26 12:01:30 GMT", 90.0),
        ("Sun Nov 22 12:01:30 2026", 90.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("inf", None),
        ("٣", None),
        ("Sun, 22 Nov 2026", None),
        ("Sun, 99 Nov 2026 12:00:00 GMT", None),
        ("Sun, 22 Nov 99999 12:00:00 GMT", None),
        ("Sun, 22 Nov 2026 12:00:00 +99999999999999999999", None),
        ("Sun, 22 Nov 2026 12:00:00 +9999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_garbage_is_nothing(value: str, expected: float | None) -> None:
    assert asked_wait({"retry-after": value}, NOW) == expected


@given(st.text(max_size=60))
def test_no_header_can_break_the_reading(text: str) -> None:
    wait_s = asked_wait({"retry-after": text, "ratelimit": text}, NOW)
    assert wait_s is None or wait_s >= 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"api";r=0;t=55', 56.0),
        ('"api"; r=0; t=55', 56.0),
        ('"api";t=1.5;r=0', 2.5),
        ('"api";r=12;t=55', None),
        ('"api";r=0', None),
        ('"api";t=55', None),
        ('"api";r=9;t=5, "resolvers";r=0;t=100', 101.0),
        ('"api";r=0;t=5, "resolvers";r=0;t=100', 101.0),
        ('"api";r=0;t=5, "resolvers";r=9;t=100', 6.0),
        ('"fixed window";"api";q=500;w=300', None),
        ("limit=100, remaining=0, reset=50", None),
        (f'"api";r={"0" * 5000};t=55', 56.0),
        (f'"api";r={"9" * 5000};t=55', None),
        ('"api";r=01;t=55', None),
        ("", None),
    ],
)
def test_ratelimit_counts_for_a_quota_of_which_nothing_is_left(value: str, expected: float | None) -> None:
    assert asked_wait({"ratelimit": value}, NOW) == expected


def test_retry_after_comes_before_ratelimit_and_garbage_does_not_hide_it() -> None:
    quota = '"api";r=0;t=55'
    assert asked_wait({"retry-after": "3", "ratelimit": quota}, NOW) == 3.0
    assert asked_wait({"retry-after": "soon", "ratelimit": quota}, NOW) == 56.0


def test_an_endpoint_that_says_nothing_asks_for_nothing() -> None:
    assert asked_wait({"content-type": "text/html"}, NOW) is None


def test_a_fault_says_what_went_wrong() -> None:
    assert str(Fault(Kind.STATUS, status=503)) == "status 503"
    assert str(Fault(Kind.SHORT, "12 bytes missing")) == "the body ended early (12 bytes missing)"
    assert str(FaultError(Fault(Kind.STALL))) == "no byte came for a while"


def test_the_document_says_what_the_code_does() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m tests.unit.planning.faults_page"


@pytest.mark.parametrize(
    ("wait_s", "asked"), [(99_999_999.0, "1157 days"), (float("inf"), "36500 days"), (331.0, "5 min 31 s")]
)
def test_a_fault_says_when_more_is_asked_for_than_is_waited(wait_s: float, asked: str) -> None:
    told = f"status 429 (it asks to be left alone for {asked}, and 5 min 30 s are waited at most)"
    assert str(status(429, wait_s=wait_s)) == told
    assert str(status(429, wait_s=MAX_WAIT_S)) == "status 429"


def wait_for(patience: Patience, count: int, each_s: float, most: int) -> int:
    """How many reads of `count` bytes and `each_s` seconds there are until a fault, `most` at most."""
    for number in range(most):
        if fault := patience.ends(count, each_s):
            assert fault.kind is Kind.TRICKLE
            return number + 1
    return most


def test_a_head_is_waited_for_only_so_long_however_much_of_it_comes() -> None:
    for count in (1, 100, 100_000):
        assert wait_for(Patience(), count, 1.0, 1000) == TRICKLE_S


def test_a_trickle_is_given_up() -> None:
    patience = Patience()
    patience.begin_body()
    assert wait_for(patience, 1, 1.0, 1000) == TRICKLE_S


def test_a_slow_body_goes_on_for_ever() -> None:
    patience = Patience()
    patience.begin_body()
    assert wait_for(patience, 40, 1.0, 100_000) == 100_000


def test_what_came_long_ago_makes_up_for_nothing() -> None:
    patience = Patience()
    patience.begin_body()
    assert patience.ends(1 << 20, 1.0) is None
    assert wait_for(patience, 1, 1.0, 1000) == TRICKLE_S


def test_what_takes_no_waiting_is_never_too_slow() -> None:
    patience = Patience()
    patience.begin_body()
    assert wait_for(patience, 1, 0.0, 100_000) == 100_000


def test_a_trickle_says_how_little_came() -> None:
    assert str(Patience(2.0).ends(7, 2.0)) == (
        "next to nothing came for a while (7 bytes in 2 s, and the head is not whole)"
    )
