"""Who sent the wrong byte: the rules one by one, and the search as a whole against sources that lie as they like."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.spans import Span, SpanSet
from modelfetch.planning.suspects import UNKNOWN, Replacement, Suspects, Trust

WHOLE = Span(0, 100)
OWN = {"own": Trust(lists=True)}


def spans(*pairs: tuple[int, int]) -> SpanSet:
    return SpanSet(Span(start, stop) for start, stop in pairs)


def test_bytes_of_an_earlier_run_are_suspected_first_and_anybody_may_send_them_again() -> None:
    replacement = Suspects(OWN).next(WHOLE, {"own": spans((0, 60))}, ["own"])
    assert replacement == Replacement(UNKNOWN, (Span(60, 100),))


def test_whoever_sent_least_is_suspected_first_and_the_manifests_own_endpoint_last() -> None:
    suspects = Suspects(OWN)
    senders = {"own": spans((0, 10)), "much": spans((10, 70)), "little": spans((70, 100))}
    endpoints = {"own", "much", "little", "idle"}
    order = []
    while (replacement := suspects.next(WHOLE, senders, endpoints)) and replacement.compares:
        order.append(replacement.suspect)
        assert replacement.benched == {replacement.suspect}
    assert order == ["little", "much", "own"]


def order_of(trust: dict[str, Trust], senders: dict[str, SpanSet], misbehaved: set[str]) -> list[str]:
    """Whose bytes are compared first, and so on."""
    suspects, order = Suspects(trust), []
    while (replacement := suspects.next(WHOLE, senders, senders, misbehaved)) and replacement.compares:
        order.append(replacement.suspect)
    return order


def test_the_less_an_endpoint_is_trusted_the_sooner_it_is_suspected() -> None:
    trust = {
        "listing mirror": Trust(lists=True),
        "mirror": Trust(),
        "private mirror": Trust(private=True),
        "own": Trust(chosen=True),
        "private own": Trust(chosen=True, private=True),
    }
    senders = {name: spans((20 * number, 20 * number + 20)) for number, name in enumerate(sorted(trust))}
    wanted = ["mirror", "listing mirror", "private mirror", "own", "private own"]
    assert order_of(trust, senders, set()) == wanted
    assert order_of(trust, senders, {"private own"}) == ["private own", *wanted[:-1]]


def test_who_lied_before_comes_before_bytes_of_which_nobody_knows_the_sender() -> None:
    senders = {"mirror": spans((0, 30)), "own": spans((30, 60))}
    assert order_of(OWN, senders, set()) == [UNKNOWN, "mirror", "own"]
    assert order_of(OWN, senders, {"own"}) == ["own", UNKNOWN, "mirror"]


def test_who_lied_before_is_the_last_to_send_the_file_alone() -> None:
    trust = {"own": Trust(chosen=True, private=True), "b": Trust(), "c": Trust(private=True)}
    senders = {name: spans((30 * number, 30 * number + 30)) for number, name in enumerate(sorted(trust))}
    suspects, endpoints, alone = Suspects(trust), frozenset(trust), list[str]()
    while replacement := suspects.next(Span(0, 90), senders, endpoints, {"own"}):
        if not replacement.compares:
            alone.append(*(endpoints - replacement.benched))
    assert alone == ["c", "b", "own"]


def test_doubting_takes_no_room_for_each_byte() -> None:
    whole = Span(0, 1 << 50)
    replacement = Suspects(OWN).next(whole, {"own": SpanSet([whole])}, ["own", "other"])
    assert replacement == Replacement("own", (whole,), frozenset({"own"}))


def test_a_suspect_who_sent_nothing_that_is_left_is_none() -> None:
    senders = {"own": spans((0, 100)), "other": SpanSet()}
    replacement = Suspects(OWN).next(WHOLE, senders, ["own", "other"])
    assert replacement == Replacement("own", (WHOLE,), frozenset({"own"}))


def test_a_suspect_who_is_alone_sends_all_of_it_again_once() -> None:
    suspects, senders = Suspects(OWN), {"own": spans((0, 100))}
    assert suspects.next(WHOLE, senders, ["own"]) == Replacement("own", (WHOLE,))
    assert suspects.next(WHOLE, senders, ["own"]) is None


def test_the_first_piece_that_differs_is_tried_at_once_and_the_second_time_everything_is_replaced() -> None:
    suspects, senders = Suspects(OWN), {"own": spans((0, 50)), "other": spans((50, 100))}
    others = frozenset({"other"})
    assert suspects.next(WHOLE, senders, ["own", "other"]) == Replacement("other", (Span(50, 100),), others)
    assert suspects.found()
    senders = {"own": spans((0, 60)), "other": spans((60, 100))}
    assert suspects.next(WHOLE, senders, ["own"]) == Replacement("other", (Span(60, 100),), others)
    assert not suspects.found()


def test_of_two_sources_each_is_asked_only_for_what_the_other_sent() -> None:
    suspects = Suspects(OWN)
    suspects.next(WHOLE, {"own": spans((0, 50)), "other": spans((50, 100))}, ["own", "other"])
    suspects.alike(Span(50, 100))
    replacement = suspects.next(WHOLE, {"own": spans((0, 100)), "other": SpanSet()}, ["own"])
    assert replacement == Replacement("own", (Span(0, 50),), frozenset({"own"}))
    assert suspects.found(), "whether this was all that was wrong is tried at once"


def test_when_two_sent_the_very_same_bytes_the_listing_is_wrong_and_nothing_more_is_fetched() -> None:
    suspects = Suspects(OWN)
    suspects.next(WHOLE, {"own": spans((0, 50)), "other": spans((50, 100))}, ["own", "other"])
    suspects.alike(Span(50, 100))
    suspects.next(WHOLE, {"own": spans((0, 100))}, ["own"])
    suspects.alike(Span(0, 50))
    assert suspects.next(WHOLE, {"own": spans((50, 100)), "other": spans((0, 50))}, ["other"]) is None


def test_after_comparing_every_source_is_tried_alone_and_who_was_found_wrong_last() -> None:
    suspects = Suspects(OWN)
    senders = {"own": spans((0, 40)), "b": spans((40, 70)), "c": spans((70, 100))}
    everybody = frozenset({"own", "b", "c"})
    compared = []
    while (replacement := suspects.next(WHOLE, senders, everybody)) and replacement.compares:
        compared.append(replacement.suspect)
        if replacement.suspect == "own":
            suspects.found()
    assert compared == ["b", "c", "own", "own"]
    alone = [replacement]
    while replacement := suspects.next(WHOLE, senders, everybody):
        alone.append(replacement)
    assert [everybody - each.benched for each in alone if each] == [{"b"}, {"c"}, {"own"}]
    assert [each.suspect for each in alone if each] == ["own", "own", "b"]


def test_bytes_that_are_a_sources_own_are_not_asked_of_it_again() -> None:
    suspects, senders = Suspects(OWN), {"own": spans((0, 40)), "b": spans((40, 100))}
    while (replacement := suspects.next(WHOLE, senders, ["own", "b"])) and replacement.compares:
        pass
    assert replacement == Replacement("b", (Span(40, 100),), frozenset({"b"}), compares=False)


@dataclass
class Transfer:
    """A file whose bytes come from sources that may lie, always about the same bytes: each in its own way, or alike."""

    lies: dict[str, set[int]]
    chance: random.Random
    collude: bool = False
    trust: dict[str, Trust] = field(default_factory=lambda: OWN)
    suspects: Suspects = field(init=False)
    disk: dict[int, str] = field(default_factory=dict)
    senders: dict[int, str] = field(default_factory=dict)
    fetched: int = 0

    def __post_init__(self) -> None:
        self.endpoints = set(self.lies)
        self.suspects = Suspects(self.trust)

    def fetch(self, byte: int) -> bool:
        """Bring a byte from anybody who is still asked; returns whether it differs from what was there."""
        sender = self.chance.choice(sorted(self.endpoints))
        before = self.disk.get(byte)
        lie = "lie" if self.collude else f"lie of {sender}"
        self.disk[byte] = lie if byte in self.lies[sender] else "right"
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

    def replace(self, replacement: Replacement, *, shuffled: bool = True) -> None:
        """What `Board.mismatched` and `Board.written` do."""
        self.endpoints = set(self.lies) - replacement.benched
        pieces = [byte for span in replacement.spans for byte in range(span.start, span.stop)]
        if shuffled:
            self.chance.shuffle(pieces)
        compares = replacement.compares
        for byte in pieces:
            differs = self.fetch(byte)
            if compares and not differs:
                self.suspects.alike(Span(byte, byte + 1))
            elif compares:
                if self.suspects.found():
                    return
                compares = False


SIZE = 24
LIES = st.dictionaries(
    st.sampled_from(["own", "b", "c", "d"]), st.sets(st.integers(0, SIZE - 1), max_size=SIZE), min_size=1
)


def searched(
    lies: dict[str, set[int]], chance: random.Random, *, found_wrong: set[int], collude: bool = False
) -> tuple[Transfer, int]:
    """A transfer after the search, and how often the file was hashed."""
    transfer = Transfer(lies, chance, collude)
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


@given(LIES, st.sets(st.integers(0, SIZE - 1)), st.integers(), st.booleans())
def test_one_honest_source_is_enough_whoever_else_lies(
    lies: dict[str, set[int]], found_wrong: set[int], seed: int, collude: bool
) -> None:
    chance = random.Random(seed)
    honest = chance.choice(sorted(lies))
    transfer, trials = searched({**lies, honest: set()}, chance, found_wrong=found_wrong, collude=collude)
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


@pytest.mark.parametrize("liar", ["own", "b"])
@pytest.mark.parametrize("seed", range(20))
def test_one_wrong_byte_of_two_sources_costs_at_most_what_everybody_sent(liar: str, seed: int) -> None:
    transfer, _ = searched({"own": set(), "b": set(), liar: {3}}, random.Random(seed), found_wrong=set())
    assert transfer.matches
    assert transfer.fetched <= 2 * SIZE


def costs(trust: dict[str, Trust], liar: str, *, once: bool) -> list[float]:
    """What a file costs, in its size, for each piece of the liar's that may be the wrong one. All sent alike much."""
    names = sorted(trust)
    found = []
    for wrong in range(SIZE):
        if names[wrong % len(names)] != liar:
            continue
        transfer = Transfer({**{name: set() for name in names}, liar: {wrong}}, random.Random(0), trust=trust)
        for byte in range(SIZE):
            transfer.endpoints = {names[byte % len(names)]}
            transfer.fetch(byte)
        if once:
            transfer.lies[liar].clear()
        transfer.endpoints = set(names)
        while not transfer.matches:
            replacement = transfer.suspects.next(Span(0, SIZE), transfer.sent(), transfer.endpoints)
            assert replacement
            transfer.replace(replacement, shuffled=False)
        found.append(transfer.fetched / SIZE)
    return found


