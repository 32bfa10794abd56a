"""A reply unfolds into thinking and answer as it is written, and nothing that was shown is taken back."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.chat.fragments import Fragment
from modelfetch.chat.unfolding import Part, Plain, Unfolding
from modelfetch.model.thinking import TAGS, split

ASKED = "<|im_start|>assistant\n"
ANY_TAG = [tag for pair in TAGS for tag in pair]


def unfold(prompt: str, fragments: Iterable[Fragment]) -> tuple[list[Part], Unfolding]:
    unfolding = Unfolding(prompt)
    parts = [part for fragment in fragments for part in unfolding.put(fragment)]
    return [*parts, *unfolding.finish()], unfolding


def shown(parts: Iterable[Part]) -> tuple[str, str]:
    """Thinking and answer, as somebody has them who read it all."""
    thinking = answer = ""
    for part in parts:
        if part.all_before_was_thinking:
            thinking, answer = thinking + answer, ""
        if part.thinking:
            thinking += part.text
        else:
            answer += part.text
    return thinking, answer


@st.composite
def written(draw: st.DrawFn) -> list[str]:
    """Text with the tags of one kind of model in it, cut anywhere."""
    tags = draw(st.sampled_from(TAGS))
    words = st.sampled_from([*tags, " ", "\n", "<", "</", "a", "think>", "[", "好"])
    text = "".join(draw(st.lists(words, max_size=12)))
    places = sorted(draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    return [text[start:end] for start, end in pairwise(places)]


@given(written(), st.sampled_from([ASKED, f"{ASKED}<think>\n", "<think>"]))
def test_however_a_reply_is_cut_it_is_shown_as_it_is_when_it_is_whole(texts: list[str], prompt: str) -> None:
    parts, unfolding = unfold(prompt, map(Fragment, texts))
    whole = split("".join(texts), prompt)
    assert unfolding.reply() == whole
    thinking, answer = shown(parts)
    assert answer == whole.answer
    # Where an answer turned out to have been thinking, blanks at the seams are as they were shown.
    assert thinking.split() == (whole.thinking or "").split()


@pytest.mark.parametrize("tag", ANY_TAG)
def test_no_half_of_a_tag_is_shown(tag: str) -> None:
    for length in range(1, len(tag)):
        unfolding = Unfolding(ASKED)
        parts = [*unfolding.put(Fragment("a")), *unfolding.put(Fragment(tag[:length]))]
        assert parts == [Part("a")]
        # What no tag came of is text after all.
        assert [*unfolding.put(Fragment("!"))] == [Part(f"{tag[:length]}!")]


def test_thinking_comes_first_and_then_the_answer() -> None:
    texts = ["<th", "ink>", "\nHm", ".", "\n</thi", "nk>", "\n\n", "Yes", "."]
    parts, _ = unfold(ASKED, map(Fragment, texts))
    assert parts == [Part("Hm", True), Part(".", True), Part("Yes"), Part(".")]


def test_a_prompt_that_opened_the_thinking_is_gone_on_from() -> None:
    parts, unfolding = unfold(f"{ASKED}<think>\n", map(Fragment, ["Hm.", "</think>", "Yes."]))
    assert parts == [Part("Hm.", True), Part("Yes.")]
    assert unfolding.reply().thinking == "Hm."


def test_thinking_that_never_ends_is_no_answer() -> None:
    _, unfolding = unfold(ASKED, map(Fragment, ["<think>", "Hm"]))
    assert (unfolding.reply().finished, unfolding.reply().answer) == (False, "")


def test_what_a_closing_tag_makes_thinking_was_shown_and_is_told() -> None:
    parts, _ = unfold(ASKED, map(Fragment, ["Hm.", "</think>", "Yes."]))
    assert parts == [Part("Hm."), Part("", all_before_was_thinking=True), Part("Yes.")]


def test_special_tokens_are_not_shown_unless_they_are_spelled_as_text() -> None:
    parts, _ = unfold(ASKED, [Fragment("<think>", True), Fragment("Hm."), Fragment("</think>", True), Fragment("Yes.")])
    assert parts == [Part("Hm.", True), Part("Yes.")]
    parts, _ = unfold(ASKED, [Fragment("Yes."), Fragment("<|im_end|>", True)])
    assert parts == [Part("Yes.")]
    parts, _ = unfold(ASKED, [Fragment("It is <|im_end|>.")])
    assert parts == [Part("It is <|im_end|>.")]


def test_the_channels_of_harmony_are_told_apart() -> None:
    texts = [("<|channel|>", True), ("analysis", False), ("<|message|>", True), ("Hm.", False), ("<|end|>", True),
             ("<|start|>", True), ("assistant", False), ("<|channel|>", True), ("final", False), ("<|message|>", True),
             ("Yes.", False), ("<|return|>", True)]  # fmt: skip
    parts, _ = unfold(ASKED, [Fragment(*each) for each in texts])
    assert shown(parts) == ("Hm.", "Yes.")


@pytest.mark.parametrize("text", ["  a\n", "<think>", "</think>"])
def test_without_a_template_everything_is_answer_spaces_and_all(text: str) -> None:
    plain = Plain()
    parts = [*plain.put(Fragment(text)), *plain.put(Fragment("</s>", True)), *plain.finish()]
    assert parts == [Part(text)]
    assert (plain.reply().answer, plain.reply().thinking) == (text, None)
