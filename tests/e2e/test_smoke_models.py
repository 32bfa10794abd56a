"""Real and tiny models through the real child: intact ones pass with nothing said, each planted fault is caught."""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelfetch.smoketest import Level, SmokeOptions, SmokeResult, Verdict, fit, smoke
from modelfetch.smoketest.observations import Observation, Wrote
from modelfetch.smoketest.result import make_result
from tests.models import OTHER_KINDS, TINY_KINDS, minilm_folder, smollm2_folder, smollm2_gguf, tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


class Weights:
    """A safetensors file that can be damaged in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        data = path.read_bytes()
        self._start = 8 + struct.unpack("<Q", data[:8])[0]
        self.header: dict[str, Any] = json.loads(data[8 : self._start])
        self.data = bytearray(data[self._start :])

    def place(self, name: str) -> tuple[int, int]:
        begin, end = self.header[name]["data_offsets"]
        return begin, end

    def drop(self, unwanted: str) -> None:
        """Leave a tensor out, and close the gap."""
        tensors = {name: entry for name, entry in self.header.items() if name not in {"__metadata__", unwanted}}
        kept = bytearray()
        for name, entry in tensors.items():
            begin, end = self.place(name)
            entry["data_offsets"] = [len(kept), len(kept) + end - begin]
            kept += self.data[begin:end]
        self.header, self.data = tensors, kept

    def write(self) -> None:
        encoded = json.dumps(self.header).encode()
        self.path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + self.data)


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def hole(model: Path) -> None:
    weights = Weights(model / "model.safetensors")
    middle = len(weights.data) // 2
    weights.data[middle : middle + (1 << 20)] = bytes(1 << 20)
    weights.write()


def missing_tensor(model: Path) -> None:
    weights = Weights(model / "model.safetensors")
    weights.drop("model.layers.12.mlp.up_proj.weight")
    weights.write()


def a_layer_less(model: Path) -> None:
    change_json(model / "config.json", num_hidden_layers=29)


def not_a_number(model: Path) -> None:
    weights = Weights(model / "model.safetensors")
    begin, _ = weights.place("model.layers.7.mlp.down_proj.weight")
    weights.data[begin : begin + 2] = struct.pack("<H", 0x7FC0)
    weights.write()


def flipped_bit(model: Path) -> None:
    """The highest bit of a bfloat16's exponent."""
    weights = Weights(model / "model.safetensors")
    begin, _ = weights.place("model.layers.7.mlp.down_proj.weight")
    weights.data[begin + 1] ^= 0x40
    weights.write()


def norm_of_zeros(model: Path) -> None:
    weights = Weights(model / "model.safetensors")
    begin, end = weights.place("model.layers.14.input_layernorm.weight")
    weights.data[begin:end] = bytes(end - begin)
    weights.write()


def other_shape(model: Path) -> None:
    change_json(model / "config.json", num_key_value_heads=9)


def other_tokenizer(model: Path) -> None:
    shutil.copy(minilm_folder() / "tokenizer.json", model / "tokenizer.json")


def wrong_end_of_text(model: Path) -> None:
    change_json(model / "config.json", eos_token_id=0)
    change_json(model / "generation_config.json", eos_token_id=0)


def broken_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{% for message in messages %}{{ message['content'] }}")


def silent_template(model: Path) -> None:
    (model / "chat_template.jinja").write_text("<|im_start|>assistant\n")


def no_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink()


def cut_short(model: Path) -> None:
    path = model / "model.safetensors"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)


