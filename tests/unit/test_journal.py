"""The journal of a partial: whatever happens to it, it vouches for nothing that was not noted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import StoreError
from modelfetch.planning.spans import Span, SpanSet
from modelfetch.transfer import journal
from modelfetch.transfer.journal import DURABLE, GONE, HEADER, WRITTEN

SIZE = 100
BOOT = "0b0e1b7c-7f8e-4d5c-9b5e-1d2c3b4a5f60"
OTHER_BOOT = "ffffffff-7f8e-4d5c-9b5e-1d2c3b4a5f60"

SPANS = st.tuples(st.integers(0, SIZE - 1), st.integers(1, 30)).map(lambda pair: Span(pair[0], min(SIZE, sum(pair))))
RECORDS = st.one_of(
    st.tuples(st.sampled_from([DURABLE, WRITTEN, GONE]), SPANS),
    st.tuples(st.just("b"), st.sampled_from([BOOT, OTHER_BOOT, ""])),
)
JOURNALS = st.lists(RECORDS, max_size=15)


def written(records: list[tuple[str, Span | str]]) -> bytes:
    lines = [journal.session(what) if isinstance(what, str) else journal.line(kind, what) for kind, what in records]
    return HEADER + b"".join(lines)


def read(content: bytes, boot: str = BOOT, size: int = SIZE) -> SpanSet:
    return journal.read(content, size=size, boot=boot, where="x/journal")


def as_set(spans: SpanSet) -> set[int]:
    return {byte for span in spans for byte in range(span.start, span.stop)}


def expected(records: list[tuple[str, Span | str]], boot: str) -> set[int]:
    """What the rules say, byte by byte."""
    vouched, current = set[int](), ""
    for kind, what in records:
        if isinstance(what, str):
            current = what
        elif kind == GONE:
            vouched -= set(range(what.start, what.stop))
        elif kind == DURABLE or (boot and current == boot):
            vouched |= set(range(what.start, what.stop))
    return vouched


def noted(records: list[tuple[str, Span | str]]) -> set[int]:
    """Every byte that was ever said to be there."""
    return {
        byte
        for kind, what in records
        if isinstance(what, Span) and kind != GONE
        for byte in range(what.start, what.stop)
    }


@given(JOURNALS, st.sampled_from([BOOT, OTHER_BOOT, ""]))
def test_a_whole_journal_says_what_its_rules_say(records: list[tuple[str, Span | str]], boot: str) -> None:
    assert as_set(read(written(records), boot)) == expected(records, boot)


def test_bytes_that_were_synced_are_there_after_a_reboot_and_others_are_not() -> None:
    content = written([("b", BOOT), (WRITTEN, Span(0, 10)), (DURABLE, Span(0, 5)), (WRITTEN, Span(20, 30))])
    assert as_set(read(content, BOOT)) == set(range(10)) | set(range(20, 30))
    assert as_set(read(content, OTHER_BOOT)) == set(range(5))


def test_bytes_that_were_written_before_a_reboot_stay_unknown_in_a_later_session() -> None:
    content = written([("b", OTHER_BOOT), (WRITTEN, Span(0, 10)), ("b", BOOT), (WRITTEN, Span(20, 30))])
    assert as_set(read(content)) == set(range(20, 30))


def test_bytes_that_were_written_before_any_session_are_unknown() -> None:
    assert not read(written([(WRITTEN, Span(0, 10))]))


def test_where_the_boot_is_not_known_nothing_unsynced_is_trusted() -> None:
    content = written([("b", ""), (WRITTEN, Span(0, 10)), (DURABLE, Span(20, 30))])
    assert as_set(read(content, "")) == set(range(20, 30))


def test_what_is_gone_is_forgotten_until_it_is_noted_again() -> None:
    records: list[tuple[str, Span | str]] = [(DURABLE, Span(0, 30)), (GONE, Span(10, 20))]
    assert as_set(read(written(records))) == {*range(10), *range(20, 30)}
    assert as_set(read(written([*records, (DURABLE, Span(12, 14))]))) == {*range(10), 12, 13, *range(20, 30)}


@given(JOURNALS, st.data())
def test_a_journal_that_was_cut_off_anywhere_says_what_its_whole_lines_say(
    records: list[tuple[str, Span | str]], data: st.DataObject
) -> None:
    content = written(records)
    cut = content[: data.draw(st.integers(0, len(content)))]
    whole = [record for count, record in enumerate(records, 1) if len(written(records[:count])) <= len(cut) + 1]
    assert as_set(read(cut)) == (expected(whole, BOOT) if len(cut) >= len(HEADER) else set())


@given(JOURNALS, JOURNALS, st.data())
def test_a_torn_line_costs_itself_and_not_the_next_session(
    records: list[tuple[str, Span | str]], later: list[tuple[str, Span | str]], data: st.DataObject
) -> None:
    content = written(records)
    cut = content[: data.draw(st.integers(len(HEADER), len(content)))]
    whole = [record for count, record in enumerate(records, 1) if len(written(records[:count])) <= len(cut) + 1]
    session: list[tuple[str, Span | str]] = [("b", BOOT), *later]
    assert as_set(read(cut + written(session)[len(HEADER) :])) == expected([*whole, *session], BOOT)


@given(JOURNALS, st.data())
def test_a_journal_with_flipped_bits_vouches_for_nothing_that_was_not_noted(
    records: list[tuple[str, Span | str]], data: st.DataObject
) -> None:
    content = bytearray(written(records))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        vouched = as_set(read(bytes(content)))
    except StoreError:
        assert not bytes(content).startswith(HEADER)
    else:
        assert vouched <= noted(records)


@given(st.binary(max_size=200), st.booleans())
def test_garbage_vouches_for_nothing(garbage: bytes, behind_the_header: bool) -> None:
    assert not read(HEADER + garbage if behind_the_header else garbage)


@pytest.mark.parametrize("kind", ["b", "e", "D", "", "d d"])
def test_a_line_of_another_kind_counts_for_nothing(kind: str) -> None:
    assert not read(written([("b", BOOT)]) + journal.line(kind, Span(0, 10)))


@pytest.mark.parametrize("text", ["d 0", "d 0 10 5", "d 10 0", "d 5 5", "d -1 5", "d 0 x", "d 0 1e2", "d"])
def test_a_line_that_is_no_span_counts_for_nothing(text: str) -> None:
    assert not read(HEADER + journal._checked(text))


def test_a_span_beyond_the_end_counts_for_nothing() -> None:
    assert not read(HEADER + journal.line(DURABLE, Span(0, SIZE + 1)))
    assert len(read(HEADER + journal.line(DURABLE, Span(0, SIZE)))) == SIZE


@pytest.mark.parametrize("content", [HEADER[:count] for count in range(len(HEADER))])
def test_a_journal_whose_first_line_was_torn_is_none(content: bytes) -> None:
    assert not read(content)
    assert not read(content + bytes(50)), "a power cut may leave zeros"


@pytest.mark.parametrize("version", [0, 2, 10])
def test_a_journal_of_another_version_is_refused_by_name(version: int) -> None:
    with pytest.raises(StoreError, match=r"`x/journal` is a journal of another version") as refused:
        read(b"modelfetch-journal %d\nd 0 10\n" % version)
    assert refused.value.facts == {"expected": "modelfetch-journal 1", "got": f"modelfetch-journal {version}"}
