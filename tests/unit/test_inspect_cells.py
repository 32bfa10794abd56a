"""What of a stranger's text reaches a terminal, and how wide it is there."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.cli._cells import folded, padded, shortened, shown, shown_lines, table, width, wrapped


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("你好", "你好"),
        ("👋🏽", "👋🏽"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202etxet", "\\u{202e}txet"),
        ("half \ud83d", "half \\u{d83d}"),
        ("\u2028", "\\u{2028}"),
        ("\ue000", "\\u{e000}"),
        ("👨\u200d👩", "👨\u200d👩"),
    ],
)
def test_what_would_not_be_seen_is_written_out(text: str, seen: str) -> None:
    assert shown(text) == seen


@given(st.text())
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    categories = {unicodedata.category(sign) for sign in shown(text) if sign not in "\u200d\ufe0f"}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_lines_stay_lines() -> None:
    assert shown_lines("a\n\tb\x1b") == ["a", "    b\\x1b"]


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("你好", 4), ("👋", 2), ("e\u0301", 1), ("ｱ", 1), ("", 0)])
def test_a_wide_sign_takes_two_columns_and_an_accent_none(text: str, columns: int) -> None:
    assert width(text) == columns


def test_a_text_is_filled_up_by_its_width() -> None:
    assert padded("你", 4) == "你  "
    assert padded("你", 4, right=True) == "  你"


def test_a_text_is_cut_at_a_column_and_says_so() -> None:
    assert shortened("你好世界", 8) == "你好世界"
    assert shortened("你好世界", 7) == "你好世…"
    assert width(shortened("你好世界", 6)) <= 6


def test_columns_of_a_table_begin_under_each_other() -> None:
    lines = table([("id", "text"), ("7", "你"), ("100", "x")], right=frozenset({0}))
    assert lines == ["   id  text", "    7  你", "  100  x"]


@given(st.text(alphabet="ab 你", max_size=80), st.integers(1, 30))
def test_lines_are_broken_between_words_and_only_a_word_that_is_too_long_is_cut(text: str, columns: int) -> None:
    lines = wrapped(text, columns)
    assert " ".join(lines).split() == [shortened(word, columns) for word in text.split()]
    assert all(width(line) <= columns for line in lines)


@given(st.text(st.sampled_from("ab 好"), max_size=60), st.integers(2, 30))
def test_a_line_is_folded_without_losing_a_word(line: str, columns: int) -> None:
    lines = folded(line, columns)
    assert " ".join(lines).split() == line.split()
    assert all(width(each) <= columns or len(each.split()) <= 1 for each in lines)


def test_a_column_stays_a_column_where_there_is_room_for_words() -> None:
    assert folded("/set NAME VALUE  set a parameter, such as /set temperature 0.7", 42) == [
        "/set NAME VALUE  set a parameter, such as",
        "                 /set temperature 0.7",
    ]
    assert folded("/set NAME  set a parameter", 20) == ["/set NAME  set a", "parameter"]
    assert folded("   what is indented stays so", 20) == ["   what is indented", "   stays so"]