def pointer(model: Path) -> None:
    (model / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 269060552\n")


PLANTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "1 MiB of zeros in the middle": (hole, "zero-rows"),
    "one tensor missing": (missing_tensor, "missing-weights"),
    "29 of 30 layers": (a_layer_less, "unexpected-weights"),
    "NaN in one weight": (not_a_number, "not-finite-weights"),
    "a norm of zeros": (norm_of_zeros, "zero-rows"),
    "a flipped bit of an exponent": (flipped_bit, "huge-weights"),
    "another shape": (other_shape, "mismatched-weights"),
    "another model's tokenizer": (other_tokenizer, "random-weights"),
    "a wrong end of text": (wrong_end_of_text, "runs-on"),
    "a template that is broken": (broken_template, "template-error"),
    "a template that leaves the question out": (silent_template, "template-error"),
    "cut short by one byte": (cut_short, "broken-file"),
    "a Git LFS pointer": (pointer, "broken-file"),
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return smollm2_folder(tmp_path / "SmolLM2-135M-Instruct")


def checks(result: SmokeResult) -> set[str]:
    return {finding.check for finding in result.findings}


@pytest.mark.parametrize(("plant", "check"), PLANTED.values(), ids=list(PLANTED))
def test_a_planted_fault_is_caught(plant: Callable[[Path], None], check: str, model: Path) -> None:
    plant(model)
    result = smoke(model)
    assert result.verdict is Verdict.FAIL
    assert check in checks(result), result.findings


def test_a_chat_model_without_its_template_is_a_warning(model: Path) -> None:
    no_template(model)
    result = smoke(model)
    assert (result.verdict, checks(result)) == (Verdict.WARN, {"template-missing"})


def test_a_model_that_works_in_spite_of_its_files_is_a_warning(model: Path) -> None:
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").write_text(template.partition("{% if add_generation_prompt %}")[0])
    change_json(model / "generation_config.json", do_sample=True, temperature=0.0)
    result = smoke(model)
    assert (result.verdict, checks(result)) == (Verdict.WARN, {"template-header", "generation-config"})


def test_a_template_and_a_decoder_of_another_model_are_named(model: Path) -> None:
    (model / "chat_template.jinja").write_text(
        "{% for message in messages %}<|user|>\n{{ message['content'] }}\n{% endfor %}<|assistant|>\n"
    )
    change_json(model / "tokenizer.json", decoder=None)
    assert {"template-foreign", "tokenizer-text"} <= checks(smoke(model))


def test_embeddings_of_the_wrong_words_are_a_warning(tmp_path: Path) -> None:
    """Each word has the embedding of the one before it, as where a vocabulary was put together in another order."""
    folder = tmp_path / "MiniLM"
    shutil.copytree(minilm_folder(), folder)
    weights = Weights(folder / "model.safetensors")
    begin, end = weights.place("embeddings.word_embeddings.weight")
    row = (end - begin) // weights.header["embeddings.word_embeddings.weight"]["shape"][0]
    weights.data[begin:end] = weights.data[end - row : end] + weights.data[begin : end - row]
    weights.write()
    result = smoke(folder)
    assert (result.verdict, checks(result)) == (Verdict.WARN, {"similarity"})


def test_two_swapped_tensors_look_sound_which_is_why_bytes_are_verified_by_digest(model: Path) -> None:
    weights = Weights(model / "model.safetensors")
    one, other = (f"model.layers.{layer}.self_attn.o_proj.weight" for layer in (10, 11))
    weights.header[one], weights.header[other] = weights.header[other], weights.header[one]
    weights.write()
    assert smoke(model).verdict is Verdict.PASS


def test_a_real_chat_model_passes_with_nothing_said_against_it(model: Path) -> None:
    seen: list[Observation] = []
    result = smoke(model, listener=seen.append)
    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert result.spoken is not None
    assert result.spoken.answer == "The capital of France is Paris."
    written = [each.text for each in seen if isinstance(each, Wrote)]
    assert written
    assert all(result.spoken.answer.startswith(text.strip()) for text in written), "it is told as it is written"
    assert result.spoken.ended == "end of text"
    facts = result.facts
    assert facts.parameters == 134_515_008
    assert facts.device_reason
    assert facts.loss is not None
    assert facts.chance_loss is not None
    assert facts.loss < 0.4 * facts.chance_loss
    assert facts.peak_process_bytes is not None
    assert facts.peak_process_bytes > 4 * facts.parameters
    for measured in (facts.load_s, facts.first_token_s, facts.prefill_tokens_per_s, facts.decode_tokens_per_s):
        assert measured is not None
        assert measured > 0


def test_a_prompt_of_ones_own_is_answered_in_bfloat16(model: Path) -> None:
    options = SmokeOptions(prompt="What is two plus two?", dtype="bfloat16", max_new_tokens=12, device="cpu")
    result = smoke(model, options)
    assert result.verdict in {Verdict.PASS, Verdict.WARN}
    assert result.spoken is not None
    assert result.spoken.prompt == "What is two plus two?"
    assert "What is two plus two?" in (result.spoken.rendered or "")
    assert (result.facts.dtype, result.facts.device) == ("bfloat16", "cpu")
    assert (result.facts.new_tokens or 0) <= 12


def test_thinking_is_parted_as_the_tokenizer_says_and_a_stop_string_ends_it(model: Path) -> None:
    region = {"open": "The", "close": " of", "content": "text"}
    template = {"start_anchor": "assistant\n", "fields": {"thinking": region, "content": {"content": "text"}}}
    change_json(model / "tokenizer_config.json", response_template=template)
    change_json(model / "generation_config.json", stop_strings=["Paris"])
    spoken = smoke(model).spoken
    assert spoken is not None
    assert (spoken.thinking, spoken.answer) == ("capital", "France is Paris")
    assert (spoken.ended, spoken.complete) == ("stop string", True)


def test_a_template_that_refuses_to_be_told_about_thinking_is_rendered_without_a_word(model: Path) -> None:
    path = model / "chat_template.jinja"
    path.write_text(
        "{% if enable_thinking is defined %}{{ raise_exception('it thinks') }}{% endif %}" + path.read_text()
    )
    result = smoke(model)
    assert (result.verdict, result.findings) == (Verdict.PASS, ())


def test_a_real_gguf_file_passes(tmp_path: Path) -> None:
    (tmp_path / smollm2_gguf().name).symlink_to(smollm2_gguf())
    result = smoke(tmp_path)
    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert result.spoken is not None
    assert "Paris" in result.spoken.answer


def test_a_real_sentence_embedding_passes_with_nothing_said_against_it() -> None:
    result = smoke(minilm_folder())
    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert result.facts.kind == "sentence embedding"


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tiny")


@pytest.mark.parametrize("kind", TINY_KINDS)
def test_a_random_model_of_every_kind_fails_as_random_and_passes_where_it_may_be(kind: str, tiny_folder: Path) -> None:
    result = smoke(tiny(kind, tiny_folder / kind))
    assert result.verdict is Verdict.FAIL
    assert "random-weights" in checks(result)
    allowed = make_result(result.subject, result.observations, allow_random=True)
    assert (allowed.verdict, allowed.findings) == (Verdict.PASS, ())


def test_a_model_that_knows_chinese_and_no_english_is_not_called_random(tmp_path: Path) -> None:
    result = smoke(tiny("chinese", tmp_path / "chinese"))
    assert checks(result).isdisjoint({"random-weights", "weak-loss"})
    assert result.facts.loss_language == "Chinese"


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_a_kind_that_is_not_exercised_is_skipped_and_never_passed(kind: str, tiny_folder: Path) -> None:
    result = smoke(tiny(kind, tiny_folder / kind), SmokeOptions(allow_random=True))
    assert (result.verdict, checks(result)) == (Verdict.SKIP, {"not-exercised"})


def test_code_of_the_model_runs_only_with_consent(tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "own")
    marker = tmp_path / "it-ran"
    (folder / "modeling_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    change_json(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"], auto_map=auto_map)
    result = smoke(folder)
    assert (result.verdict, checks(result)) == (Verdict.SKIP, {"remote-code"})
    assert "modeling_own.py" in result.findings[0].evidence
    assert not marker.exists()
    trusted = smoke(folder, SmokeOptions(trust_remote_code=True, allow_random=True))
    assert marker.exists()
    assert (trusted.verdict, trusted.findings) == (Verdict.PASS, ())


