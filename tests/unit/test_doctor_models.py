"""What doctor tells of models: those in the store, by their files alone, and what lies about in other tools' caches."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Finding, Machine, Severity
from modelfetch.diagnosis.checks.caches import check_caches
from modelfetch.diagnosis.checks.disk import check_space
from modelfetch.diagnosis.checks.models import check_models
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.probes.caches import CacheFacts, QueueFacts, read_caches, read_queue
from modelfetch.diagnosis.probes.hardware import HardwareFacts
from modelfetch.diagnosis.probes.limits import LimitFacts
from modelfetch.diagnosis.probes.models import ModelFacts, StoredModel, read_models
from modelfetch.diagnosis.probes.native import CudaDevice, CudaFacts, NvmlDevice, NvmlFacts
from modelfetch.diagnosis.probes.storage import Place, StorageFacts
from modelfetch.diagnosis.probes.torch_files import TorchFacts
from modelfetch.model.kind import Exercise, Kind
from modelfetch.store import Store
from tests.conftest import safetensors_bytes
from tests.other_tools import huggingface_cache, older_modelscope_repository, write
from tests.stored import bring, manifest_of
from tests.unit.doctor_machine import FakeMachine, found

CLASSES = (
    'MODEL_FOR_CAUSAL_LM_MAPPING_NAMES = OrderedDict([("llama", "LlamaForCausalLM")])\n'
    'MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES = OrderedDict([("llava", "LlavaForConditionalGeneration")])\n'
)
QUANTISERS = 'AUTO_QUANTIZATION_CONFIG_MAPPING = {"awq": A, "gptq": B}\n'
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
WEIGHTS = {"model.safetensors": safetensors_bytes({"a.weight": bytes(400)})}


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    """A machine with a transformers that knows a few models; nothing in the store."""
    machine = FakeMachine(tmp_path)
    package = machine.site / "transformers"
    write(package / "__init__.py", b"raise SystemExit('doctor must not import this')\n")
    write(package / "models/auto/modeling_auto.py", CLASSES.encode())
    write(package / "models/auto/auto_mappings.py", b'CONFIG_MAPPING_NAMES = {"llama": "LlamaConfig"}\n')
    write(package / "quantizers/auto.py", QUANTISERS.encode())
    return machine


def stored(fake: FakeMachine, config: dict[str, Any] | None, repo: str = "own/name", **files: bytes) -> None:
    store = Store.open(fake.home / "store")
    words = {} if "tokenizer__model" in files else {"tokenizer.json": b"{}"}
    content = {**WEIGHTS, **words, **{name.replace("__", "."): data for name, data in files.items()}}
    if config is not None:
        content["config.json"] = json.dumps(config).encode()
    bring(store, content, manifest_of(content, repo=repo))


def faults(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.severity not in {Severity.OK, Severity.INFO}}


def test_a_model_that_what_is_installed_can_run_is_well(fake: FakeMachine) -> None:
    stored(fake, LLAMA)
    findings = found(fake, "models")
    assert findings["models"].title == "1 model in the store; 1 of 1 can be run as they are"
    assert set(findings) == {"models", "caches", "locks"}


def test_models_in_other_tools_caches_are_told_too_and_one_that_is_in_several_places_once(fake: FakeMachine) -> None:
    hub, scope = fake.home / ".cache/huggingface/hub", fake.home / ".cache/modelscope/hub"
    config, words = json.dumps(LLAMA).encode(), {"tokenizer.json": b"{}"}
    stored(fake, LLAMA, "own/stored")
    huggingface_cache(hub, {**WEIGHTS, **words, "config.json": config}, repo="own/stored")
    huggingface_cache(hub, {**words, "config.json": config}, repo="own/words")
    awq = json.dumps({**LLAMA, "quantization_config": {"quant_method": "awq"}}).encode()
    huggingface_cache(hub, {**WEIGHTS, **words, "config.json": awq}, repo="own/packed")
    cut = {**WEIGHTS, **words, "config.json": config, "model.safetensors": b"<!DOCTYPE html>"}
    older_modelscope_repository(scope / "models/own/page", cut, model_id="own/page")
    environment = {"HF_HOME": str(hub.parent), "MODELSCOPE_CACHE": str(scope)}
    findings = found(fake, "models", **environment)
    assert (
        findings["models"].title == "1 model in the store and 2 in other tools' caches; 1 of 3 can be run as they are"
    )
    assert findings["quant.backend"].title.startswith("`own/packed` (in Hugging Face's cache) cannot be run:")
    assert findings["model.broken"].title.startswith("`own/page` (in ModelScope's cache) is damaged")
    assert findings["model.broken"].fix == ("modelfetch pull own/page",)


def test_of_several_snapshots_in_a_cache_the_newest_counts(fake: FakeMachine) -> None:
    hub = fake.home / "hub"
    for age, config in enumerate((LLAMA, {"model_type": "unheard-of"})):
        files = {**WEIGHTS, "tokenizer.json": b"{}", "config.json": json.dumps(config).encode()}
        snapshot = huggingface_cache(hub, files, commit=str(age) * 40, branch=None)
        os.utime(snapshot, (10**9 - age, 10**9 - age))
    machine = fake.machine(HF_HUB_CACHE=str(hub))
    (model,) = read_models(machine, load(machine.environment)).models
    assert model.plan is not None
    title = found(fake, "models", HF_HUB_CACHE=str(hub))["models"].title
    assert title == "1 model in other tools' caches; 1 of 1 can be run as they are"


@pytest.mark.parametrize(
    ("config", "name", "fix"),
    [
        (
            {"model_type": "new", "architectures": ["NewForCausalLM"], "transformers_version": "5.30.0"},
            "tf.old",
            "python -m pip install -U 'transformers>=5.30.0'",
        ),
        (
            {**LLAMA, "quantization_config": {"quant_method": "awq"}},
            "quant.backend",
            "python -m pip install gptqmodel 'accelerate>=1.1'",
        ),
        ({**LLAMA, "quantization_config": {"quant_method": "exl3"}}, "quant.unknown", None),
    ],
)
def test_a_model_that_cannot_be_run_here_is_a_warning_with_what_changes_it(
    fake: FakeMachine, config: dict[str, Any], name: str, fix: str | None
) -> None:
    stored(fake, config)
    findings = found(fake, "models")
    assert faults(findings) == {name}
    assert findings[name].title.startswith("`own/name")
    assert findings[name].fix == ((fix,) if fix else ())
    assert findings["models"].evidence == {"models": 1, "fine": 0}


def test_code_that_comes_with_a_model_is_information_and_is_named(fake: FakeMachine) -> None:
    config = {"model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": {"AutoModelForCausalLM": "m.Own"}}
    stored(fake, config, modeling_own__py=b"print('it ran')\n")
    finding = found(fake, "models")["tf.remote-code"]
    assert (finding.severity, "modeling_own.py" in finding.evidence) == (Severity.INFO, True)


def test_a_tokenizer_and_pictures_that_nothing_reads_are_warnings(fake: FakeMachine) -> None:
    stored(fake, LLAMA, tokenizer__model=b"spm")
    assert found(fake, "models")["sp.absent"].fix == ("python -m pip install sentencepiece",)
    write(fake.site / "sentencepiece/__init__.py", b"")
    assert faults(found(fake, "models")) == set()
    stored(fake, {"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}, repo="own/pictures")
    assert found(fake, "models")["vlm.deps"].fix == ("python -m pip install pillow torchvision",)


def test_a_damaged_model_is_told_with_the_command_that_repairs_it(fake: FakeMachine) -> None:
    stored(fake, LLAMA, other__safetensors=b"<html>not weights</html>")
    finding = found(fake, "models")["model.broken"]
    assert finding.title.startswith("`own/name` is damaged, in `other.safetensors`: ")
    assert finding.fix == ("modelfetch verify own/name --repair",)


def test_models_without_a_transformers_are_counted(fake: FakeMachine) -> None:
    stored(fake, LLAMA)
    for file in sorted((fake.site / "transformers").rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    (fake.site / "transformers").rmdir()
    assert found(fake, "models")["models"].severity is Severity.INFO


def test_models_for_which_time_is_short_are_counted(fake: FakeMachine) -> None:
    stored(fake, LLAMA)
    facts = read_models(fake.machine(), load(fake.environment), limit_s=-1.0)
    assert (facts.models, facts.unread, facts.has_transformers) == ((), 1, True)


def plan(elements: int) -> Exercise:
    return Exercise(Kind.CHAT, "LlamaForCausalLM", elements, 0, elements * 2, stored_dtype="bfloat16")


def room(
    elements: int, *, free: int, gpus: tuple[int, ...] = (), sees: tuple[int, ...] | None = None, **environment: str
) -> list[Finding]:
    """What is told of a model of so many weights on a machine with so much memory.

    Each GPU after the first is half full; CUDA `sees` all of them unless it is told otherwise.
    """
    seen = range(len(gpus)) if sees is None else sees
    held = (
        NvmlDevice("L4", size, (number > 0) * size // 2, 0, uuid=f"GPU-{number}") for number, size in enumerate(gpus)
    )
    values = [
        ModelFacts((StoredModel("own/name", plan(elements)),), has_transformers=True),
        CudaFacts(devices=tuple(CudaDevice("L4", 89, gpus[number]) for number in seen)),
        NvmlFacts(devices=tuple(held)),
        TorchFacts(Path("torch"), "2.14.0", cuda="13.0"),
        HardwareFacts((), None, frozenset({"nvidia0"} if gpus else ()), (), False, False),
        LimitFacts(cpus=2, memory_available_bytes=free),
        Machine(environment=environment),
    ]
    return check_models(Facts(values))


def test_where_a_model_fits_is_told_with_what_it_needs_and_what_is_there() -> None:
    assert [finding.name for finding in room(10**9, free=64 * 10**9, gpus=(24 * 10**9,))] == ["models"]
    _, on_cpu = room(20 * 10**9, free=200 * 10**9, gpus=(24 * 10**9,))
    assert (on_cpu.severity, on_cpu.title) == (
        Severity.INFO,
        "`own/name` needs 40.8 GB, the GPU has 24.0 GB free, so it runs on the CPU in float32",
    )
    _, nowhere = room(20 * 10**9, free=16 * 10**9, gpus=(24 * 10**9,))
    assert (nowhere.name, nowhere.severity) == ("model.memory", Severity.WARNING)
    assert "16.0 GB are free" in nowhere.title


def test_a_model_that_no_gpu_holds_alone_is_spread_over_all_that_are_visible() -> None:
    both = (40 * 10**9, 40 * 10**9)
    _, spread = room(20 * 10**9, free=200 * 10**9, gpus=both)
    assert spread.title == "`own/name` fits into no GPU alone, so it is spread over 2"
    _, on_cpu = room(35 * 10**9, free=200 * 10**9, gpus=both)
    assert "the GPUs have 60.0 GB free" in on_cpu.title


@pytest.mark.parametrize(("variable", "seen", "free"), [("1", 1, "20.0"), ("GPU-1", 1, "20.0"), ("0", 0, "40.0")])
def test_what_others_hold_is_counted_of_the_gpu_that_is_visible(variable: str, seen: int, free: str) -> None:
    both = (40 * 10**9, 40 * 10**9)
    _, finding = room(26 * 10**9, free=200 * 10**9, gpus=both, sees=(seen,), CUDA_VISIBLE_DEVICES=variable)
    assert f"the GPU has {free} GB free" in finding.title


def test_what_lies_in_other_tools_caches_twice_and_in_halves_is_counted(fake: FakeMachine) -> None:
    settings = load(fake.environment)
    big = os.urandom(6 << 20)
    huggingface_cache(settings.hf_cache, {"model.safetensors": big})
    older_modelscope_repository(settings.modelscope_cache / "own/other", {"model.safetensors": big})
    write(settings.hf_cache / "models--own--name/blobs/abc.incomplete", bytes(7))
    facts = read_caches(fake.machine(), settings)
    assert (facts.models, facts.orphans, facts.orphan_bytes, facts.is_known) == (2, 1, 7, True)
    assert not (fake.home / "store").exists()
    findings = found(fake, "caches")
    assert findings["cache.orphans"].fix == ("modelfetch prune --orphans --dry-run",)
    assert "cache.adoptable" in findings


def test_only_much_that_could_be_freed_is_a_warning() -> None:
    much = CacheFacts(repeated_bytes=3 * 10**9, orphan_bytes=5)
    severities = {finding.name: finding.severity for finding in check_caches(Facts([much]))}
    assert severities == {"cache.orphans": Severity.INFO, "cache.dup": Severity.WARNING}
    (unknown,) = check_caches(Facts([CacheFacts(is_known=False)]))
    assert unknown.severity is Severity.INFO


def test_caches_beside_a_store_that_cannot_be_opened_are_left(fake: FakeMachine) -> None:
    write(fake.home / "store/store-version", b"modelfetch store 99\n")
    assert not read_caches(fake.machine(), load(fake.environment)).is_known


def test_downloads_that_have_begun_and_do_not_fit_any_more_are_a_warning(fake: FakeMachine) -> None:
    settings = load(fake.environment)
    data = write(settings.home / "partial-v1" / ("ab" * 32) / "data", b"x" * 4096)
    os.truncate(data, 50_000_000)
    facts = read_queue(fake.machine(), settings)
    assert facts.partials == 1
    assert 49_000_000 < facts.missing_bytes < 50_000_000
    here = Place("store", Path("/data"), True, 1, free_bytes=6 * 10**9)
    findings = check_space(Facts([StorageFacts((here,)), QueueFacts(3, 7 * 10**9)]))
    assert [finding.name for finding in findings] == ["disk.queue", "space"]
    assert findings[0].title == "the store's disk has 6.0 GB free, and what has begun to arrive wants 7.0 GB more"


def test_a_lock_that_a_process_holds_now_is_told_and_one_that_was_left_behind_is_not(fake: FakeMachine) -> None:
    fcntl = pytest.importorskip("fcntl")
    hub = fake.home / "hub"
    idle, held = (write(hub / f".locks/models--own--name/{name}.lock", b"") for name in ("idle", "held"))
    locks = Path("/proc/locks")
    with held.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if f":{held.stat().st_ino} " not in (locks.read_text() if locks.exists() else ""):
            pytest.skip("this kernel does not tell who holds a lock")
        fake.write("proc/locks", locks.read_text())
    findings = found(fake, "locks", HF_HUB_CACHE=str(hub))
    assert findings["cache.locks"].title == f"locks in Hugging Face's cache are held by process {os.getpid()}"
    assert findings["cache.locks"].evidence["files"] == 2
    held.unlink()
    assert idle.exists()
    assert set(found(fake, "locks", HF_HUB_CACHE=str(hub))) == {"locks"}
