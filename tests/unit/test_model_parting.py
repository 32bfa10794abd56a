"""A reply is parted as the tokenizer's own response template says, by the parser of transformers where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from modelfetch.chat.fragments import Fragment
from modelfetch.chat.unfolding import Part, Parted
from modelfetch.model.child.parting import Parting, parting_of
from modelfetch.model.thinking import Passage, Reply, joined

TEMPLATE: dict[str, Any] = {
    "defaults": {"role": "assistant"},
    "start_anchor": "<bot>",
    "fields": {
        "reasoning_content": {"open": "<muse>", "close": "</muse>", "content": "text"},
        "content": {"close": "<end>", "content": "text"},
    },
}


class Tokenizer:
    """As much of a tokenizer of transformers as has a say in this."""

    def __init__(self, template: Any) -> None:
        self.response_template = template

    def get_response_parser(self, *, prefix: str) -> Any:
        parsing = pytest.importorskip("transformers.utils.chat_parsing", reason="this transformers has no such parser")
        return parsing.ResponseParser(self.response_template, prefix=prefix)


class Failing:
    """A parser that takes one text and no more."""

    def __init__(self) -> None:
        self._fed = 0

    def feed(self, text: str) -> list[dict[str, Any]]:
        self._fed += 1
        if self._fed > 1:
            raise ValueError("no JSON")
        return [{"type": "region_chunk", "field": "reasoning", "text": text, "dirty": False}]

    def finalize(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        raise RuntimeError("over")


def passages(prompt: str, texts: Sequence[str]) -> Iterator[Passage]:
    parting = parting_of(Tokenizer(TEMPLATE), prompt, {"<s>"})
    assert parting is not None
    for text in texts:
        yield from parting.put(text)
    yield from parting.finish()


CASES = {
    "thinking and answer": (["<muse>Hm, ", "hm.</muse>", "\n\nYes.<end>"], "<bot>", Reply("Hm, hm.", "Yes.")),
    "a tag in halves": (["<mu", "se>Hm.</", "muse>Yes."], "<bot>", Reply("Hm.", "Yes.")),
    "the prompt opened": (["Hm.</muse>Yes.<end>"], "<bot><muse>\n", Reply("Hm.", "Yes.")),
    "the prompt opened and closed": (["Yes.<end>"], "<bot><muse></muse>", Reply(None, "Yes.")),
    "cut off while thinking": (["<muse>Hm."], "<bot>", Reply("Hm.", "", finished=False)),
    "cut off after thinking": (["<muse>Hm.</muse>"], "<bot>", Reply("Hm.", "")),
    "the user mentions the tag": (["Yes."], "what is <muse>?<bot>", Reply(None, "Yes.")),
    "tags of other families are text": (["<think>Hm.</think>"], "<bot>", Reply(None, "<think>Hm.</think>")),
    "special tokens are left out": (["<s>Yes.", "<s>"], "<bot>", Reply(None, "Yes.")),
    "nothing": ([], "<bot>", Reply(None, "")),
}


@pytest.mark.parametrize(("texts", "prompt", "expected"), CASES.values(), ids=list(CASES))
def test_a_reply_is_parted_as_its_tokenizer_says(texts: list[str], prompt: str, expected: Reply) -> None:
    assert joined(list(passages(prompt, texts))) == expected


def test_a_tokenizer_without_a_response_template_parts_nothing() -> None:
    assert parting_of(Tokenizer(None), "", ()) is None
    assert parting_of(object(), "", ()) is None


@pytest.mark.parametrize("template", [{"fields": 1}, "text", {"version": 9}])
def test_a_response_template_that_cannot_be_used_parts_nothing(template: Any) -> None:
    assert parting_of(Tokenizer(template), "", ()) is None


def test_a_transformers_that_knows_no_response_templates_parts_nothing() -> None:
    class Old:
        response_template = TEMPLATE

    assert parting_of(Old(), "", ()) is None


def test_where_the_parser_fails_the_rest_is_answer() -> None:
    parting = Parting(Failing(), {"<s>"})
    said = [*parting.put("Hm."), *parting.put("Yes<s>"), *parting.put("."), *parting.finish()]
    assert said == [Passage("Hm.", thinking=True), Passage("Yes"), Passage(".")]


def test_a_parted_reply_is_shown_without_the_space_before_its_words() -> None:
    parted = Parted()
    fragments = [Fragment("\nHm,", thinking=True), Fragment(" hm.", thinking=True), Fragment("\n\n"), Fragment("Yes.")]
    assert [part for each in fragments for part in parted.put(each)] == [
        Part("Hm,", thinking=True),
        Part(" hm.", thinking=True),
        Part("Yes."),
    ]
    assert parted.reply() == Reply("Hm, hm.", "Yes.")