ENDS = {
    "a crash": ("import ctypes; ctypes.string_at(0)", "killed"),
    "an abort": ("import os; os.abort()", "killed"),
    "a kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed"),
    "an end without a word": ("import os; os._exit(0)", "unfinished"),
    "more memory than there is": ("bytearray(1 << 46)", "memory"),
    "a flood": ("import sys\n    for _ in range(400): sys.stderr.write('x' * 65536)", None),
}


@pytest.mark.parametrize(("code", "check"), ENDS.values(), ids=list(ENDS))
def test_however_a_model_ends_its_process_there_is_a_verdict(code: str, check: str | None, tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "own")
    (folder / "modeling_own.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "def end():\n"
        f"    {code}\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
        "class OwnForCausalLM(LlamaForCausalLM):\n    config_class = OwnConfig\n"
        "    def forward(self, *values, **names):\n        end()\n        return super().forward(*values, **names)\n"
    )
    auto_map = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}
    change_json(folder / "config.json", model_type="own", architectures=["OwnForCausalLM"], auto_map=auto_map)
    result = smoke(folder, SmokeOptions(trust_remote_code=True, allow_random=True))
    assert checks(result) == ({check} if check else set())
    assert result.verdict is (Verdict.FAIL if check else Verdict.PASS)


LACKING = {
    "its tokenizer": ("tokenizer.json", "missing-files"),
    "its configuration": ("config.json", "missing-files"),
    "its weights": ("model.safetensors", "missing-files"),
}


