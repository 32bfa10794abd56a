"""Which exercises a model of each kind is put through."""

from __future__ import annotations

from typing import Any

from modelfetch.model.kind import GENERATES, Kind
from modelfetch.smoketest.child import heads, judging, senses
from modelfetch.smoketest.child.generation import generate
from modelfetch.smoketest.child.prediction import predict
from modelfetch.smoketest.child.report import Report
from modelfetch.smoketest.request import Request


def exercise(model: Any, tokenizer: Any, request: Request, report: Report) -> None:
    """Report what the model does with what its kind is made for."""
    kind = request.exercise.kind
    if kind in GENERATES or kind is Kind.MASKED:
        predict(model, tokenizer, request, report)
    if kind in GENERATES:
        generate(model, tokenizer, request, report)
    elif kind is Kind.EMBEDDING:
        heads.embed(model, tokenizer, request, report)
    elif kind is Kind.JUDGE:
        judging.judge(model, tokenizer, request, report)
    elif kind is Kind.CLASSIFIER:
        heads.classify(model, tokenizer, request, report)
    elif kind is Kind.SPEECH:
        senses.listen(model, tokenizer, request, report)
    elif kind is Kind.IMAGE:
        senses.see(model, report)
    else:
        heads.EXERCISES[kind](model, tokenizer, report)