OFFICIAL = Trust(chosen=True, private=True)


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize(
    ("trust", "liar", "mean", "worst"),
    [
        ({"own": OFFICIAL, "mirror": Trust(lists=True)}, "mirror", 1.25, 1.5),
        ({"own": OFFICIAL, "mirror": Trust(lists=True)}, "own", 1.75, 2.0),
        ({"own": OFFICIAL, "b": Trust(), "c": Trust(private=True)}, "b", 1.17, 1.34),
        ({"own": OFFICIAL, "b": Trust(), "c": Trust(private=True)}, "c", 1.5, 1.67),
    ],
)
def test_one_wrong_byte_costs_half_of_what_its_sender_sent_and_all_that_was_trusted_less(
    trust: dict[str, Trust], liar: str, mean: float, worst: float, once: bool
) -> None:
    found, a_piece = costs(trust, liar, once=once), 1 / SIZE
    assert max(found) <= worst + a_piece
    assert sum(found) / len(found) <= mean + a_piece


def test_what_went_wrong_once_on_the_way_from_the_only_source_costs_half_the_file_on_average() -> None:
    found, a_piece = costs(OWN, "own", once=True), 1 / SIZE
    assert max(found) <= 2.0
    assert sum(found) / len(found) <= 1.5 + a_piece
