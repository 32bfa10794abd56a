"""The rules at the head of `planning.preference`: scores, their order, and with how many lanes who begins."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.lanes import START
from modelfetch.planning.preference import (
    BELIEVED_FOR_S,
    FEWEST_LANES,
    GIGABYTE,
    PROBLEM_HOLDS_S,
    Brought,
    Experience,
    Score,
    Standing,
    Tried,
    clause,
    lanes_to_begin_with,
    ranked,
    reason,
    score,
)

NOW = 1_800_000_000.0
FAST = Experience(Tried(NOW, latency_s=0.2, bytes_per_s=100e6))
SLOW = Experience(Tried(NOW, latency_s=0.1, bytes_per_s=1e6))
DOWN = Experience(Tried(NOW, problem="no connection"))
NOTHING = Experience()


def scores(**known: Experience) -> dict[str, Score]:
    return {name: score(each, NOW) for name, each in known.items()}


@pytest.mark.parametrize(
    ("experience", "standing", "seconds"),
    [
        (FAST, Standing.KNOWN, 0.2 + GIGABYTE / 100e6),
        (NOTHING, Standing.UNKNOWN, math.inf),
        (DOWN, Standing.TROUBLED, math.inf),
        # It answered, and nothing more is known.
        (Experience(Tried(NOW, latency_s=0.2)), Standing.UNKNOWN, math.inf),
        # What a pull brought is the least it can do.
        (Experience(Tried(NOW, bytes_per_s=1e6), Brought(NOW, 50e6)), Standing.KNOWN, 20.0),
        (Experience(Tried(NOW, bytes_per_s=100e6), Brought(NOW, 1e6)), Standing.KNOWN, 10.0),
        (Experience(None, Brought(NOW, 100e6)), Standing.KNOWN, 10.0),
        # A week, to the second.
        (Experience(Tried(NOW - BELIEVED_FOR_S, bytes_per_s=100e6)), Standing.KNOWN, 10.0),
        (Experience(Tried(NOW - BELIEVED_FOR_S - 1, bytes_per_s=100e6)), Standing.UNKNOWN, math.inf),
        (Experience(None, Brought(NOW - BELIEVED_FOR_S - 1, 100e6)), Standing.UNKNOWN, math.inf),
        # Of two the older one is forgotten by itself.
        (Experience(Tried(NOW - BELIEVED_FOR_S - 1, bytes_per_s=1e9), Brought(NOW, 1e8)), Standing.KNOWN, 10.0),
        # Six hours.
        (Experience(Tried(NOW - PROBLEM_HOLDS_S, problem="down")), Standing.TROUBLED, math.inf),
        (Experience(Tried(NOW - PROBLEM_HOLDS_S - 1, problem="down")), Standing.UNKNOWN, math.inf),
        # A pull refutes a problem, if it came after it.
        (Experience(Tried(NOW - 10, problem="down"), Brought(NOW - 5, 100e6)), Standing.KNOWN, 10.0),
        (Experience(Tried(NOW - 5, problem="down"), Brought(NOW - 10, 100e6)), Standing.TROUBLED, math.inf),
        (Experience(Tried(NOW - PROBLEM_HOLDS_S - 1, problem="x"), Brought(NOW - 9e4, 1e8)), Standing.KNOWN, 10.0),
        # A rate that is none: a gigabyte would take for ever.
        (Experience(Tried(NOW, bytes_per_s=1e-300)), Standing.UNKNOWN, math.inf),
        # A clock that went wrong.
        (Experience(Tried(NOW + 60, bytes_per_s=100e6)), Standing.UNKNOWN, math.inf),
    ],
)
def test_a_score_is_the_time_of_a_gigabyte_by_what_is_still_believed(
    experience: Experience, standing: Standing, seconds: float
) -> None:
    found = score(experience, NOW)
    assert found.standing is standing
    assert found.seconds == pytest.approx(seconds)


def test_known_ones_come_first_then_unknown_ones_then_those_with_a_problem() -> None:
    known = scores(down=DOWN, slow=SLOW, new=NOTHING, fast=FAST)
    assert ranked(tuple(known), known) == ("fast", "slow", "new", "down")


def test_equals_stay_in_the_order_they_were_given_in() -> None:
    known = scores(b=NOTHING, a=NOTHING, d=FAST, c=FAST)
    assert ranked(("b", "a", "d", "c"), known) == ("d", "c", "b", "a")


def test_why_the_first_comes_first_is_told_in_a_sentence() -> None:
    known = scores(slow=SLOW, fast=FAST, down=DOWN)
    told = reason(ranked(tuple(known), known), known)
    assert told == (
        "fast begins: 1 GB in about 10.2 s (100 MB/s, first answer after 0.20 s), against 16 min 40 s from slow"
    )
    alone = scores(fast=FAST, down=DOWN)
    assert "against" not in (reason(("fast", "down"), alone) or "")
    assert reason(("down",), scores(down=DOWN)) is None


def test_a_score_says_why_and_when_it_was_seen() -> None:
    assert score(DOWN, NOW).why == "no connection"
    assert score(NOTHING, NOW).why == "not tried from here"
    assert score(Experience(Tried(NOW - 9, bytes_per_s=1.0), Brought(NOW - 5, 2.0)), NOW).seen_at == NOW - 5


def test_the_fastest_begins_with_all_its_lanes_and_the_others_with_their_share() -> None:
    half = Experience(Tried(NOW, latency_s=0.4, bytes_per_s=50e6))
    known = scores(down=DOWN, half=half, new=NOTHING, slow=SLOW, fast=FAST)
    begin = lanes_to_begin_with(tuple(known), known)
    assert list(begin.items()) == [
        ("fast", START),
        ("half", START // 2),
        ("slow", FEWEST_LANES),
        ("new", START),
        ("down", FEWEST_LANES),
    ]


@pytest.mark.parametrize("known", [{}, {"new": NOTHING}, {"down": DOWN, "new": NOTHING}, {"down": DOWN}])
def test_where_none_is_known_nothing_is_changed(known: dict[str, Experience]) -> None:
    assert lanes_to_begin_with(tuple(known), scores(**known)) == {}


moments = st.floats(NOW - 10 * 86400, NOW + 86400)
rates = st.none() | st.floats(0, 1e12)
experiences = st.builds(
    Experience,
    st.none() | st.builds(Tried, moments, st.none() | st.just("down"), st.none() | st.floats(0, 1e3), rates),
    st.none() | st.builds(Brought, moments, st.floats(1e-3, 1e12)),
)


@given(st.dictionaries(st.sampled_from("abcdef"), experiences, min_size=1))
def test_whatever_is_remembered_every_endpoint_may_begin(known: dict[str, Experience]) -> None:
    begin = lanes_to_begin_with(tuple(known), scores(**known))
    assert set(begin) in ({*known}, set())
    assert all(FEWEST_LANES <= lanes <= START for lanes in begin.values())
    assert not begin or next(iter(begin.values())) == START


YESTERDAY = Experience(Tried(NOW - 86400, latency_s=0.2, bytes_per_s=12.3e6))


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"slow": SLOW, "mirror": YESTERDAY}, "mirror first: 12.3 MB/s here yesterday, slow 1.0 MB/s"),
        ({"new": NOTHING, "mirror": YESTERDAY}, "mirror first: 12.3 MB/s here yesterday"),
        ({"down": DOWN, "mirror": YESTERDAY}, "mirror first: 12.3 MB/s here yesterday, down could not be used"),
        (
            {"down": DOWN, "new": NOTHING, "slow": SLOW, "fast": FAST},
            "fast first: 100 MB/s here a moment ago, slow 1.0 MB/s",
        ),
        ({"answered": Experience(Tried(NOW)), "fast": FAST}, "fast first: 100 MB/s here a moment ago"),
        # Nobody begins before others.
        ({"down": DOWN, "new": NOTHING}, None),
        ({"one": NOTHING, "two": NOTHING}, None),
        ({"fast": FAST}, None),
    ],
)
def test_who_begins_is_explained_in_one_clause_where_something_remembered_decided_it(
    known: dict[str, Experience], said: str | None
) -> None:
    assert clause(tuple(known), scores(**known), NOW) == said
    assert (said is None) is (len(known) < 2 or not lanes_to_begin_with(tuple(known), scores(**known)))
