"""How often an endpoint failed: incidents, not lanes."""

from __future__ import annotations

from modelfetch.planning.health import Health
from modelfetch.planning.retry import (
    FIRST_WAIT_S,
    MAX_ATTEMPTS,
    MAX_WAIT_S,
    PROGRESS_BYTES,
    Action,
    Decision,
    Fault,
    Kind,
)

FILE, OTHER = "model.safetensors", "config.json"
CUT, STALL = Fault(Kind.CUT), Fault(Kind.STALL)


def fail(health: Health, fault: Fault, *, began: float, now: float, endpoint: str = "hub", key: str = FILE) -> Decision:
    return health.failed(endpoint, key, fault, began=began, now=now, jitter=0.0)


def test_lanes_that_break_in_the_same_moment_are_one_incident() -> None:
    health = Health()
    decisions = {fail(health, CUT, began=float(lane) / 100, now=1.0 + lane / 100) for lane in range(16)}
    assert decisions == {Decision(Action.AGAIN)}
    assert fail(health, CUT, began=2.0, now=3.0) == Decision(Action.AGAIN, FIRST_WAIT_S)


def test_a_try_that_began_with_the_last_failure_counts_anew() -> None:
    health = Health()
    fail(health, CUT, began=0.0, now=1.0)
    assert fail(health, CUT, began=1.0, now=1.0) == Decision(Action.AGAIN, FIRST_WAIT_S)


def test_failures_without_progress_come_to_an_end() -> None:
    health = Health()
    actions = [fail(health, STALL, began=float(number), now=number + 0.5).action for number in range(MAX_ATTEMPTS)]
    assert actions == [Action.AGAIN] * (MAX_ATTEMPTS - 1) + [Action.GIVE_UP]


def test_progress_makes_the_next_failure_the_first_again() -> None:
    health = Health()
    for number in range(3 * MAX_ATTEMPTS):
        assert fail(health, CUT, began=float(number), now=number + 0.5) == Decision(Action.AGAIN)
        health.progressed("hub", FILE, PROGRESS_BYTES)


def test_a_few_bytes_between_failures_are_no_progress() -> None:
    health = Health()
    for number in range(MAX_ATTEMPTS):
        decision = fail(health, STALL, began=float(number), now=number + 0.5)
        health.progressed("hub", FILE, PROGRESS_BYTES // 2 - 1)
        health.progressed("hub", FILE, PROGRESS_BYTES // 2)
    assert decision.action is Action.GIVE_UP


def test_what_comes_little_by_little_is_progress_in_the_end() -> None:
    health = Health()
    for number in range(3 * MAX_ATTEMPTS):
        assert fail(health, CUT, began=float(number), now=number + 0.5) == Decision(Action.AGAIN)
        for _ in range(PROGRESS_BYTES):
            health.progressed("hub", FILE, 1)


def test_progress_of_another_file_or_endpoint_forgives_nothing() -> None:
    health = Health()
    for number in range(MAX_ATTEMPTS):
        decision = fail(health, STALL, began=float(number), now=number + 0.5)
        health.progressed("hub", OTHER, PROGRESS_BYTES)
        health.progressed("mirror", FILE, PROGRESS_BYTES)
    assert decision.action is Action.GIVE_UP
    assert fail(health, STALL, began=99.0, now=99.0, key=OTHER).action is Action.AGAIN
    assert fail(health, STALL, began=99.0, now=99.0, endpoint="mirror").action is Action.AGAIN


def test_wrong_digests_are_counted_by_themselves() -> None:
    health, wrong = Health(), Fault(Kind.DIGEST)
    fail(health, CUT, began=0.0, now=1.0)
    assert fail(health, wrong, began=2.0, now=3.0).action is Action.AGAIN
    fail(health, CUT, began=4.0, now=5.0)
    assert fail(health, wrong, began=4.5, now=6.0).action is Action.GIVE_UP


def test_an_endpoint_that_is_asked_too_much_is_left_alone_as_a_whole() -> None:
    health = Health()
    fail(health, Fault(Kind.STATUS, status=429, wait_s=30.0), began=0.0, now=100.0)
    fail(health, Fault(Kind.STATUS, status=503), began=0.0, now=100.0, key=OTHER)
    pauses = [health.pause_s("hub", now) for now in (100.0, 110.0, 131.0)]
    assert pauses == [30.0, 20.0, 0.0], "a shorter wish does not shorten a longer one"
    assert health.pause_s("mirror", 100.0) == 0.0


def test_other_faults_and_wishes_that_are_not_granted_pause_nothing() -> None:
    health = Health()
    fail(health, Fault(Kind.STATUS, status=500, wait_s=30.0), began=0.0, now=1.0)
    fail(health, STALL, began=0.0, now=1.0)
    assert fail(health, Fault(Kind.STATUS, status=429, wait_s=MAX_WAIT_S + 1), began=2.0, now=3.0).action is (
        Action.GIVE_UP
    )
    assert health.pause_s("hub", 3.0) == 0.0


def test_every_failure_is_counted_and_the_last_of_each_endpoint_is_kept() -> None:
    health = Health()
    fail(health, CUT, began=0.0, now=1.0)
    fail(health, STALL, began=0.0, now=1.0)
    fail(health, CUT, began=0.0, now=1.0, endpoint="mirror")
    assert health.failures == {"hub": 2, "mirror": 1}
    assert health.last == {FILE: {"hub": STALL, "mirror": CUT}}


def test_who_is_asked_too_much_says_so_once_of_all_that_was_asked_before() -> None:
    health, busy = Health(), Fault(Kind.STATUS, status=503)
    for lane in range(3):
        fail(health, busy, began=0.0, now=1.0 + lane / 10, key=f"file {lane}")
    assert health.throttled == {"hub": 1}
    fail(health, CUT, began=2.0, now=2.0)
    assert health.throttled == {"hub": 1}
    fail(health, busy, began=2.0, now=2.5)
    fail(health, busy, began=2.0, now=2.6, endpoint="mirror")
    assert health.throttled == {"hub": 2, "mirror": 1}
