"""Which bytes of a file answer a request: held against a list of bytes, for every range there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.serve.ranges import Selection, select

ETAG = '"abc"'
SIZE = st.integers(0, 20)


def select_range(text: str, size: int, **headers: str) -> Selection:
    return select({"range": text, **headers}, method="GET", size=size, etag=ETAG)


@given(SIZE, st.integers(0, 25), st.integers(0, 25))
def test_first_to_last_is_the_slice(size: int, first: int, last: int) -> None:
    selection = select_range(f"bytes={first}-{last}", size)
    expected = list(range(size))[first : last + 1]
    if last < first:
        assert selection == Selection(200, 0, size)
    elif expected:
        assert selection == Selection(206, expected[0], expected[-1] + 1)
    else:
        assert selection == Selection(416, 0, 0)


@given(SIZE, st.integers(0, 25))
def test_an_open_end_is_the_rest(size: int, first: int) -> None:
    assert select_range(f"bytes={first}-", size) == (
        Selection(206, first, size) if first < size else Selection(416, 0, 0)
    )


@given(SIZE, st.integers(0, 25))
def test_a_suffix_is_the_last_bytes(size: int, count: int) -> None:
    expected = list(range(size))[-count:] if count else []
    assert select_range(f"bytes=-{count}", size) == (
        Selection(206, expected[0], size) if expected else Selection(416, 0, 0)
    )


@pytest.mark.parametrize(
    "text",
    ["", "bytes", "bytes=", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=1-2x", "bytes=-" + "9" * 19],
)
def test_what_is_not_one_range_gets_the_whole_file(text: str) -> None:
    assert select_range(text, 10) == Selection(200, 0, 10)


def test_head_tells_of_the_whole_file() -> None:
    assert select({"range": "bytes=1-2"}, method="HEAD", size=10, etag=ETAG) == Selection(200, 0, 10)


@pytest.mark.parametrize(("condition", "status"), [(ETAG, 206), ('"other"', 200), ('W/"abc"', 200)])
def test_a_range_counts_only_while_if_range_is_the_etag(condition: str, status: int) -> None:
    assert select_range("bytes=1-2", 10, **{"if-range": condition}).status == status


@pytest.mark.parametrize(
    ("condition", "status"),
    [(ETAG, 304), ('W/"abc"', 304), ('"x", "abc"', 304), ("*", 304), ('"x"', 200), ("abc", 200), ("", 200)],
)
def test_if_none_match_spares_the_body(condition: str, status: int) -> None:
    assert select({"if-none-match": condition}, method="GET", size=10, etag=ETAG).status == status
