"""docs/json.md has the keys that the commands print, no more and no fewer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelfetch.adopt import AdoptedModel, Adoption, Fate, Orphan, Place, State, Tool
from modelfetch.adopt.candidate import Candidate, Refusal
from modelfetch.chat import state as chat_state
from modelfetch.chat.conversation import Conversation, Exchange
from modelfetch.chat.protocol import Ready
from modelfetch.chat.settings import Defaults
from modelfetch.cli import run
from modelfetch.cli.inspect import document as inspect_document
from modelfetch.inspection import answers, inspect
from modelfetch.model.placement import BEFORE_LOADING, DoesNotFit, Need, Placed
from modelfetch.smoketest import Finding, Fit, Severity, SmokeResult, Subject, Verdict
from modelfetch.smoketest.result import Facts, Spoken
from tests.conftest import safetensors_bytes
from tests.meta.source import ROOT
from tests.simulator import FakeHub

REPO = "own/name"
# Verified and yet no model: `verify` has something to tell.
FILES = {"README.md": b"---\nlicense: mit\n---\n", "config.json": b"not json", "model.safetensors": bytes(200_000)}

_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with FakeHub({REPO: FILES}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        yield hub


@pytest.mark.usefixtures("hub")
def test_the_keys_of_every_command_are_as_documented(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, own_environment: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/README.md").write_text("mine", encoding="utf-8")
    # A hint about nothing is what goes; the model is shown in views, and stays.
    hint = own_environment / "modelfetch/blobs-v1/verified/ab" / ("ab" * 32)
    hint.parent.mkdir(parents=True)
    hint.touch()
    for arguments, statuses in (
        (["pull", REPO], {0}),
        (["ls"], {0}),
        (["verify"], {8}),
        (["link", REPO, "--to", str(tmp_path / "folder")], {0}),
        (["mirrors"], {0}),
        (["config"], {0}),
        (["doctor", "--offline"], {0, 11}),
        (["prune", "--max-size", "1k", "--dry-run"], {0}),
        (["rm", REPO], {0}),
    ):
        assert run([*arguments, "--json"]) in statuses
        document = json.loads(capsys.readouterr().out)
        documented = _documented(arguments[0])
        assert _keys(document, documented) == documented, arguments


@pytest.mark.usefixtures("hub")
def test_the_keys_of_trying_mirrors_are_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mirrors", "test", "--repo", REPO, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    documented = _documented("mirrors test")
    assert _keys(document, documented) == documented


def test_the_keys_of_smoke_are_as_documented() -> None:
    finding = Finding("check", Severity.WARN, "title", {"name": "text"})
    spoken = Spoken("prompt", None, None, "answer", True, None)
    result = SmokeResult(Subject("model", "folder"), Verdict.WARN, (finding,), spoken, Facts(versions={"torch": "2"}))
    kept = {"model": "model", "commit": "c", "verdict": "PASS", "tested_at": "2026-11-22T10:00:00.000+00:00"}
    document = {"ok": True, "results": [result.to_json()], "unchanged": [kept]}
    documented = _documented("smoke")
    assert _keys(document, documented) == documented


def test_the_keys_of_a_plan_are_as_documented() -> None:
    need = Need(1, 2, 3, 4)
    short = DoesNotFit("cuda:0", 7, 6, BEFORE_LOADING, need, "bfloat16")
    placed = Placed("cpu", "a CPU", "why", "float32", "why", need=need, available_bytes=9)
    plan = Fit(Subject("model", "folder"), "chat model", placed, (short,))
    document = {"ok": True, "plans": [plan.to_json()]}
    documented = _documented("smoke --plan")
    assert _keys(document, documented) == documented


def test_the_keys_of_adopt_are_as_documented(tmp_path: Path) -> None:
    files = tuple(Fate(tmp_path / state, 1, state, why="why", expected="one", got="other") for state in State)
    orphan = Orphan(tmp_path, 1, 1.0, Tool.OLLAMA, "why")
    model = AdoptedModel(Candidate("name", tmp_path, ()), None, False, 0, 0)
    place, refusal = Place(Tool.FOLDER, tmp_path, "given"), Refusal(tmp_path, "why")
    document = Adoption((place,), (model,), files, (refusal,), (orphan,), dry_run=True, seconds=1.0).to_json()
    documented = _documented("adopt")
    assert _keys(document, documented) == documented


def test_the_keys_of_a_saved_conversation_are_as_documented() -> None:
    conversation = Conversation("Be kind.").after(Exchange("Hi", "Hello.", "They greet me."))
    state = chat_state.State(Ready(Defaults(), True, True, 2048), conversation)
    documented = _documented("chat")
    assert _keys(chat_state.saved(state, "own/name"), documented) == documented


def test_the_keys_of_inspect_are_as_documented(tmp_path: Path) -> None:
    described = {"architectures": ["XForCausalLM"], "max_position_embeddings": 8, "num_hidden_layers": 1, "head_dim": 1}
    config = described | {"num_attention_heads": 1, "tokenizer_config": 1}
    card = "---\nlicense: mit\nbase_model: a/b\nlanguage: en\n---\n"
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"eos_token": "<s>", "model_max_length": 4}', encoding="utf-8")
    (tmp_path / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}', encoding="utf-8")
    (tmp_path / "special_tokens_map.json").write_text("[]", encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_text("x", encoding="utf-8")
    (tmp_path / "README.md").write_text(card, encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes({"a.weight": b"1"}))
    token = answers.Token(1, "a", "a", "61", special=False)
    asked = answers.Answers(
        tokenized=(answers.Tokenized("a", (token,), "a", same=True),),
        vocabulary=answers.Vocabulary("*", 1, 1, (token,)),
        rendered=answers.Rendered("a", "b", "c", None),
        next=answers.Next("a", "the end of the text", 1, (answers.Likely(token, 0.5),)),
        vectors=answers.Vectors("mean", 1, ("a",), ((1.0,),), ("note",), "a", (answers.Occurrence(0, ("a",)),)),
        ran_on=answers.RanOn("cpu", "why", "float32", "why"),
    )
    document = json.loads(json.dumps(inspect_document(inspect(tmp_path), asked)))
    documented = _documented("inspect")
    assert _keys(document, documented) == documented


def _documented(command: str) -> set[str]:
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## modelfetch {command}\n")[2].partition("\n## ")[0]
    return set(_ROW.findall(section))


def _keys(value: Any, documented: set[str], path: str = "") -> set[str]:
    """The paths of the leaves; what is documented as a whole, or is empty, is not looked into."""
    if path in documented:
        return {path}
    if isinstance(value, dict) and value:
        return {key for name, below in value.items() for key in _keys(below, documented, _join(path, name))}
    if isinstance(value, list):
        here = f"{path}[]"
        return {key for below in value for key in _keys(below, documented, here)} or {here}
    return {path}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
