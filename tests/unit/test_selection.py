"""Which files a pull brings, on listings as the hubs have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.errors import NotFoundError, UsageError
from modelfetch.manifest import Entry
from modelfetch.selection import PREFERRED_QUANTS, Selection, select

GB = 1_000_000_000


def entries(*paths: str, sizes: Mapping[str, int] | None = None) -> list[Entry]:
    return [Entry(path, (sizes or {}).get(path, 1000)) for path in paths]


def shards(pattern: str, count: int) -> list[str]:
    return [pattern.format(f"{number:05}-of-{count:05}") for number in range(1, count + 1)]


def chosen(selection: Selection) -> set[str]:
    return {entry.path for entry in selection.chosen}


def left(selection: Selection) -> set[str]:
    return {entry.path for entry in selection.left}


@dataclass(frozen=True)
class Listing:
    """A repository as it is on a hub: what comes, what is left, and the quantisation that is taken."""

    comes: Sequence[str]
    stays: Sequence[str] = ()
    quant: str | None = None


CARD = (".gitattributes", "README.md", "LICENSE")
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt")
CONFIG = ("config.json", "generation_config.json")

LISTINGS = {
    "Qwen3 in shards, with the same again as .bin": Listing(
        [*CARD, *CONFIG, *TOKENIZER, *shards("model-{}.safetensors", 5), "model.safetensors.index.json"],
        [*shards("pytorch_model-{}.bin", 7), "pytorch_model.bin.index.json"],
    ),
    "gpt-oss": Listing(
        [*CARD, *CONFIG, "chat_template.jinja", "tokenizer.json", *shards("model-{}.safetensors", 3)],
        [
            "original/config.json",
            "original/dtypes.json",
            "original/model.safetensors",
            "metal/model.bin",
        ],
    ),
    "Llama 3": Listing(
        [*CARD, *CONFIG, "USE_POLICY.md", *shards("model-{}.safetensors", 4), "model.safetensors.index.json"],
        ["original/consolidated.00.pth", "original/params.json", "original/tokenizer.model"],
    ),
    "Mistral": Listing(
        [*CARD, *CONFIG, "params.json", "tekken.json", "tokenizer.model", *shards("model-{}.safetensors", 3)],
        ["consolidated.safetensors"],
    ),
    "Mistral in many consolidated shards": Listing(
        [*CONFIG, "params.json", *shards("model-{}.safetensors", 3)],
        [*shards("consolidated-{}.safetensors", 3), "consolidated.safetensors.index.json"],
    ),
    "Pixtral, in Mistral's own format only": Listing([*CARD, "params.json", "tekken.json", "consolidated.safetensors"]),
    "Llama 2 as Meta wrote it": Listing(
        [*CARD, "consolidated.00.pth", "consolidated.01.pth", "params.json", "tokenizer.model", "checklist.chk"]
    ),
    "sentence-transformers": Listing(
        [
            *CARD,
            *TOKENIZER,
            "config.json",
            "modules.json",
            "config_sentence_transformers.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json",
            "model.safetensors",
            "train_script.py",
            "data_config.json",
        ],
        [
            "pytorch_model.bin",
            "tf_model.h5",
            "rust_model.ot",
            "onnx/model.onnx",
            "onnx/model_O4.onnx",
            "onnx/model_qint8_avx512.onnx",
            "openvino/openvino_model.bin",
            "openvino/openvino_model.xml",
        ],
    ),
    "sentence-transformers whose dense layer is a pickle": Listing(
        ["model.safetensors", "2_Dense/config.json", "2_Dense/pytorch_model.bin", "3_Dense/model.safetensors"],
        ["pytorch_model.bin", "3_Dense/pytorch_model.bin"],
    ),
    "Whisper": Listing(
        [*CARD, *CONFIG, "normalizer.json", "preprocessor_config.json", "model.safetensors"],
        ["pytorch_model.bin", "flax_model.msgpack", "tf_model.h5"],
    ),
    "Whisper large v3, also in float32": Listing(
        [
            "config.json",
            "model.safetensors",
            *shards("model.fp32-{}.safetensors", 2),
            "model.safetensors.index.fp32.json",
            "pytorch_model.bin.index.fp32.json",
        ],
        ["pytorch_model.bin", *shards("pytorch_model.fp32-{}.bin", 2), "flax_model.msgpack"],
    ),
    "BERT of old, without safetensors": Listing(
        [*CARD, "config.json", "vocab.txt", "pytorch_model.bin"],
        [
            "tf_model.h5",
            "flax_model.msgpack",
            "rust_model.ot",
            "bert_model.ckpt.index",
            "bert_model.ckpt.meta",
            "bert_model.ckpt.data-00000-of-00001",
            "coreml/fill-mask/float32_model.mlpackage/Data/weights.bin",
            "Model.mlpackage/Manifest.json",
            "Model.mlmodelc/weights/weight.bin",
            "model.onnx",
            "model.onnx_data",
            "model.onnx.data",
            "model.tflite",
        ],
    ),
    "diffusers, one folder with .bin only": Listing(
        [
            *CARD,
            "model_index.json",
            "scheduler/scheduler_config.json",
            "tokenizer/vocab.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "vae/diffusion_pytorch_model.safetensors",
            "text_encoder/model.safetensors",
            "safety_checker/pytorch_model.bin",
            "v1-5-pruned.safetensors",
        ],
        [
            "unet/diffusion_pytorch_model.bin",
            "unet/diffusion_pytorch_model.fp16.bin",
            "vae/diffusion_pytorch_model.bin",
            "vae/diffusion_flax_model.msgpack",
            "text_encoder/pytorch_model.bin",
            "text_encoder/model.onnx",
            "v1-5-pruned.ckpt",
        ],
    ),
    "weights that load beside safetensors that are something else": Listing(
        ["config.json", "pytorch_model.bin", "learned_embeds.safetensors", "adapter_model.safetensors"]
    ),
    "the plain weights are pickled, another variant is not": Listing(
        ["config.json", "pytorch_model.bin", "model.fp16.safetensors"], ["pytorch_model.fp16.bin"]
    ),
    "an adapter": Listing(["adapter_config.json", "adapter_model.safetensors"], ["adapter_model.bin"]),
    "only ONNX": Listing(
        ["config.json", "tokenizer.json", "onnx/model.onnx", "onnx/model_fp16.onnx", "onnx/model.onnx_data"]
    ),
    "only OpenVINO": Listing(["config.json", "openvino_model.bin", "openvino_model.xml"]),
    "only TensorFlow": Listing(["config.json", "tf_model.h5"]),
    "only a checkpoint of PyTorch": Listing(["README.md", "sam_vit_h.pth", "config.yaml"]),
    "a checkpoint for ctranslate2": Listing(["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"]),
    "nothing but a card": Listing(["README.md"]),
    "ten quants, some by importance, some by unsloth": Listing(
        ["README.md", "config.json", "Qwen3-8B-Q4_K_M.gguf"],
        [
            "Qwen3-8B-BF16.gguf",
            "Qwen3-8B-IQ4_NL.gguf",
            "Qwen3-8B-IQ4_XS.gguf",
            "Qwen3-8B-Q2_K.gguf",
            "Qwen3-8B-Q2_K_L.gguf",
            "Qwen3-8B-Q8_0.gguf",
            "Qwen3-8B-UD-IQ1_S.gguf",
            "Qwen3-8B-UD-IQ2_XXS.gguf",
            "Qwen3-8B-UD-Q4_K_XL.gguf",
        ],
        "Q4_K_M",
    ),
    "split files in folders, and the importance matrix": Listing(
        ["README.md", *(f"UD-Q4_K_XL/{name}" for name in shards("DeepSeek-R1-UD-Q4_K_XL-{}.gguf", 9))],
        [
            *(f"BF16/{name}" for name in shards("DeepSeek-R1-BF16-{}.gguf", 30)),
            *(f"UD-IQ1_S/{name}" for name in shards("DeepSeek-R1-UD-IQ1_S-{}.gguf", 3)),
            "imatrix.gguf",
        ],
        "UD-Q4_K_XL",
    ),
    "parts that have to be joined": Listing(
        ["Big.Q4_K_M.gguf.part1of2", "Big.Q4_K_M.gguf.part2of2"],
        ["Big.Q2_K.gguf", "Big.Q8_0.gguf-split-a", "Big.Q8_0.gguf-split-b", "Big.i1-IQ3_S.gguf"],
        "Q4_K_M",
    ),
    "only quants that nobody prefers": Listing(
        ["m-Q3_K_L.gguf"], ["m-IQ1_M.gguf", "m-Q2_K.gguf", "m-TQ1_0.gguf", "m-IQ3_XXS.gguf"], "Q3_K_L"
    ),
    "more bits rather than too few": Listing(["m-Q6_K.gguf"], ["m-Q3_K_L.gguf"], "Q6_K"),
    "a name that also tells what was quantised": Listing(
        ["merge-bf16.Q4_K_M.gguf"], ["merge-bf16.Q8_0.gguf"], "Q4_K_M"
    ),
    "a short name for the quant": Listing(
        ["Phi-3-mini-4k-instruct-q4.gguf"], ["Phi-3-mini-4k-instruct-fp16.gguf"], "Q4"
    ),
    "lower case with dots": Listing(
        ["qwen2.5-7b-q4_k_m.gguf"], ["qwen2.5-7b-fp16.gguf", "qwen2.5-7b-q8_0.gguf"], "Q4_K_M"
    ),
    "one GGUF file": Listing(["README.md", "gpt-oss-20b-mxfp4.gguf"]),
    "one GGUF file in shards": Listing(shards("model-Q8_0-{}.gguf", 4)),
    "several GGUF files that are not the same weights": Listing(["encoder.gguf", "decoder.gguf"]),
    "vision: one projector comes with the weights": Listing(
        ["gemma-3-4b-it-Q4_K_M.gguf", "mmproj-F16.gguf"],
        ["gemma-3-4b-it-Q8_0.gguf", "mmproj-BF16.gguf", "mmproj-F32.gguf"],
        "Q4_K_M",
    ),
    "vision: the only projector comes whatever it is": Listing(
        ["llava-Q4_K_M.gguf", "llava-mmproj-Q4_1.gguf"], ["llava-Q8_0.gguf"], "Q4_K_M"
    ),
    "GGUF beside safetensors": Listing(
        ["config.json", "model.safetensors"], ["model-Q4_K_M.gguf", "model-Q8_0.gguf", "mmproj-model-f16.gguf"]
    ),
    "GGUF beside a pickle": Listing(["config.json", "pytorch_model.bin"], ["ggml-model-q4_0.gguf"]),
}


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS.keys())
def test_a_pull_brings_what_loads_once(listing: Listing) -> None:
    selection = select(entries(*listing.comes, *listing.stays))
    assert left(selection) == set(listing.stays)
    assert chosen(selection) == set(listing.comes)
    assert selection.quant == listing.quant


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS.keys())
def test_all_files_brings_everything(listing: Listing) -> None:
    selection = select(entries(*listing.comes, *listing.stays), all_files=True)
    assert chosen(selection) == {*listing.comes, *listing.stays}
    assert (selection.left, selection.quant) == ((), None)


def test_among_quants_of_as_many_bits_the_largest_is_taken() -> None:
    listing = entries(
        "m-IQ4_XS.gguf", "m-IQ4_NL.gguf", "m-Q6_K.gguf", sizes={"m-IQ4_NL.gguf": 5000, "m-Q6_K.gguf": 7000}
    )
    assert select(listing).quant == "IQ4_NL"


@pytest.mark.parametrize("position", range(len(PREFERRED_QUANTS)))
def test_the_first_preferred_quant_that_is_there_is_taken(position: int) -> None:
    there = PREFERRED_QUANTS[position:]
    selection = select(entries(*(f"m-{quant}.gguf" for quant in reversed(there)), "m-Q3_K_S.gguf"))
    assert selection.quant == there[0]
    assert chosen(selection) == {f"m-{there[0]}.gguf"}


QUANTS = [
    "Qwen3-8B-Q4_K_M.gguf",
    "Qwen3-8B-UD-Q4_K_XL.gguf",
    "Qwen3-8B-UD-IQ1_S.gguf",
    "Qwen3-8B-Q2_K.gguf",
    "Qwen3-8B-UD-Q2_K.gguf",
    "BF16/Qwen3-8B-BF16-00001-of-00002.gguf",
    "BF16/Qwen3-8B-BF16-00002-of-00002.gguf",
    "mmproj-F16.gguf",
    "config.json",
]


@pytest.mark.parametrize(
    ("quant", "files"),
    [
        ("Q4_K_M", ["Qwen3-8B-Q4_K_M.gguf"]),
        ("q4_k_m", ["Qwen3-8B-Q4_K_M.gguf"]),
        ("UD-Q4_K_XL", ["Qwen3-8B-UD-Q4_K_XL.gguf"]),
        ("Q4_K_XL", ["Qwen3-8B-UD-Q4_K_XL.gguf"]),
        ("UD-IQ1_S", ["Qwen3-8B-UD-IQ1_S.gguf"]),
        ("Q2_K", ["Qwen3-8B-Q2_K.gguf"]),
        ("UD-Q2_K", ["Qwen3-8B-UD-Q2_K.gguf"]),
        ("bf16", ["BF16/Qwen3-8B-BF16-00001-of-00002.gguf", "BF16/Qwen3-8B-BF16-00002-of-00002.gguf"]),
    ],
)
def test_the_quant_that_is_asked_for_comes_whole_and_with_its_projector(quant: str, files: list[str]) -> None:
    selection = select(entries(*QUANTS), quant=quant)
    assert chosen(selection) == {*files, "mmproj-F16.gguf", "config.json"}
    assert selection.quant is None, "nothing was taken on the user's behalf"


def test_sixteen_bits_have_several_names() -> None:
    for quant in ("F16", "FP16", "BF16", "F32", "FP32"):
        listing = entries(f"m-{quant.lower()}.gguf", "m-q4_k_m.gguf")
        assert chosen(select(listing, quant=quant)) == {f"m-{quant.lower()}.gguf"}


def test_a_quant_is_taken_instead_of_safetensors() -> None:
    listing = entries("config.json", "model.safetensors", "pytorch_model.bin", "m-Q4_K_M.gguf", "m-Q8_0.gguf", "x.onnx")
    assert chosen(select(listing, quant="Q8_0")) == {"config.json", "m-Q8_0.gguf"}


@pytest.mark.parametrize("quant", ["Q5_K_M", "Q4_K", "UD-Q4_K_M", "F16"])
def test_a_quant_that_is_not_there_says_which_are(quant: str) -> None:
    with pytest.raises(NotFoundError, match=f"`{quant}`") as refused:
        select(entries(*QUANTS), quant=quant)
    assert refused.value.facts == {"there are": "BF16, Q2_K, Q4_K_M, UD-IQ1_S, UD-Q2_K, UD-Q4_K_XL"}
    assert refused.value.hint == "write OWNER/NAME:BF16"


def test_a_quant_where_there_is_no_gguf_says_so() -> None:
    with pytest.raises(NotFoundError) as refused:
        select(entries("model.safetensors"), quant="Q4_K_M")
    assert refused.value.facts == {"there are": "no GGUF files"}


@pytest.mark.parametrize("options", [{"include": ["*.json"]}, {"all_files": True}])
def test_a_quant_does_not_go_with_another_choice(options: dict[str, list[str] | bool]) -> None:
    with pytest.raises(UsageError, match=r"`:Q4_K_M` chooses the files, and so does --"):
        select(entries(*QUANTS), quant="Q4_K_M", **options)  # type: ignore[arg-type]  # one of two options


TREE = ["config.json", "a/model.safetensors", "a/pytorch_model.bin", "a/b/x.json", "ab/y.json"]


@pytest.mark.parametrize(
    ("include", "files"),
    [
        (["*.json"], ["config.json", "a/b/x.json", "ab/y.json"]),
        (["a/"], ["a/model.safetensors", "a/pytorch_model.bin", "a/b/x.json"]),
        (["a/*"], ["a/model.safetensors", "a/pytorch_model.bin", "a/b/x.json"]),
        (["config.json", "*.bin"], ["config.json", "a/pytorch_model.bin"]),
        (["?onfig.[jk]son"], ["config.json"]),
    ],
)
def test_include_names_exactly_what_comes(include: list[str], files: list[str]) -> None:
    selection = select(entries(*TREE), include=include)
    assert chosen(selection) == set(files)
    assert selection.left == ()


@pytest.mark.parametrize("pattern", ["*.gguf", "Config.json", "b/", "a"])
def test_a_pattern_that_matches_nothing_is_an_error_that_shows_some_files(pattern: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        select(entries(*TREE), include=["config.json", pattern])
    assert refused.value.message == f"no file matches `{pattern}`"
    assert refused.value.facts == {
        "files": "5, such as config.json, a/model.safetensors, a/pytorch_model.bin and 2 more"
    }


@pytest.mark.parametrize(
    ("options", "files"),
    [
        ({}, ["a/b/x.json", "ab/y.json", "a/model.safetensors"]),
        ({"include": ["*.json"]}, ["a/b/x.json", "ab/y.json"]),
        ({"all_files": True}, ["a/b/x.json", "ab/y.json", "a/model.safetensors", "a/pytorch_model.bin"]),
    ],
)
def test_exclude_takes_away_from_any_choice(options: dict[str, list[str] | bool], files: list[str]) -> None:
    selection = select(entries(*TREE), exclude=["config.json"], **options)  # type: ignore[arg-type]  # a few options
    assert chosen(selection) == set(files)


def test_what_is_excluded_is_not_there_to_choose() -> None:
    assert "a/pytorch_model.bin" in chosen(select(entries(*TREE), exclude=["*.safetensors"]))
    assert select(entries("m-Q4_K_M.gguf", "m-Q8_0.gguf"), exclude=["*Q4*"]).quant is None
    with pytest.raises(NotFoundError):
        select(entries("m-Q4_K_M.gguf", "m-Q8_0.gguf"), exclude=["*Q4*"], quant="Q4_K_M")


@pytest.mark.parametrize(
    ("include", "exclude", "facts"),
    [
        ([], ["*"], {"exclude": "*", "files": 1}),
        (["*.json"], ["config*", "b"], {"include": "*.json", "exclude": "config*, b", "files": 1}),
    ],
)
def test_when_nothing_is_left_the_patterns_are_shown(
    include: list[str], exclude: list[str], facts: dict[str, object]
) -> None:
    with pytest.raises(NotFoundError, match="nothing is left to pull") as refused:
        select(entries("config.json"), include=include, exclude=exclude)
    assert refused.value.facts == facts


def test_an_empty_repository_has_nothing_to_pull() -> None:
    with pytest.raises(NotFoundError, match="nothing is left"):
        select([])


PATHS = st.lists(
    st.builds(
        lambda folder, name, extension: folder + name + extension,
        st.sampled_from(["", "onnx/", "unet/", "original/", "Q4_K_M/"]),
        st.sampled_from(
            ["model", "pytorch_model", "m-Q4_K_M", "m-UD-IQ1_S", "m-Q8_0-00001-of-00002", "mmproj-F16", "x"]
        ),
        st.sampled_from([".safetensors", ".bin", ".gguf", ".gguf.part1of2", ".json", ".onnx", ".ckpt", ".py"]),
    ),
    min_size=1,
    max_size=12,
    unique=True,
)


@given(PATHS)
def test_every_file_comes_or_is_left_and_weights_are_never_left_without_others(paths: list[str]) -> None:
    selection = select(entries(*paths))
    assert chosen(selection) | left(selection) == set(paths)
    assert not chosen(selection) & left(selection)
    assert [entry.path for entry in selection.chosen] == [path for path in paths if path in chosen(selection)]
    weights = (".safetensors", ".bin", ".gguf", ".part1of2", ".onnx", ".ckpt")
    if left(selection):
        assert any(path.endswith(weights) for path in chosen(selection))


def test_a_user_is_told_what_was_left_and_what_that_saved() -> None:
    sizes = {"pytorch_model.bin": 2 * GB, "tf_model.h5": GB}
    notes = select(entries("model.safetensors", "pytorch_model.bin", "tf_model.h5", sizes=sizes)).notes()
    assert notes == ("left 2 files that repeat the weights: 3.0 GB saved (--all-files brings all)",)


def test_one_file_is_not_told_as_many() -> None:
    notes = select(entries("model.safetensors", "pytorch_model.bin")).notes()
    assert notes == ("left 1 file that repeats the weights: 1.0 kB saved (--all-files brings all)",)


def test_a_user_is_told_which_quant_was_taken_which_code_comes_and_what_is_pickled() -> None:
    code = [f"m{number}.py" for number in range(5)]
    notes = select(entries("m-Q4_K_M.gguf", "m-Q8_0.gguf", *code, "rng.pt", "training_args.bin")).notes()
    assert notes == (
        "left 1 file that repeats the weights: 1.0 kB saved (--all-files brings all)",
        "took the Q4_K_M of several GGUF files (name another as OWNER/NAME:QUANT)",
        "comes with code (m0.py, m1.py, m2.py and 2 more); it runs only if you say --trust-remote-code",
        "pickled files can run code when loaded: rng.pt, training_args.bin",
    )


def test_there_is_nothing_to_say_of_a_plain_model() -> None:
    assert select(entries("config.json", "model.safetensors")).notes() == ()
