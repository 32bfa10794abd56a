"""Which language models rank, by their files, and how each is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from modelfetch.model.card import front_matter
from modelfetch.model.contents import ModelFolder
from modelfetch.model.rankers import Judge, is_ranker, judge_of


def folder(name: str = "owner/name", card: Mapping[str, Any] | None = None, **documents: Any) -> ModelFolder:
    read = {f"{path}.json": document for path, document in documents.items()}
    return ModelFolder(name, dict.fromkeys(read, 100), read, card=card or {})


def scored(told: Mapping[str, object]) -> ModelFolder:
    path = "1_LogitScore/config.json"
    return ModelFolder("owner/name", {path: 100}, {path: told})


def test_the_tokens_that_say_yes_and_no_are_those_that_the_files_name() -> None:
    told = {"true_token_id": 9693, "false_token_id": 2152, "module_input_name": "causal_logits"}
    assert judge_of(scored(told)) == Judge(9693, 2152, certain=True)


@pytest.mark.parametrize("false_token", [None, "no", -1, True])
def test_a_model_may_have_a_word_for_yes_alone(false_token: object) -> None:
    told = {"true_token_id": 9454, "false_token_id": false_token}
    assert judge_of(scored(told)) == Judge(9454, None, certain=True)


def test_what_sentence_transformers_calls_a_cross_encoder_ranks() -> None:
    assert judge_of(folder(config_sentence_transformers={"model_type": "CrossEncoder"})) == Judge(certain=True)
    assert judge_of(folder(config={"sentence_transformers": {"version": "5.4.0"}})) == Judge(certain=True)


@pytest.mark.parametrize(
    "here",
    [
        folder(card={"pipeline_tag": "text-ranking"}),
        folder(card={"tags": ["transformers", "reranker"]}),
        folder("Qwen/Qwen3-Reranker-0.6B"),
        folder(config={"_name_or_path": "owner/bge-reranker-v2-gemma"}),
    ],
    ids=["card", "tags", "name", "the name it was saved from"],
)
def test_a_card_or_a_name_makes_a_ranker_whose_question_is_guessed(here: ModelFolder) -> None:
    assert is_ranker(here)
    assert judge_of(here) == Judge(certain=False)


@pytest.mark.parametrize(
    "here",
    [
        folder(),
        folder(card={"pipeline_tag": "text-generation", "tags": "reranker"}),
        folder(card={"tags": [{"a": 1}, None, 7]}),
        folder(config_sentence_transformers={"model_type": "SentenceTransformer"}),
    ],
)
def test_anything_else_is_no_ranker(here: ModelFolder) -> None:
    assert not is_ranker(here)
    assert judge_of(here) is None


@pytest.mark.parametrize(
    ("card", "matter"),
    [
        (b"---\npipeline_tag: text-ranking\n---\nwords", {"pipeline_tag": "text-ranking"}),
        (b"\xef\xbb\xbf---\r\ntags: [a]\r\n---\r\n", {"tags": ["a"]}),
        (b"words\n---\ntags: [a]\n---\n", {}),
        (b"---\n- a list\n---\n", {}),
        (b"---\nno end", {}),
        (b"", {}),
    ],
)
def test_the_front_matter_of_a_card_is_what_stands_between_its_first_lines(
    card: bytes, matter: Mapping[str, Any]
) -> None:
    assert front_matter(card) == matter


def test_a_front_matter_that_is_no_yaml_is_an_error_of_one_line() -> None:
    with pytest.raises(ValueError, match=r"\Aits front matter is not YAML: .*\Z"):
        front_matter(b"---\na: [b\n---\n")