@pytest.mark.parametrize(("name", "check"), LACKING.values(), ids=list(LACKING))
def test_a_model_without_a_file_that_it_needs_fails_by_the_name_of_the_file(
    name: str, check: str, tmp_path: Path
) -> None:
    folder = tiny("base", tmp_path / "base")
    (folder / name).unlink()
    result = smoke(folder)
    assert (result.verdict, checks(result)) == (Verdict.FAIL, {check})
    assert result.findings[0].evidence == {"missing": name}


def test_a_tokenizer_that_is_code_runs_only_with_consent(tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "own")
    marker = tmp_path / "it-ran"
    (folder / "tokenization_own.py").write_text(
        f"open({str(marker)!r}, 'w').close()\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class OwnTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    auto_map = {"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]}
    change_json(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=auto_map)
    result = smoke(folder)
    assert (result.verdict, checks(result)) == (Verdict.SKIP, {"remote-code"})
    assert list(result.findings[0].evidence) == ["tokenization_own.py"]
    assert not marker.exists()
    trusted = smoke(folder, SmokeOptions(trust_remote_code=True, allow_random=True))
    assert marker.exists()
    assert (trusted.verdict, trusted.findings) == (Verdict.PASS, ())


def test_a_model_that_is_said_to_fetch_a_kernel_fetches_none(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path / "kernel")
    change_json(folder / "config.json", attn_implementation="owner/kernel", experts_implementation="owner/kernel")
    result = smoke(folder, SmokeOptions(allow_random=True))
    assert result.verdict is Verdict.PASS
    assert result.facts.attention == "sdpa"


def test_a_pickle_that_holds_code_is_not_run(tmp_path: Path) -> None:
    folder = tiny("base", tmp_path / "pickled")
    marker = tmp_path / "it-ran"
    (folder / "model.safetensors").unlink()
    code = (
        "import os, sys, torch\n"
        "class Own:\n"
        "    def __reduce__(self):\n"
        "        return os.system, ('touch ' + sys.argv[2],)\n"
        "torch.save({'model.norm.weight': Own()}, sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-c", code, folder / "pytorch_model.bin", marker], check=True)
    result = smoke(folder)
    assert result.verdict is Verdict.FAIL
    assert "unsafe-pickle" in checks(result)
    assert not marker.exists()


def test_a_device_that_is_not_there_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    result = smoke(tiny("base", tmp_path / "base"), SmokeOptions(device="cuda:97", allow_random=True))
    assert (result.verdict, checks(result)) == (Verdict.FAIL, {"no-device"})


