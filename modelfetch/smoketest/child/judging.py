"""Asks a language model that ranks whether a document answers a query, and how much rather it says yes than no.

- A chat template that has places for a query and a document is filled as sentence-transformers fills it; any other is
  given the task as the system's words and the pair as the user's.
- The tokens for yes and no are those that the files name, or else every token that spells the word by itself.
"""

from __future__ import annotations

from typing import Any

import torch

from modelfetch.model.child.templates import find_template, in_parts, render
from modelfetch.model.child.vectors import run
from modelfetch.smoketest.child.generation import ids_fit
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.observations import Answered, Ranked, Started
from modelfetch.smoketest.prompts import IRRELEVANT, QUERY, RANKING_PAIR, RANKING_TASK, RELEVANT
from modelfetch.smoketest.request import Request

YES = ("yes", "Yes", " yes", " Yes")
NO = ("no", "No", " no", " No")
_CHANGE = 1e-6


def judge(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Report the scores of a document that answers and of one that does not."""
    report(Started("judge"))
    known = request.exercise.judge
    assert known is not None
    if known.yes_id is not None:
        yes, no = [known.yes_id], [] if known.no_id is None else [known.no_id]
    else:
        yes, no = spelt(tokenizer, YES), spelt(tokenizer, NO)
    template = find_template(request.folder, tokenizer)
    asked = [ask(tokenizer, template, document) for document in (RELEVANT, IRRELEVANT)]
    logits = []
    for text in asked:
        inputs = tokenizer(text, add_special_tokens=template is None, return_tensors="pt").to(model.device)
        ids = torch.cat([inputs["input_ids"].flatten(), torch.tensor([*yes, *no], device=model.device)])
        if not ids_fit(model, ids, "the question, yes and no", report):
            return
        logits.append(run(model, {"input_ids": inputs["input_ids"]}).logits[0, -1].float())
    one, other = logits
    finite = bool(torch.isfinite(one).all() and torch.isfinite(other).all())
    differs = not bool(torch.allclose(one, other, rtol=0, atol=_CHANGE))
    report(Ranked(score(one, yes, no), score(other, yes, no), True, asked[0], known.certain))
    report(Answered("next token", tuple(one.shape), finite, differs))


def ask(tokenizer: Any, template: str | None, document: str) -> str:
    """The question as the model is to read it."""
    pair = RANKING_PAIR.format(query=QUERY, document=document)
    if template is None:
        return f"{RANKING_TASK}\n\n{pair}\nAnswer:"
    roles = [{"role": "query", "content": QUERY}, {"role": "document", "content": document}]
    words = [{"role": "system", "content": RANKING_TASK}, {"role": "user", "content": pair}]
    alone = [{"role": "user", "content": f"{RANKING_TASK}\n\n{pair}"}]
    raised: Exception | None = None
    for messages in (roles, words, alone, in_parts(words), in_parts(alone)):
        try:
            rendered = render(tokenizer, template, messages, thinking=False)
        except Exception as error:
            raised = error
            continue
        if QUERY in rendered and document in rendered and (messages is not roles or _has_places(template)):
            return rendered
    raise ValueError("the chat template leaves out the query or the document") from raised


def spelt(tokenizer: Any, words: tuple[str, ...]) -> list[int]:
    """The tokens that are one of `words` by themselves; where none is, the token that the first of them begins with."""
    each = [tokenizer.encode(word, add_special_tokens=False) for word in words]
    single = {ids[0] for ids in each if len(ids) == 1 and ids[0] != tokenizer.unk_token_id}
    return sorted(single) or each[0][:1]


def score(logits: Any, yes: list[int], no: list[int]) -> float:
    """How much rather the model says yes than no; of one that has no word for no, how much it says yes."""
    more = torch.logsumexp(logits[yes], dim=0)
    return float(more - torch.logsumexp(logits[no], dim=0) if no else more)


def _has_places(template: str) -> bool:
    """Whether the template knows the two roles, and does not merely write any role's name and words."""
    return "query" in template and "document" in template
