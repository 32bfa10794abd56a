"""What is fetched again for a wrong piece: the rules one by one, and the search as a whole."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.planning.mending import Mending, Refetch
from modelfetch.planning.spans import Span, SpanSet

WHOLE = Span(0, 100)
ALL = SpanSet([WHOLE])


def spans(*pairs: tuple[int, int]) -> SpanSet:
    return SpanSet(Span(start, stop) for start, stop in pairs)


def test_what_was_found_is_suspected_first_and_anybody_may_send_it() -> None:
    mending = Mending()
    senders = {"a": spans((14, 20))}
    assert mending.next(Span(10, 20), ALL, senders, {"a"}) == Refetch((Span(10, 14),))
    assert mending.benched == frozenset()


def test_of_pieces_that_are_wrong_one_after_another_as_many_again_are_fetched_at_once() -> None:
    mending, senders = Mending(), {"a": SpanSet()}
    fetched = []
    for start in (10, 20, 40, 90):
        refetch = mending.next(Span(start, start + 10), ALL, senders, {"a"})
        assert refetch
        fetched.append(refetch.spans)
        for span in refetch.spans:
            senders["a"].add(span)
    assert fetched == [(Span(10, 20),), (Span(20, 40),), (Span(40, 80),), (Span(90, 100),)]


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    mending, done = Mending(), spans((0, 23), (27, 100))
    mending.next(Span(10, 20), done, {}, {"a"})
    refetch = mending.next(Span(20, 23), done, {"a": spans((10, 20), (30, 40))}, {"a"})
    assert refetch == Refetch((Span(20, 23), Span(27, 30)))


def test_whoever_sent_a_wrong_piece_is_not_asked_any_more() -> None:
    mending = Mending()
    assert mending.next(Span(0, 10), ALL, {"a": ALL}, {"a", "b"}) == Refetch((Span(0, 10),), frozenset({"a"}))
    assert mending.benched == {"a"}
    assert mending.wrong_senders == ("a",)


@pytest.mark.parametrize(
    ("wrong", "fetched"),
    [
        # What lies between is from somebody else, and says nothing of what this source sends.
        ((0, 20, 40, 80), [(Span(0, 10),), (Span(20, 30),), (Span(40, 50), Span(60, 70)), (Span(80, 100),)]),
        # What it sent between was right.
        ((0, 40, 90), [(Span(0, 10),), (Span(40, 50),), (Span(90, 100),)]),
    ],
)
def test_of_what_one_source_sent_wrong_one_after_another_as_many_again_are_fetched_at_once(
    wrong: tuple[int, ...], fetched: list[tuple[Span, ...]]
) -> None:
    theirs = spans((0, 10), (20, 30), (40, 50), (60, 70), (80, 100))
    mending, senders = Mending(), {"a": theirs, "b": theirs.gaps(WHOLE)}
    for start, expected in zip(wrong, fetched, strict=True):
        assert mending.next(Span(start, start + 10), ALL, senders, {"b"}) == Refetch(expected, frozenset({"a"}))
        for span in expected:
            senders["a"].discard(span)
            senders["b"].add(span)


def test_of_a_piece_that_two_sent_the_larger_part_is_kept_and_that_shows_who_was_wrong() -> None:
    mending = Mending()
    senders = {"a": spans((0, 4)), "b": spans((4, 100))}
    assert mending.next(Span(0, 10), ALL, senders, {"a", "b"}) == Refetch((Span(0, 4),), frozenset({"a"}))
    assert mending.benched == {"a"}
    assert mending.wrong_senders == ("a",)


def test_where_that_does_not_help_the_other_is_asked_again_and_it_was_the_one_who_was_kept() -> None:
    mending, piece = Mending(), Span(0, 10)
    mending.next(piece, ALL, {"a": spans((0, 4)), "b": spans((4, 100))}, {"a", "b"})
    refetch = mending.next(piece, ALL, {"a": SpanSet(), "b": spans((0, 100))}, {"b"})
    assert refetch == Refetch((piece,), frozenset({"b"}))
    assert mending.benched == {"b"}
    assert mending.wrong_senders == ("b",)


def test_of_a_piece_that_several_sent_one_after_another_is_kept_and_then_all_are_replaced() -> None:
    mending, piece = Mending(), Span(0, 10)
    everybody = {"a", "b", "c"}
    first = mending.next(piece, ALL, {"a": spans((0, 3)), "b": spans((3, 6)), "c": spans((6, 10))}, everybody)
    assert first == Refetch((Span(0, 6),), frozenset({"a", "b"}))
    assert mending.wrong_senders == (), "one of two, and nobody knows which"
    second = mending.next(piece, ALL, {"c": spans((0, 10))}, {"c"})
    assert second == Refetch((piece,), frozenset({"c"}))
    third = mending.next(piece, ALL, {"a": spans((0, 5)), "b": spans((5, 10))}, {"a", "b"})
    assert third == Refetch((Span(5, 10),), frozenset({"b"}))
    assert mending.benched == {"b", "c"}
    assert set(mending.wrong_senders) == {"b", "c"}


def test_when_nobody_is_left_everybody_is_asked_once_more_and_then_the_list_is_wrong() -> None:
    mending, piece = Mending(), Span(0, 10)
    assert mending.next(piece, ALL, {"a": ALL}, {"a", "b"})
    assert mending.next(piece, ALL, {"b": ALL}, {"b"}) == Refetch((piece,), frozenset({"a", "b"}))
    assert mending.benched == frozenset()
    assert mending.next(piece, ALL, {"b": ALL}, {"a", "b"}) is None
    assert mending.wrong_senders == (), "what was compared with is wrong: nobody is accused"


@pytest.mark.parametrize("piece", [Span(0, 10), Span(90, 100)])
def test_a_source_that_is_alone_sends_a_piece_twice(piece: Span) -> None:
    mending = Mending()
    assert mending.next(piece, ALL, {"a": ALL}, {"a"})
    assert mending.next(piece, ALL, {"a": ALL}, {"a"}) is None


PIECE, COUNT = 4, 12


@given(
    found_wrong=st.sets(st.integers(0, PIECE * COUNT - 1)),
    missing=st.sets(st.integers(0, PIECE * COUNT - 1)),
    lies=st.dictionaries(st.sampled_from("abc"), st.sets(st.integers(0, PIECE * COUNT - 1)), min_size=1),
    seed=st.integers(),
)
def test_one_honest_source_mends_it_and_no_right_piece_is_fetched_but_beside_a_wrong_one(
    found_wrong: set[int], missing: set[int], lies: dict[str, set[int]], seed: int
) -> None:
    chance, mending, size = random.Random(seed), Mending(), PIECE * COUNT
    lies["honest"] = set()
    endpoints, sent = set(lies), {name: SpanSet() for name in lies}
    wrong, done, fetched = found_wrong - missing, SpanSet([Span(0, size)]), 0

    def fetch(span: Span, sender: str) -> None:
        for spans_of in sent.values():
            spans_of.discard(span)
        sent[sender].add(span)
        for byte in range(span.start, span.stop):
            wrong.discard(byte)
            if byte in lies[sender]:
                wrong.add(byte)

    for byte in missing:
        fetch(Span(byte, byte + 1), chance.choice(sorted(endpoints)))
    position, steps = 0, 0
    while position < size:
        piece = Span(position, position + PIECE)
        if not wrong & set(range(piece.start, piece.stop)):
            position += PIECE
            continue
        steps += 1
        assert steps <= 3 * COUNT
        refetch = mending.next(piece, done, sent, endpoints)
        if refetch is None:
            return  # several lied about one piece together: the whole digest is asked then
        endpoints = set(lies) - mending.benched
        assert endpoints
        for span in refetch.spans:
            fetched += len(span)
            fetch(span, chance.choice(sorted(endpoints)))
    assert not wrong
    if not any(lies.values()):
        damaged = {byte // PIECE for byte in found_wrong - missing}
        assert fetched <= 2 * PIECE * len(damaged)


@given(
    lies=st.sets(st.integers(0, PIECE * COUNT - 1), min_size=1),
    by_liar=st.sets(st.integers(0, PIECE * COUNT - 1)),
    chance=st.randoms(use_true_random=False),
)
def test_of_two_sources_the_one_that_lied_is_named_whoever_sent_which_bytes_of_a_piece(
    lies: set[int], by_liar: set[int], chance: random.Random
) -> None:
    size, mending = PIECE * COUNT, Mending()
    sent = {"liar": SpanSet(Span(byte, byte + 1) for byte in by_liar), "honest": SpanSet()}
    sent["honest"] = sent["liar"].gaps(Span(0, size))
    wrong, position, fetched = lies & by_liar, 0, 0
    wrong_pieces = {byte // PIECE for byte in wrong}
    while position < size:
        piece = Span(position, position + PIECE)
        if not wrong & set(range(piece.start, piece.stop)):
            position += PIECE
            continue
        here = {"liar", "honest"} - mending.benched
        refetch = mending.next(piece, SpanSet([Span(0, size)]), sent, here)
        assert refetch
        for byte in (byte for span in refetch.spans for byte in range(span.start, span.stop)):
            sender = chance.choice(sorted({"liar", "honest"} - mending.benched))
            fetched += 1
            for name, spans_of in sent.items():
                (spans_of.add if name == sender else spans_of.discard)(Span(byte, byte + 1))
            wrong.discard(byte)
            wrong |= {byte} & lies if sender == "liar" else set()
    assert mending.wrong_senders == (("liar",) if wrong_pieces else ())
    assert mending.benched == ({"liar"} if wrong_pieces else set())
    assert fetched <= 4 * PIECE * len(wrong_pieces)


@pytest.mark.parametrize("liar_sent", [SpanSet(), SpanSet([Span(0, 10_000)])], ids=["found", "sent"])
def test_a_file_that_is_all_wrong_is_mended_in_a_few_steps(liar_sent: SpanSet) -> None:
    mending, sent, steps, position = Mending(), {"a": SpanSet(), "liar": liar_sent}, 0, 0
    while position < 10_000:
        refetch = mending.next(Span(position, position + 10), SpanSet([Span(0, 10_000)]), sent, {"a"})
        assert refetch
        for span in refetch.spans:
            sent["a"].add(span)
            sent["liar"].discard(span)
        position = sent["a"].frontier()
        steps += 1
    assert steps <= 11
