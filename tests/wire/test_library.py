"""The library's functions as a program calls them: values come back, and nothing is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import modelfetch
from modelfetch import events
from modelfetch.errors import NotFoundError, UsageError
from modelfetch.smoketest import Level, SmokeOptions, Verdict
from modelfetch.store import Store
from tests.conftest import safetensors_bytes
from tests.pulling import REPO, Heard, endpoint, settings
from tests.simulator import FakeHub

FILES = {
    "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode(),
    "model.safetensors": safetensors_bytes({"model.embed_tokens.weight": bytes(64)}),
    "tokenizer.json": b"{}",
}


@pytest.fixture
def fake_hub() -> Iterator[FakeHub]:
    with FakeHub({REPO: FILES}) as hub:
        yield hub


def test_its_functions_return_values_and_print_nothing(
    fake_hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given, heard = settings(tmp_path, endpoint(fake_hub.url)), Heard()
    snapshot = modelfetch.pull(REPO, settings=given, listener=heard)
    assert {entry.path for entry in snapshot.entries} == set(FILES)
    assert any(isinstance(event, events.FileDone) for event in heard.events)
    assert modelfetch.verify(Store.open(given.home)).ok
    inspection = modelfetch.inspect(snapshot)
    assert inspection.architecture is not None
    assert inspection.subject.commit == snapshot.manifest.commit
    result = modelfetch.smoke(snapshot, SmokeOptions(level=Level.HEADERS))
    assert (result.verdict, result.subject.name) == (Verdict.PASS, REPO)
    assert modelfetch.doctor(settings=replace(given, offline=True), offline=True, names=["memory"])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("text", "error"), [("no reference", UsageError), ("own/other", NotFoundError)])
def test_what_it_raises_is_what_it_says_it_raises(
    text: str, error: type[Exception], fake_hub: FakeHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error):
        modelfetch.pull(text, settings=settings(tmp_path, endpoint(fake_hub.url)))
    assert error.__name__ in (modelfetch.pull.__doc__ or "")
    assert capfd.readouterr() == ("", "")
