"""Real and tiny models through inspect's child; transformers itself, in a process of its own, is the oracle."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelfetch.cli import run
from modelfetch.errors import SmokeError, UsageError
from modelfetch.inspection import Answers, Permission, Questions, ask, inspect
from tests.models import OTHER_KINDS, TINY_KINDS, minilm_folder, smollm2_folder, smollm2_gguf, tiny

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

TEXT = "the bakery opens"
TEXTS = ("the bakery opens", "the smell of bread", "sunrise on the square")
HOSTILE = {
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": "still being rendered",
    "{{ 'a' * 100000000000 }}": "MemoryError",
    "{{ cycler.__init__.__globals__.os.system('touch owned') }}": "SecurityError",
    "{% if": "TemplateSyntaxError",
    "{{ raise_exception('no') }}": "no",
}
# As sentencepiece's models are written: a space has a sign of its own, a byte that is in no piece has a piece.
SENTENCEPIECE: dict[str, Any] = {
    "version": "1.0",
    "added_tokens": [],
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
        ],
    },
    "model": {
        "type": "BPE",
        "byte_fallback": True,
        "vocab": {"a": 0, "\u2581": 1, "#": 2, "##": 3, "<0xC3>": 4, "<0xA4>": 5},
        "merges": [["#", "#"]],
    },
}
_ORACLE = """
import json, sys
import torch, transformers
root, kinds = sys.argv[1], json.loads(sys.argv[2])
told = {}
for kind in kinds:
    folder = f"{root}/{kind}"
    config = transformers.AutoConfig.from_pretrained(folder)
    model = getattr(transformers, config.architectures[0]).from_pretrained(folder).eval()
    told[kind] = {"parameters": model.num_parameters()}
    if kind == "experts":
        unused = [each.numel() for name, each in model.named_parameters() if ".experts." in name]
        share = config.num_experts_per_tok / config.num_experts
        told[kind]["active"] = round(model.num_parameters() - sum(unused) * (1 - share))
    if kind in {"chat", "experts", "seq2seq"}:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        inputs = tokenizer(sys.argv[3], return_tensors="pt")
        if kind == "seq2seq":
            inputs["decoder_input_ids"] = torch.tensor([[config.decoder_start_token_id]])
        with torch.no_grad():
            best = model(**inputs).logits[0, -1].softmax(-1).topk(5)
        told[kind]["next"] = list(zip(best.indices.tolist(), best.values.tolist()))
    if kind in {"embedding", "encoder"}:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        vectors = []
        for text in json.loads(sys.argv[4]):
            with torch.no_grad():
                states = model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
            vectors.append(states[0] if kind == "embedding" else states.mean(0))
        told[kind]["cosines"] = [[float(torch.cosine_similarity(a, b, dim=0)) for b in vectors] for a in vectors]
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Known:
    """The tiny models, and what transformers says of each."""

    root: Path
    told: dict[str, Any]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    root = tmp_path_factory.mktemp("tiny")
    kinds = (*TINY_KINDS, *OTHER_KINDS)
    for kind in kinds:
        tiny(kind, root / kind)
    command = [sys.executable, "-W", "ignore", "-c", _ORACLE, str(root), json.dumps(kinds), TEXT, json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Known(root, json.loads(done.stdout))


def asked(folder: Path, **questions: Any) -> Answers:
    return ask(inspect(folder), Questions(**questions), Permission(device="cpu"))


def test_parameters_are_counted_from_headers_as_transformers_counts_them(known: Known) -> None:
    counted = {}
    for kind in known.told:
        architecture = inspect(known.root / kind).architecture
        assert architecture is not None
        counted[kind] = architecture.parameters
    assert counted == {kind: told["parameters"] for kind, told in known.told.items()}


def test_of_experts_those_count_as_active_that_one_token_goes_through(known: Known) -> None:
    architecture = inspect(known.root / "experts").architecture
    assert architecture is not None
    assert architecture.active_parameters == known.told["experts"]["active"] < architecture.parameters


@pytest.mark.parametrize("kind", ["chat", "experts", "seq2seq"])
def test_the_next_tokens_are_those_of_a_plain_forward_pass(kind: str, known: Known) -> None:
    following = asked(known.root / kind, next=TEXT, top_k=5).next
    assert following is not None
    ids, probabilities = zip(*known.told[kind]["next"], strict=True)
    assert tuple(likely.token.id for likely in following.likeliest) == ids
    assert [likely.probability for likely in following.likeliest] == pytest.approx(probabilities, rel=1e-4)


@pytest.mark.parametrize(("kind", "pooling"), [("embedding", "cls"), ("encoder", "mean")])
def test_texts_are_pooled_as_the_model_says_and_by_their_mean_otherwise(kind: str, pooling: str, known: Known) -> None:
    vectors = asked(known.root / kind, embed=TEXTS).vectors
    assert vectors is not None
    assert vectors.pooling == pooling
    assert bool(vectors.notes) == (kind == "encoder")
    for cosines, told in zip(vectors.cosines, known.told[kind]["cosines"], strict=True):
        assert cosines == pytest.approx(told, abs=1e-4)


def test_sentences_of_one_subject_are_nearer_than_others_and_long_ones_are_cut() -> None:
    texts = ("A man is playing a guitar.", "Somebody performs music.", "The stock market fell. " * 80)
    vectors = asked(minilm_folder(), embed=texts).vectors
    assert vectors is not None
    assert vectors.cosines[0][1] > 0.5 > vectors.cosines[0][2]
    assert vectors.notes == ("text 3 was cut to 256 of its 402 tokens, as its files say",)


def test_a_word_has_another_vector_in_another_sense() -> None:
    texts = ("We sat down on the river bank.", "The bank gave him a loan.", "The Bank lends money; no banker did.")
    vectors = asked(minilm_folder(), embed=texts, word="bank").vectors
    assert vectors is not None
    assert [place.text for place in vectors.occurrences] == [0, 1, 2]
    assert vectors.cosines[1][2] > vectors.cosines[0][1]


def test_a_real_model_says_paris_takes_text_apart_and_renders_its_template(tmp_path: Path) -> None:
    text = "Hello 世界 👋🏽 naïve\n"
    answers = asked(
        smollm2_folder(tmp_path), next="The capital of France is", tokens=(text,), vocabulary="Par?s", template=True
    )
    assert answers.next is not None
    assert answers.next.likeliest[0].token.text == " Paris"
    (tokenized,) = answers.tokenized
    assert bytes.fromhex("".join(token.bytes for token in tokenized.tokens)).decode() == tokenized.decoded == text
    assert tokenized.same
    assert answers.vocabulary is not None
    assert {token.text.strip() for token in answers.vocabulary.tokens} >= {"Paris"}
    assert answers.rendered is not None
    assert answers.rendered.default is not None
    assert answers.rendered.default.endswith("And of Italy?<|im_end|>\n<|im_start|>assistant\n")


def test_pieces_are_read_as_their_tokenizer_means_them(tmp_path: Path) -> None:
    words = asked(minilm_folder(), tokens=("Tokenization",)).tokenized[0]
    assert [(token.piece, token.text) for token in words.tokens[1:-1]] == [("token", "token"), ("##ization", "ization")]
    assert not words.same
    (tmp_path / "tokenizer.json").write_text(json.dumps(SENTENCEPIECE), encoding="utf-8")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    signs = asked(tmp_path, tokens=("a ## \u00e4",)).tokenized[0]
    assert [token.piece for token in signs.tokens] == ["a", "\u2581", "##", "\u2581", "<0xC3>", "<0xA4>"]
    assert [token.bytes for token in signs.tokens] == ["61", "20", "2323", "20", "c3", "a4"]
    assert signs.same


def test_a_gguf_has_a_tokenizer_too(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").symlink_to(smollm2_gguf())
    (tokenized,) = asked(tmp_path, tokens=("Hello 世界",)).tokenized
    assert tokenized.same
    assert len(tokenized.tokens) == 7


def test_a_mask_is_filled(tmp_path: Path) -> None:
    folder = tiny("masked", tmp_path)
    following = asked(folder, next="the <mask> opens", top_k=3).next
    assert following is not None
    assert (following.position, len(following.likeliest)) == ("the mask", 3)
    with pytest.raises(UsageError, match="put `<mask>` into the text once"):
        asked(folder, next="the bakery opens")


@pytest.mark.parametrize("template", HOSTILE)
def test_a_template_gets_neither_out_of_its_sandbox_nor_on_for_ever(template: str, tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    rendered = asked(folder, template=True).rendered
    assert rendered is not None
    assert rendered.error is not None
    assert HOSTILE[template] in rendered.error
    assert not list(tmp_path.rglob("owned"))


def test_thinking_is_rendered_on_and_off_where_the_template_knows_it(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path)
    template = "{{ messages[0].content }}{% if enable_thinking is defined and enable_thinking %}<think>{% endif %}"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    rendered = asked(folder, template=True).rendered
    assert rendered is not None
    assert rendered.thinking_on == f"{rendered.thinking_off}<think>"
    assert rendered.default == rendered.thinking_off


def test_code_of_a_tokenizer_does_not_run_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tiny("chat", tmp_path / "model")
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}
    (folder / "config.json").write_text(json.dumps(own), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(
        '{"auto_map": {"AutoTokenizer": ["own.Own", null]}}', encoding="utf-8"
    )
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    assert run(["inspect", str(folder), "--tokens", "a"]) == 2
    error = capsys.readouterr().err
    assert "own.py" in error
    assert "--trust-remote-code" in error
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("kind", "questions", "said"),
    [
        ("classifier", {"next": "a"}, "gives no token a probability"),
        ("image_classifier", {"embed": ("a", "b")}, "no tokenizer"),
        ("speech", {"embed": ("a", "b")}, "reads no text"),
        ("chat", {"embed": ("a bakery", "no such word"), "word": "bakery"}, "stands only once in the texts"),
    ],
)
def test_what_a_model_cannot_be_asked_is_said(kind: str, questions: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=said):
        asked(tiny(kind, tmp_path), **questions)


def test_random_numbers_never_answer_in_the_place_of_weights(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3, "layer_types": None}), "utf-8")
    with pytest.raises(SmokeError, match=r"failed while loading its weights: \d+ of its weights are not in the files"):
        asked(folder, next=TEXT)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(SmokeError, match="gave no answer in"):
        ask(inspect(tiny("chat", tmp_path)), Questions(tokens=("a",)), Permission(timeout_s=0.01))


def test_a_tokenizer_that_cannot_be_read_is_an_error_of_the_model(tmp_path: Path) -> None:
    folder = tiny("chat", tmp_path)
    (folder / "tokenizer.json").write_text('{"model": 3}', encoding="utf-8")
    with pytest.raises(SmokeError, match="failed while loading its tokenizer"):
        asked(folder, tokens=("a",))
