"""Fragments of text are whole, and together they are what the tokenizer makes of all tokens at once."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from modelfetch.chat.fragments import BROKEN, Fragment, Fragments

SPECIAL = {1000: "<|end|>", 1001: "<think>"}


class ByteTokenizer:
    """Tokens are bytes, any number of them: the hardest that a byte-level tokenizer can do."""

    def __init__(self, vocabulary: list[bytes]) -> None:
        self._vocabulary = vocabulary

    def decode(self, ids: list[int]) -> str:
        data = b"".join(SPECIAL[each].encode() if each in SPECIAL else self._vocabulary[each] for each in ids)
        return data.decode("utf-8", "replace")


class WordTokenizer:
    """Writes a space only between two words, as SentenceFragment does."""

    def decode(self, ids: list[int]) -> str:
        return " ".join(f"w{each}" for each in ids)


def told(fragments: Fragments, ids: list[int]) -> list[Fragment]:
    return [fragment for each in ids for fragment in fragments.put(each)] + list(fragments.finish())


@st.composite
def cut_texts(draw: st.DrawFn) -> tuple[str, list[bytes]]:
    """A text and its bytes, cut anywhere."""
    text = draw(st.text(st.characters(exclude_characters=BROKEN, exclude_categories=["Cs"])))
    data = text.encode()
    places = sorted(draw(st.sets(st.integers(0, len(data)))) | {0, len(data)})
    return text, [data[start:end] for start, end in pairwise(places)]


@given(cut_texts())
def test_a_text_cut_anywhere_arrives_whole_and_no_fragment_has_a_broken_character(cut: tuple[str, list[bytes]]) -> None:
    text, tokens = cut
    fragments = told(Fragments(ByteTokenizer(tokens).decode, SPECIAL), list(range(len(tokens))))
    assert "".join(fragment.text for fragment in fragments) == text
    assert not any(BROKEN in fragment.text for fragment in fragments)


def test_a_character_comes_with_its_last_byte() -> None:
    tokens = [bytes([each]) for each in "你a🔥".encode()]
    fragments = Fragments(ByteTokenizer(tokens).decode, SPECIAL)
    came = [[fragment.text for fragment in fragments.put(each)] for each in range(len(tokens))]
    assert came == [[], [], ["你"], ["a"], [], [], [], ["🔥"]]


def test_a_character_that_never_ends_never_comes() -> None:
    tokens = [b"ok ", "🔥".encode()[:2]]
    assert told(Fragments(ByteTokenizer(tokens).decode, SPECIAL), [0, 1]) == [Fragment("ok ")]


def test_bytes_that_are_no_character_hold_up_nothing_that_follows() -> None:
    tokens = [b"\xff", b"a"]
    assert (
        "".join(fragment.text for fragment in told(Fragments(ByteTokenizer(tokens).decode, ()), [0, 1])) == f"{BROKEN}a"
    )


def test_a_special_token_comes_alone_and_after_what_was_before_it() -> None:
    fragments = told(Fragments(ByteTokenizer([b"a", b"b"]).decode, SPECIAL), [1001, 0, 1000, 1])
    assert fragments == [Fragment("<think>", True), Fragment("a"), Fragment("<|end|>", True), Fragment("b")]


def test_text_that_spells_a_special_token_is_text() -> None:
    assert told(Fragments(ByteTokenizer([b"<|end|>"]).decode, SPECIAL), [0]) == [Fragment("<|end|>")]


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9)))
def test_the_space_between_two_words_comes_with_the_second(ids: list[int], prompt: list[int]) -> None:
    decode = WordTokenizer().decode
    text = "".join(fragment.text for fragment in told(Fragments(decode, (), prompt), ids))
    assert decode([*prompt, *ids]) == decode(prompt) + text


@given(st.lists(st.integers(0, 9), min_size=30, max_size=60))
def test_a_long_reply_is_not_decoded_again_from_its_beginning(ids: list[int]) -> None:
    lengths: list[int] = []

    def decode(these: list[int]) -> str:
        lengths.append(len(these))
        return WordTokenizer().decode(these)

    told(Fragments(decode, ()), ids)
    assert max(lengths) <= 2
