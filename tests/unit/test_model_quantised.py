"""A reference's :QUANT names one GGUF file of several, whoever asks: what is looked at, tested and talked with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modelfetch.chat import ChatOptions, open_talk
from modelfetch.cli import run
from modelfetch.config import load
from modelfetch.errors import NotFoundError
from modelfetch.inspection import inspect
from modelfetch.model.contents import ModelFolder
from modelfetch.model.folder import read_folder
from modelfetch.model.gguf import GgufHeader
from modelfetch.reference import parse
from modelfetch.smoketest import Level, SmokeOptions, smoke
from modelfetch.smoketest.circumstances import circumstances_of
from modelfetch.store import Snapshot, Store
from tests.conftest import safetensors_bytes
from tests.stored import bring
from tests.unit.test_model_headers import gguf

FILES = {
    "small-Q4_0.gguf": gguf(kind=2),
    "small-F32.gguf": gguf(kind=0, data=256),
    "mmproj-F16.gguf": gguf(kind=1, data=128),
    "config.json": b'{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}',
    "model.safetensors": safetensors_bytes({"a": b"12345678"}),
    "pytorch_model.bin": b"not a pickle",
}


@pytest.fixture
def store() -> Store:
    store = Store.open(load().home)
    bring(store, FILES)
    return store


def looked_up(store: Store, text: str) -> Snapshot:
    snapshot = store.lookup(parse(text))
    assert snapshot is not None
    return snapshot


def test_the_file_of_that_quantisation_is_the_model_and_nothing_else_is(tmp_path: Path) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    folder = read_folder(tmp_path, "owner/name", "q4_0")
    assert (folder.gguf, set(folder.ggufs)) == ("small-Q4_0.gguf", {"small-Q4_0.gguf"})
    assert (folder.safetensors, folder.pickles, folder.broken) == ({}, [], ())
    assert "config.json" in folder.files
    with pytest.raises(NotFoundError, match="no GGUF file of the quantisation `Q9_9`"):
        read_folder(tmp_path, "owner/name", "Q9_9")


def test_a_snapshot_knows_for_which_quantisation_it_was_asked(store: Store) -> None:
    snapshot = looked_up(store, "owner/name:F32")
    assert (snapshot.quant, snapshot.model) == ("F32", "owner/name:F32")
    assert (looked_up(store, "owner/name").quant, looked_up(store, "owner/name").model) == (None, "owner/name")


@pytest.mark.parametrize(("quant", "file"), [("Q4_0", "small-Q4_0.gguf"), ("F32", "small-F32.gguf")])
def test_inspect_tells_of_the_file_that_was_named(
    quant: str, file: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inspect(looked_up(store, f"owner/name:{quant}")).weights.files == (file,)
    assert run(["inspect", f"owner/name:{quant}", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["model"], document["weights"]["files"]) == (f"owner/name:{quant}", [file])


def test_without_a_quantisation_the_weights_that_transformers_would_load_are_told_of(store: Store) -> None:
    assert inspect(looked_up(store, "owner/name")).weights.format == "safetensors"


def test_a_quantisation_that_is_not_here_is_said_with_those_that_are(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("inspect", "smoke"):
        assert run([command, "owner/name:Q8_0"]) == NotFoundError.exit_status
        printed = capsys.readouterr().err
        assert "no GGUF file of the quantisation `Q8_0`" in printed
        assert "F16, F32, Q4_0" in printed
    with pytest.raises(NotFoundError):
        open_talk(looked_up(store, "owner/name:Q8_0"), ChatOptions(), lambda report: None)


def test_a_test_is_of_the_file_that_was_named_and_holds_for_no_other(store: Store) -> None:
    options = SmokeOptions(level=Level.HEADERS)
    result = smoke(looked_up(store, "owner/name:F32"), options)
    assert result.subject.name == "owner/name:F32"
    named, unnamed = (circumstances_of(looked_up(store, text), options) for text in ("owner/name:F32", "owner/name"))
    assert named != unnamed


def test_a_gguf_that_sees_for_another_is_not_the_model() -> None:
    sees, speaks = GgufHeader({"general.type": "mmproj"}, ()), GgufHeader({"general.type": "model"}, ())
    files = {"mmproj.gguf": 1, "model.gguf": 2}
    both = ModelFolder("owner/name", files, ggufs={"mmproj.gguf": sees, "model.gguf": speaks})
    assert both.gguf == "model.gguf"
    assert ModelFolder("owner/name", files, ggufs={"mmproj.gguf": sees}).gguf == "mmproj.gguf"
    assert ModelFolder("owner/name", files).gguf is None


def test_a_gguf_is_told_of_where_a_configuration_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "model-Q4_0.gguf").write_bytes(gguf())
    (tmp_path / "config.json").write_bytes(FILES["config.json"])
    assert inspect(tmp_path).weights.format == "gguf"
