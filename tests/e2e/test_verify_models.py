"""What the real libraries write is right in our eyes, and what they refuse to read is wrong."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from modelfetch.manifest import Entry, Manifest
from modelfetch.store import Snapshot
from modelfetch.verification import Finding, Problem, Severity
from modelfetch.verification.contents import check_contents
from tests.models import TINY_KINDS, minilm_folder, smollm2_gguf, tiny

pytestmark = pytest.mark.e2e

# Saves the model of one folder to another, in shards.
_SHARD = """
import sys, transformers
transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2], max_shard_size="60KB")
transformers.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])
"""


def findings_in(folder: Path) -> list[Finding]:
    """What is found in a folder that was pulled as it is."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    entries = tuple(Entry(path.relative_to(folder).as_posix(), path.stat().st_size) for path in files)
    manifest = Manifest("huggingface", "own/name", None, "0" * 40, entries)
    paths = frozenset(entry.path for entry in entries)
    return list(check_contents(Snapshot(manifest, paths, folder, datetime.now(UTC), plain=True), entries))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    whole, target = tiny("chat", tmp_path_factory.mktemp("whole")), tmp_path_factory.mktemp("sharded")
    subprocess.run([sys.executable, "-c", _SHARD, str(whole), str(target)], check=True, capture_output=True)
    assert len(list(target.glob("*.safetensors"))) > 2
    return target


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_nothing_is_found_in_a_model_of_any_kind(kind: str, tmp_path: Path) -> None:
    assert [finding for finding in findings_in(tiny(kind, tmp_path)) if finding.severity is not Severity.INFO] == []


def test_nothing_is_found_in_real_models() -> None:
    assert findings_in(minilm_folder()) == []
    assert findings_in(smollm2_gguf().parent) == []


def test_nothing_is_found_in_a_model_in_shards(sharded: Path) -> None:
    assert findings_in(sharded) == []


def test_an_index_that_lost_a_tensor_or_invented_one_is_found(sharded: Path) -> None:
    path = sharded / "model.safetensors.index.json"
    index = json.loads(path.read_bytes())
    tensor, shard = next(iter(index["weight_map"].items()))
    for change, severity in (({tensor: None}, Severity.WARNING), ({"invented": shard}, Severity.ERROR)):
        weight_map = {name: place for name, place in {**index["weight_map"], **change}.items() if place}
        before = path.read_bytes()
        path.write_text(json.dumps({**index, "weight_map": weight_map}), encoding="utf-8")
        assert [(each.problem, each.severity) for each in findings_in(sharded)] == [(Problem.WRONG_INDEX, severity)]
        path.write_bytes(before)


def test_a_header_that_safetensors_refuses_is_found(sharded: Path, tmp_path: Path) -> None:
    # Any, whether its types are installed or not.
    library: Any = importlib.import_module("safetensors")
    whole = next(sharded.glob("*.safetensors")).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    chance = random.Random(7)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        content[chance.randrange(header)] = chance.randrange(256)
        try:
            library.deserialize(bytes(content))
        except library.SafetensorError as error:
            if "unknown variant" in str(error):
                # A type that is none to this library may be one to a newer one.
                continue
            refused += 1
            (tmp_path / "weights.safetensors").write_bytes(content)
            assert [each.problem for each in findings_in(tmp_path)] == [Problem.BAD_SAFETENSORS], bytes(
                content[:header]
            )
    assert refused > 100