def test_memory_that_torch_is_refused_is_named_and_ends_nothing_else(tmp_path: Path) -> None:
    code = (
        "import torch\n"
        "from modelfetch.model.child import memory\n"
        "memory.cap(memory.data_bytes() + (512 << 20))\n"
        "try:\n"
        "    torch.ones(16 << 30, dtype=torch.uint8)\n"
        "except Exception as error:\n"
        "    print(memory.shortage(error, 'cpu', 16 << 30, 'load').needed_bytes)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 16 << 30


def test_weights_that_a_backend_packs_in_a_class_of_its_own_are_looked_at_unpacked() -> None:
    code = (
        "import torch\n"
        "from modelfetch.smoketest.child.weights import scan\n"
        "class Packed(torch.nn.Parameter):\n"
        "    def reshape(self, *shape):\n        raise NotImplementedError\n"
        "    def dequantize(self):\n        return self.data.as_subclass(torch.Tensor)\n"
        "model = torch.nn.Linear(80, 80, bias=False)\n"
        "weight = torch.ones(80, 80)\n"
        "weight[40:] = 0\n"
        "model.weight = Packed(weight)\n"
        "print(scan(model).zero_rows[0].zero_rows)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stdout) == 40


def test_a_time_limit_that_is_too_short_is_named_with_what_was_being_done(tmp_path: Path) -> None:
    result = smoke(tiny("base", tmp_path / "base"), SmokeOptions(timeout_s=0.5))
    assert (result.verdict, checks(result)) == (Verdict.FAIL, {"timeout"})


def eight_billion(folder: Path, *, layers: int = 32) -> Path:
    """The headers of a model of eight billion weights, which take 16 GB, in a file that takes none; 32 layers."""
    hidden, feed_forward, vocabulary, keys = 4096, 14336, 128256, 1024
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "lm_head.weight": [vocabulary, hidden]}
    for number in range(32):
        layer = f"model.layers.{number}"
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": [hidden, hidden] for name in "qo"}
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": [keys, hidden] for name in "kv"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": [feed_forward, hidden] for name in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj.weight"] = [hidden, feed_forward]
        shapes |= {f"{layer}.{name}_layernorm.weight": [hidden] for name in ("input", "post_attention")}
    shapes["model.norm.weight"] = [hidden]
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    folder.mkdir()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        file.truncate(8 + len(encoded) + end)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "vocab_size": vocabulary,
        "intermediate_size": feed_forward, "num_hidden_layers": layers, "num_attention_heads": 32,
        "num_key_value_heads": 8, "tie_word_embeddings": False,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    # No token is made at these levels.
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_the_structure_of_eight_billion_weights_is_judged_without_reading_any(tmp_path: Path) -> None:
    result = smoke(eight_billion(tmp_path / "whole"), SmokeOptions(level=Level.STRUCTURE))
    assert (result.verdict, result.findings) == (Verdict.PASS, ())
    assert result.facts.parameters == 8_030_261_248
    shorter = smoke(eight_billion(tmp_path / "shorter", layers=31), SmokeOptions(level=Level.STRUCTURE))
    assert (shorter.verdict, checks(shorter)) == (Verdict.FAIL, {"unexpected-weights"})


def test_a_plan_counts_without_reading_weights(tmp_path: Path) -> None:
    plan = fit(eight_billion(tmp_path / "large"), SmokeOptions(device="cpu", dtype="bfloat16", max_new_tokens=512))
    found = plan.placed or plan.short[0]
    assert found.need is not None
    # The header of the file counts as stored, too.
    assert 0 <= found.need.weights_bytes - 16_060_522_496 < 100_000
    # 2 (keys, values) x 32 layers x 8 heads x 128 numbers x 2 bytes x 1024 tokens
    assert found.need.cache_bytes == 134_217_728
    assert plan.fits is (found.available_bytes is not None and found.need.total_bytes <= found.available_bytes)


def test_a_test_that_ends_after_loading_exercises_nothing(tmp_path: Path) -> None:
    result = smoke(tiny("base", tmp_path / "base"), SmokeOptions(level=Level.LOAD, allow_random=True))
    assert (result.verdict, result.findings, result.spoken) == (Verdict.PASS, (), None)
    assert result.facts.peak_process_bytes


def test_weights_that_are_packed_have_no_structure_before_they_are_loaded(tmp_path: Path) -> None:
    (tmp_path / smollm2_gguf().name).symlink_to(smollm2_gguf())
    result = smoke(tmp_path, SmokeOptions(level=Level.STRUCTURE))
    assert (result.verdict, checks(result)) == (Verdict.SKIP, {"not-exercised"})
    assert result.findings[0].hint == "--level load"
