"""Who sent the wrong byte: the rules one by one, and the search as a whole against sources that lie as they like."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.spans import Span, SpanSet
from modelfetch.planning.suspects import UNKNOWN, Replacement, Suspects

WHOLE = Span(0, 100)


def spans(*pairs: tuple[int, int]) -> SpanSet:
    return SpanSet(Span(start, stop) for start, stop in pairs)


def test_bytes_of_an_earlier_run_are_suspected_first_and_anybody_may_send_them_again() -> None:
    replacement = Suspects("own").next(WHOLE, {"own": spans((0, 60))}, ["own"])
    assert replacement == Replacement(UNKNOWN, (Span(60, 100),))


def test_whoever_sent_least_is_suspected_first_and_the_manifests_own_endpoint_last() -> None:
    suspects = Suspects("own")
    senders = {"own": spans((0, 10)), "much": spans((10, 70)), "little": spans((70, 100))}
    endpoints = {"own", "much", "little", "idle"}
    order = []
    while (replacement := suspects.next(WHOLE, senders, endpoints)) and not replacement.from_itself:
        order.append(replacement.suspect)
        endpoints.discard(replacement.suspect)
    assert order == ["little", "much", "own"]


def test_doubting_takes_no_room_for_each_byte() -> None:
    whole = Span(0, 1 << 50)
    replacement = Suspects("own").next(whole, {"own": SpanSet([whole])}, ["own", "other"])
    assert replacement == Replacement("own", (whole,))


def test_a_suspect_who_sent_nothing_that_is_left_is_none() -> None:
    senders = {"own": spans((0, 100)), "other": SpanSet()}
    replacement = Suspects("own").next(WHOLE, senders, ["own", "other"])
    assert replacement == Replacement("own", (WHOLE,))


def test_a_suspect_who_is_alone_sends_all_of_it_again_once() -> None:
    suspects, senders = Suspects("own"), {"own": spans((0, 100))}
    assert suspects.next(WHOLE, senders, ["own"]) == Replacement("own", (WHOLE,), from_itself=True)
    assert suspects.next(WHOLE, senders, ["own"]) is None


def test_the_first_piece_that_differs_is_tried_at_once_and_the_second_time_everything_is_replaced() -> None:
    suspects, senders = Suspects("own"), {"own": spans((0, 50)), "other": spans((50, 100))}
    assert suspects.next(WHOLE, senders, ["own", "other"]) == Replacement("other", (Span(50, 100),))
    assert suspects.found()
    senders = {"own": spans((0, 60)), "other": spans((60, 100))}
    assert suspects.next(WHOLE, senders, ["own"]) == Replacement("other", (Span(60, 100),))
    assert not suspects.found()


def test_when_all_came_from_one_and_is_wrong_the_others_are_asked_again_without_it() -> None:
    suspects = Suspects("own")
    suspects.next(WHOLE, {"own": spans((0, 50)), "other": spans((50, 100))}, ["own", "other"])
    replacement = suspects.next(WHOLE, {"own": spans((0, 100)), "other": SpanSet()}, ["own"])
    assert replacement == Replacement("own", (WHOLE,), readmitted=frozenset({"other"}))
    assert not suspects.found(), "it is proven wrong: nothing of it is kept"


def test_when_two_sent_the_very_same_bytes_the_listing_is_wrong_and_nothing_more_is_fetched() -> None:
    suspects = Suspects("own")
    suspects.next(WHOLE, {"own": spans((0, 50)), "other": spans((50, 100))}, ["own", "other"])
    suspects.next(WHOLE, {"own": spans((0, 100))}, ["own"])
    assert suspects.next(WHOLE, {"other": spans((0, 100))}, ["other"]) is None


def test_nobody_is_proven_wrong_while_somebody_elses_bytes_are_left() -> None:
    suspects = Suspects("gone")
    senders = {"found": spans((0, 50)), "last": spans((50, 70)), "first": spans((70, 80)), "gone": spans((80, 100))}
    assert suspects.next(WHOLE, senders, ["found", "last", "first"]) == Replacement("first", (Span(70, 80),))
    senders = {"found": spans((0, 50)), "last": spans((50, 80)), "gone": spans((80, 100))}
    replacement = suspects.next(WHOLE, senders, ["last"])
    assert replacement == Replacement("last", (WHOLE,), from_itself=True)


@dataclass
class Transfer:
    """A file whose bytes come from sources that may lie: always about the same bytes, each in its own way."""

    lies: dict[str, set[int]]
    chance: random.Random
    suspects: Suspects = field(init=False)
    disk: dict[int, str] = field(default_factory=dict)
    senders: dict[int, str] = field(default_factory=dict)
    fetched: int = 0

    def __post_init__(self) -> None:
        self.endpoints = set(self.lies)
        self.suspects = Suspects("own")

    def fetch(self, byte: int) -> bool:
        """Bring a byte from anybody who is still asked; returns whether it differs from what was there."""
        sender = self.chance.choice(sorted(self.endpoints))
        before = self.disk.get(byte)
        self.disk[byte] = f"lie of {sender}" if byte in self.lies[sender] else "right"
        self.senders[byte] = sender
        self.fetched += 1
        return before not in {None, self.disk[byte]}

    @property
    def matches(self) -> bool:
        return set(self.disk.values()) == {"right"}

    def sent(self) -> dict[str, SpanSet]:
        return {
            name: SpanSet(Span(byte, byte + 1) for byte, sender in self.senders.items() if sender == name)
            for name in self.lies
        }

    def replace(self, replacement: Replacement) -> None:
        """What `Board.mismatched` and `Board.written` do."""
        self.endpoints |= replacement.readmitted
        if not replacement.from_itself and replacement.suspect != UNKNOWN:
            self.endpoints.discard(replacement.suspect)
        pieces = [byte for span in replacement.spans for byte in range(span.start, span.stop)]
        self.chance.shuffle(pieces)
        compares = not replacement.from_itself
        for byte in pieces:
            if self.fetch(byte) and compares:
                if self.suspects.found():
                    return
                compares = False


SIZE = 24
LIES = st.dictionaries(
    st.sampled_from(["own", "b", "c", "d"]), st.sets(st.integers(0, SIZE - 1), max_size=SIZE), min_size=1
)


def searched(lies: dict[str, set[int]], chance: random.Random, *, found_wrong: set[int]) -> tuple[Transfer, int]:
    """A transfer after the search, and how often the file was hashed."""
    transfer = Transfer(lies, chance)
    for byte in range(SIZE):
        if byte in found_wrong:
            transfer.disk[byte], transfer.senders[byte] = "torn", UNKNOWN
        else:
            transfer.fetch(byte)
    for trial in range(1, 100):
        if transfer.matches:
            return transfer, trial
        replacement = transfer.suspects.next(Span(0, SIZE), transfer.sent(), transfer.endpoints)
        if replacement is None:
            return transfer, trial
        assert replacement.spans
        transfer.replace(replacement)
    raise AssertionError("the search has no end")


@given(LIES, st.sets(st.integers(0, SIZE - 1)), st.integers())
def test_one_honest_source_is_enough_whoever_else_lies(
    lies: dict[str, set[int]], found_wrong: set[int], seed: int
) -> None:
    chance = random.Random(seed)
    honest = chance.choice(sorted(lies))
    transfer, trials = searched({**lies, honest: set()}, chance, found_wrong=found_wrong)
    assert transfer.matches
    assert trials <= 3 * len(lies) + 3
    assert transfer.fetched <= SIZE * (2 * len(lies) + 1)


@given(LIES, st.integers())
def test_the_search_ends_also_where_everybody_lies(lies: dict[str, set[int]], seed: int) -> None:
    transfer, trials = searched(
        {name: each | {0} for name, each in lies.items()}, random.Random(seed), found_wrong=set()
    )
    assert not transfer.matches
    assert trials <= 4 * len(lies) + 3


@pytest.mark.parametrize("liar", ["own", "b"])
@pytest.mark.parametrize("seed", range(20))
def test_whoever_sent_the_one_wrong_byte_is_named(liar: str, seed: int) -> None:
    lies = {"own": set[int](), "b": set[int](), "c": set[int]()}
    transfer, trials = searched({**lies, liar: {3}}, random.Random(seed), found_wrong=set())
    assert transfer.matches
    assert transfer.suspects.current == (liar if trials > 1 else None)
