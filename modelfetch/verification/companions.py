"""What weights need beside them: a configuration, and for text a tokenizer. Decides only, from names and config.json.

- Only weights that are called as transformers and diffusers call theirs: a checkpoint of another kind needs none.
- What the repository has and the pull left out is told as that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelfetch.verification.report import Problem, Severity

_WEIGHTS = re.compile(
    r"(?:.*/)?(?:(?:model|diffusion_pytorch_model)(?:[.-][^/]*)?\.safetensors|pytorch_model(?:[.-][^/]*)?\.bin)"
)
# An adapter is configured by its own file.
_CONFIGURATIONS = ("config.json", "adapter_config.json")
# Whatever a tokenizer is read from: the fast kind's one file, vocabularies of any age, SentencePiece's and tiktoken's
# models, Mistral's, and code. A tokenizer by bytes has nothing but its configuration.
_TOKENIZER = re.compile(
    r"tokenizer[^/]*\.(?:json|model|txt)(?:\.v\d+)?|tekken\.json|(?:vocab|merges)[^/]*\.(?:json|txt|bpe)|[^/]+\.(?:tiktoken|spm|model)"
    r"|tokenization_[^/]*\.py"
)
_WRITES_TEXT = re.compile(r".*ForCausalLM")


@dataclass(frozen=True)
class Lack:
    """A file that is not beside the weights; `path` is where it would be looked for."""

    path: str
    problem: Problem
    severity: Severity
    what: str


def lacks(listed: frozenset[str], present: frozenset[str], config: Any) -> Iterator[Lack]:
    """What is not here of what the weights that are `present` need. `config` is the content of config.json, if any."""
    for folder in sorted({path.rpartition("/")[0] for path in present if _WEIGHTS.fullmatch(path)}):
        candidates = [f"{folder}/{name}" if folder else name for name in _CONFIGURATIONS]
        if not present.intersection(candidates):
            left_out = listed.intersection(candidates)
            what = "weights without a configuration: transformers cannot tell what they are"
            yield _lack(candidates[0], Problem.MISSING_CONFIG, what, left_out)
    if _writes_text(config) and not any(map(_is_tokenizer, present)):
        left_out = frozenset(path for path in listed if _is_tokenizer(path))
        what = "a model of text without a tokenizer: it can be loaded and not be talked to"
        yield _lack("tokenizer.json", Problem.MISSING_TOKENIZER, what, left_out)


def _lack(path: str, problem: Problem, what: str, left_out: frozenset[str]) -> Lack:
    if left_out:
        return Lack(min(left_out), Problem.LEFT_OUT, Severity.INFO, f"`{min(left_out)}` was not pulled")
    return Lack(path, problem, Severity.WARNING, what)


def _is_tokenizer(path: str) -> bool:
    return _TOKENIZER.fullmatch(path) is not None


def _writes_text(config: Any) -> bool:
    architectures = config.get("architectures") if isinstance(config, Mapping) else None
    return isinstance(architectures, list) and any(
        isinstance(name, str) and _WRITES_TEXT.fullmatch(name) for name in architectures
    )
