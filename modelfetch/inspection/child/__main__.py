"""`child REQUEST.json ANSWERS.json`: answer what the request asks, in one file that appears whole or not at all."""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from modelfetch.inspection.answers import Answers, Refused
from modelfetch.inspection.request import Request, read_request
from modelfetch.model.child import memory
from modelfetch.processes import die_with_parent

# A stranger's tokenizer can ask for any amount; none that is honest takes this much.
TOKENIZER_BYTES = 4 << 30
MAX_FILE_BYTES = 256 << 20


class Doing:
    """What is being done, for the error that ends it."""

    what = "importing torch and transformers"


def main() -> None:
    """Whatever the model's files raise here is an answer too."""
    die_with_parent()
    # Whatever floods a file, the noise that the parent keeps included, shall not fill the disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))
    request = read_request(Path(sys.argv[1]))
    doing = Doing()
    try:
        answers = _answer(request, doing)
    except Exception as error:
        answers = Answers(refused=Refused(doing.what, type(error).__name__, str(error)[:2000]))
    target = Path(sys.argv[2])
    written = target.with_suffix(".part")
    written.write_text(json.dumps(asdict(answers)), encoding="utf-8")
    written.rename(target)
    # All is said. Tearing torch down takes a second, and a crash in it would be none of the model's.
    os._exit(0)


def _answer(request: Request, doing: Doing) -> Answers:
    # Here and not above: what an import raises is an answer too.
    from modelfetch.inspection.child import templates, tokens, weights
    from modelfetch.model.child import loading, machine

    machine.prepare()
    questions, exercise = request.questions, request.exercise
    if exercise is None:
        memory.cap(memory.data_bytes() + min(TOKENIZER_BYTES, memory.available_bytes()))
    doing.what = "loading its tokenizer"
    tokenizer = loading.load_tokenizer(
        request.folder,
        request.gguf_file,
        remote_code=exercise is not None and exercise.remote_code,
        trust_remote_code=request.trust_remote_code,
    )
    doing.what = "asking its tokenizer"
    pieces = tokens.Pieces(tokenizer)
    tokenized = tuple(pieces.tokenize(text) for text in questions.tokens)
    vocabulary = pieces.search(questions.vocabulary) if questions.vocabulary is not None else None
    rendered = templates.render(request.folder, tokenizer) if questions.template else None
    if exercise is None:
        return Answers(tokenized, vocabulary, rendered)
    doing.what = "loading its weights"
    asked = weights.Asked(request, exercise, pieces)
    doing.what = "running it"
    following = asked.next(questions.next, questions.top_k) if questions.next is not None else None
    vectors = asked.embed(questions.embed, questions.word) if questions.embed else None
    return Answers(tokenized, vocabulary, rendered, following, vectors, asked.ran_on)


if __name__ == "__main__":
    main()
