"""Which language models are made to rank: the score of a document is how much rather they say yes than no to it.

Decides only, from files; the name of a model is asked last.

- Where sentence-transformers is told which tokens say yes and no, these are it, and the ranking is the model's own.
- Where only a card or a name says that a model ranks, how it wants to be asked is a guess, and is called one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelfetch.model.contents import LOGIT_SCORE, ModelFolder

_NAME = re.compile(r"rerank|cross-?encoder", re.IGNORECASE)
_TAGS = frozenset({"text-ranking", "reranker", "reranking", "cross-encoder"})


@dataclass(frozen=True)
class Judge:
    """How a language model that ranks is asked. `yes_id` and `no_id` are its tokens, where files name them.

    `certain` is false where only a card or a name says that it ranks.
    """

    yes_id: int | None = None
    no_id: int | None = None
    certain: bool = False


def is_ranker(folder: ModelFolder) -> bool:
    """Whether files or the name say that the model is there to rank."""
    return _by_files(folder) or _by_card(folder) or _by_name(folder)


def judge_of(folder: ModelFolder) -> Judge | None:
    """How to ask a language model that ranks; None for one that does not."""
    if path := next((path for path in folder.documents if path.endswith(LOGIT_SCORE)), None):
        score = folder.document(path)
        return Judge(_token(score.get("true_token_id")), _token(score.get("false_token_id")), certain=True)
    return Judge(certain=_by_files(folder)) if is_ranker(folder) else None


def _by_files(folder: ModelFolder) -> bool:
    named = folder.document("config_sentence_transformers.json").get("model_type")
    return named == "CrossEncoder" or "sentence_transformers" in folder.config


def _by_card(folder: ModelFolder) -> bool:
    tags = folder.card.get("tags")
    said = [folder.card.get("pipeline_tag"), *(tags if isinstance(tags, list) else [])]
    return any(isinstance(each, str) and each in _TAGS for each in said)


def _by_name(folder: ModelFolder) -> bool:
    return bool(_NAME.search(f"{folder.name} {folder.config.get('_name_or_path', '')}"))


def _token(value: object) -> int | None:
    return value if type(value) is int and value >= 0 else None
