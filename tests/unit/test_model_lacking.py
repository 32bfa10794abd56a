"""What is absent from a folder, and what lies there in a model's place, from the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from modelfetch.model.contents import ModelFolder, NotExercised
from modelfetch.model.headers import Tensor
from modelfetch.model.lacking import foreign_config, instead_of_config, lacking_ears, lacking_weights, lacking_words

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
ADAPTER = {"adapter_config.json": {"base_model_name_or_path": "owner/base"}}


def folder(*paths: str, **documents: Any) -> ModelFolder:
    """Files of these names, and JSON files by the names they have with their point left out."""
    read = {f"{name}.json": document for name, document in documents.items()}
    headers = {path: (Tensor("a", "F32", (1,), 4),) for path in paths if path.endswith(".safetensors")}
    return ModelFolder("owner/name", dict.fromkeys([*read, *paths], 100), read, headers)


INSTEAD = {
    "nothing but words": (folder("README.md"), "not-exercised", "no config.json"),
    "a data set": (folder("README.md", "data/train-00000-of-00001.parquet"), "not-exercised", "data set"),
    "compressed data": (folder("train.jsonl.gz"), "not-exercised", "data set"),
    "a pipeline": (folder("unet/model.safetensors", model_index={"_class_name": "P"}), "not-exercised", "diffusers"),
    "an adapter": (folder("adapter_model.safetensors", adapter_config={}), "not-exercised", "`its base model`"),
    "static vectors": (folder("modules.json", "0_Static/model.safetensors"), "not-exercised", "sentence-transformers"),
    "a model one folder down": (folder("checkpoint-500/config.json"), "not-exercised", "inside of this one"),
    "ONNX alone": (folder("onnx/model.onnx"), "not-exercised", "ONNX"),
    "its authors' layout": (folder("consolidated.safetensors", "params.json"), "not-exercised", "its authors"),
    "weights": (folder("model.safetensors", "tokenizer.json"), "missing-files", "no config.json"),
    "pickled weights": (folder("pytorch_model.bin"), "missing-files", "no config.json"),
    "an index": (folder("model.safetensors.index.json"), "missing-files", "no config.json"),
    "what training leaves": (folder("optimizer.pt", "rng_state.pth"), "not-exercised", "no config.json"),
}


@pytest.mark.parametrize(("here", "check", "said"), INSTEAD.values(), ids=list(INSTEAD))
def test_what_stands_in_the_place_of_a_model_is_named(here: ModelFolder, check: str, said: str) -> None:
    why = instead_of_config(here)
    assert why.check == check
    assert said in why.reason


def test_an_adapter_names_its_base_with_or_without_a_configuration() -> None:
    alone = instead_of_config(folder("adapter_model.safetensors", adapter_config=ADAPTER["adapter_config.json"]))
    beside = lacking_weights(
        folder("adapter_model.safetensors", config=CONFIG, adapter_config=ADAPTER["adapter_config.json"])
    )
    assert alone == beside
    assert "`owner/base`" in alone.reason
    assert alone.evidence == {"base": "owner/base"}


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.30"}, "diffusers"),
        ({"architecture": "resnet50", "pretrained_cfg": {}}, "timm"),
    ],
)
def test_a_configuration_that_another_library_wrote_is_named(config: Mapping[str, Any], said: str) -> None:
    why = foreign_config(folder(config=config))
    assert why is not None
    assert said in why.reason
    assert foreign_config(folder(config=CONFIG)) is None


WEIGHTLESS = {
    "none at all": ((), "missing-files", "model.safetensors"),
    "parts without their index": (("model-00001-of-00002.safetensors",), "missing-files", "model.safetensors.index"),
    "pickled parts without it": (("pytorch_model-00001-of-00002.bin",), "missing-files", "pytorch_model.bin.index"),
    "a name that nobody looks for": (("weights.safetensors",), "missing-files", "model.safetensors"),
    "OpenVINO": (("openvino_model.xml", "openvino_model.bin"), "not-exercised", "openvino_model.xml"),
    "Flax": (("flax_model.msgpack",), "not-exercised", "flax_model.msgpack"),
    "TensorFlow": (("tf_model.h5",), "not-exercised", "tf_model.h5"),
    "Core ML": (("model.mlpackage/Manifest.json",), "not-exercised", "model.mlpackage/Manifest.json"),
    "its authors' layout": (("consolidated.00.pth",), "not-exercised", "consolidated.00.pth"),
}


@pytest.mark.parametrize(("paths", "check", "named"), WEIGHTLESS.values(), ids=list(WEIGHTLESS))
def test_weights_that_would_not_be_found_are_named(paths: tuple[str, ...], check: str, named: str) -> None:
    why = lacking_weights(folder(*paths, config=CONFIG))
    assert why is not None
    assert why.check == check
    assert named in " ".join(why.evidence.values())
    assert why.hint


@pytest.mark.parametrize(
    "here",
    [
        folder("model.safetensors", config=CONFIG),
        folder("model-00001-of-00001.safetensors", "model.safetensors.index.json", config=CONFIG),
        folder("pytorch_model.bin", config=CONFIG),
        folder("own.safetensors", config=CONFIG | {"transformers_weights": "own.safetensors"}),
        folder("model.safetensors", config=CONFIG, adapter_config={}),
    ],
    ids=["one file", "several", "pickled", "named by the configuration", "beside an adapter"],
)
def test_weights_that_transformers_finds_lack_nothing(here: ModelFolder) -> None:
    assert lacking_weights(here) is None


@pytest.mark.parametrize("absent", [(), ("tokenizer_config.json", "special_tokens_map.json"), ("sub/tokenizer.json",)])
def test_a_model_without_anything_that_makes_tokens_lacks_its_tokenizer(absent: tuple[str, ...]) -> None:
    why = lacking_words(folder(*absent, config=CONFIG))
    assert why is not None
    assert (why.check, why.evidence) == ("missing-files", {"missing": "tokenizer.json"})


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model"),
        *("source.spm", "tekken.json", "qwen.tiktoken", "bpe.codes", "dict.txt", "vocab-src.json", "entity_vocab.json"),
    ],
)
def test_each_form_of_a_tokenizer_will_do(name: str) -> None:
    assert lacking_words(folder(name, config=CONFIG)) is None


@pytest.mark.parametrize(
    "here",
    [
        folder(config={"model_type": "canine"}),
        folder(config={"model_type": "t5"}, tokenizer_config={"tokenizer_class": "ByT5Tokenizer"}),
        folder(config=CONFIG, tokenizer_config={"auto_map": {"AutoTokenizer": ["own.Own", None]}}),
    ],
    ids=["code points", "bytes", "code of its own"],
)
def test_a_tokenizer_that_needs_no_file_is_not_missed(here: ModelFolder) -> None:
    assert lacking_words(here) is None


def test_a_model_of_speech_needs_to_be_told_how_sound_is_given_to_it() -> None:
    why = lacking_ears(folder("tokenizer.json", config=CONFIG))
    assert isinstance(why, NotExercised)
    assert why.evidence == {"missing": "preprocessor_config.json"}
    for name in ("preprocessor_config.json", "processor_config.json"):
        assert lacking_ears(folder(name, config=CONFIG)) is None
