"""Asks a child process what only a tokenizer or the weights can tell.

- What cannot be asked of this model is refused before a child is started, with the reason.
- The child has a group of its own, no token, no network and a time limit; a crash of it is one sentence.
- Its answers are one file in a folder of its own, read to `MAX_ANSWER_BYTES` and believed only in their declared form.
  What else it writes there or to its output is bounded by itself.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from modelfetch.errors import ConfigError, ModelfetchError, NotFoundError, SmokeError, UsageError
from modelfetch.inspection.answers import Answers, Refused
from modelfetch.inspection.inspection import Inspection, gguf_of
from modelfetch.inspection.reading import read_sentence
from modelfetch.inspection.request import Questions, Request
from modelfetch.model.contents import ModelFolder, NotExercised
from modelfetch.model.documents import read_value
from modelfetch.model.folder import read_folder
from modelfetch.model.isolation import child_command, child_environment, last_words
from modelfetch.model.kind import POOLINGS, SENSES, TRUST, Exercise, Kind, choose
from modelfetch.model.placement import BASE_LIMIT_S, Wish, time_limit_s
from modelfetch.model.sizes import integer
from modelfetch.model.stack import require_stack, usable_modules
from modelfetch.model.tables import read_tables
from modelfetch.processes import Group, Streams, signal_of

CHILD = "modelfetch.inspection.child"
MAX_ANSWER_BYTES = 64 << 20
# With torch, the list of modules that ends a crash has a few thousand.
LOG_BYTES = 16_384
# Kinds that give each token a probability, or each text a vector.
PREDICTING = frozenset({Kind.CHAT, Kind.BASE, Kind.JUDGE, Kind.VISION, Kind.SEQ2SEQ, Kind.MASKED})
# A package that is not installed is a matter of this machine, anything else of what was asked for.
_LACKS_PACKAGE = frozenset({"gguf", "quantisation-backend"})
# What the vectors here have been through as well; a length of one changes no cosine.
_KNOWN_MODULES = frozenset({"Transformer", "Pooling", "Normalize"})
_TOKENIZERS = (
    *("tokenizer.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json"),
    *("tekken.json", "source.spm", "bpe.codes", "vocab.bpe"),
)


@dataclass(frozen=True)
class Permission:
    """Where the weights may run, and whether code of the model may."""

    device: str = "auto"
    trust_remote_code: bool = False
    timeout_s: float | None = None


def ask(inspection: Inspection, questions: Questions, permission: Permission = Permission()) -> Answers:
    """The answers of the model that `inspection` is about.

    Raises:
        UsageError: this kind of model cannot be asked that, or only with consent to run its code.
        NotFoundError: it has no tokenizer, or no chat template to render.
        ConfigError: a package is not installed.
        SmokeError: the child found that it does not work, crashed, or took too long.
    """
    subject = inspection.subject
    transformers = require_stack("asking a tokenizer or the weights")
    folder = read_folder(Path(subject.folder), subject.name, subject.quant)
    gguf = gguf_of(folder)
    _check_files(folder, inspection, questions, gguf)
    exercise = _exercise(folder, transformers, questions, permission) if questions.need_weights else None
    request = Request(
        folder=str(Path(subject.folder).resolve()),
        gguf_file=gguf,
        exercise=exercise,
        wish=Wish(permission.device),
        trust_remote_code=permission.trust_remote_code,
        questions=questions,
        cut_at=integer(read_sentence(Path(subject.folder), folder), "max_seq_length") if exercise else None,
        notes=tuple(_left_out(folder)),
    )
    limit = permission.timeout_s or (time_limit_s(exercise, 1) if exercise else BASE_LIMIT_S)
    answers = _run(request, subject.name, limit)
    if answers.refused:
        raise _refusal(answers.refused, folder)
    return answers


def _check_files(folder: ModelFolder, inspection: Inspection, questions: Questions, gguf: str | None) -> None:
    name = folder.name
    if questions.need_tokenizer and not gguf and not any(path in folder.files for path in _TOKENIZERS):
        raise NotFoundError(
            f"`{name}` has no tokenizer",
            facts={"looked for": ", ".join(_TOKENIZERS[:6]), "it is": inspection.purpose.what},
            hint=f"modelfetch inspect {name}",
        )
    if gguf and find_spec("gguf") is None:
        raise ConfigError("transformers reads GGUF only with the package `gguf`", hint="pip install gguf")


def _exercise(folder: ModelFolder, transformers: Path, questions: Questions, permission: Permission) -> Exercise:
    plan = choose(folder, read_tables(transformers), usable_modules(), trust_remote_code=permission.trust_remote_code)
    if folder.broken:
        first = folder.broken[0]
        raise SmokeError(f"`{first.path}` of `{folder.name}`: {first.problem}", hint=f"modelfetch smoke {folder.name}")
    if isinstance(plan, NotExercised):
        kind = ConfigError if plan.check in _LACKS_PACKAGE else UsageError
        raise kind(f"`{folder.name}` cannot be loaded: {plan.reason}", facts=plan.evidence, hint=plan.hint)
    if questions.next is not None and plan.kind not in PREDICTING:
        raise UsageError(
            f"`{folder.name}` gives no token a probability: it is of the kind {plan.kind.value}",
            hint=None if plan.kind in SENSES else f"modelfetch inspect {folder.name} --embed 'one' --embed 'another'",
        )
    if questions.embed and plan.kind in SENSES:
        raise UsageError(f"`{folder.name}` reads no text: it is of the kind {plan.kind.value}")
    if questions.embed and plan.pooling and plan.pooling not in POOLINGS:
        raise UsageError(f"`{folder.name}` pools by `{plan.pooling}`, which inspect does not know")
    return plan


def _left_out(folder: ModelFolder) -> Iterator[str]:
    """What sentence-transformers would do with a text of this model and inspect does not."""
    modules = folder.documents.get("modules.json")
    for module in modules if isinstance(modules, list) else []:
        name = str(module.get("type")).rpartition(".")[2] if isinstance(module, dict) else ""
        if name not in _KNOWN_MODULES:
            yield f"its module `{name}` after the pooling is not applied"
    if prompt := folder.document("config_sentence_transformers.json").get("default_prompt_name"):
        yield f"its default prompt `{prompt}` is not put before the texts"


def _run(request: Request, name: str, limit_s: float) -> Answers:
    with TemporaryDirectory(prefix="modelfetch-inspect-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        request.write(folder / "request.json")
        environment = child_environment(os.environ, folder, runs_foreign_code=request.trust_remote_code)
        if request.exercise is None or request.wish.on_cpu:
            # CUDA reserves memory in every process that only asks for it.
            environment["CUDA_VISIBLE_DEVICES"] = ""
        command = child_command(CHILD, str(folder / "request.json"), str(folder / "answers.json"))
        with (folder / "noise").open("wb") as noise:
            child = Group(
                command,
                environment=environment,
                streams=Streams(stdout=subprocess.DEVNULL, stderr=noise.fileno()),
                folder=folder,
            )
            try:
                status = child.wait(limit_s)
            except subprocess.TimeoutExpired as error:
                raise SmokeError(f"`{name}` gave no answer in {limit_s:.0f} s") from error
            finally:
                child.end()
        return _read_answers(folder, name, status)


def _read_answers(folder: Path, name: str, status: int) -> Answers:
    try:
        with (folder / "answers.json").open("rb") as file:
            return read_value(json.loads(file.read(MAX_ANSWER_BYTES)), Answers)
    except (OSError, ValueError, RecursionError) as error:
        with (folder / "noise").open("rb") as noise:
            noise.seek(0, os.SEEK_END)
            noise.seek(max(0, noise.tell() - LOG_BYTES))
            last = last_words(noise.read().decode("utf-8", "replace"))
        how = signal_of(status) or f"status {status}"
        raise SmokeError(
            f"the process that held `{name}` ended with {how} and gave no answer",
            facts={"last lines": last} if last else {},
            hint=f"modelfetch smoke {name}",
        ) from error


def _refusal(refused: Refused, folder: ModelFolder) -> ModelfetchError:
    """What the child could not do, as the error that says who can mend it."""
    message = " ".join(refused.message.split())[:400]
    if TRUST in refused.message:
        return UsageError(
            f"`{folder.name}` needs Python code of its own for {refused.doing}",
            facts=folder.code_listing,
            hint="read these files, then add --trust-remote-code",
        )
    if refused.error == "Refused":
        return UsageError(f"`{folder.name}`: {message}")
    return SmokeError(
        f"`{folder.name}` failed while {refused.doing}: {message or refused.error}",
        facts={"error": refused.error},
        hint=f"modelfetch smoke {folder.name}",
    )
