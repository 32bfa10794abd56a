"""`tiny_models TARGET`: one folder for each kind of model, tiny and with random weights, by transformers' own classes.

Run in a process of its own by `tests.models.tiny`: it imports torch.
"""

from __future__ import annotations

import json
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from modelfetch.smoketest.prompts import CHINESE

VOCABULARY = 400
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": VOCABULARY,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
SPECIAL = ["<unk>", "<s>", "</s>", "<pad>", "<mask>", "<|im_start|>", "<|im_end|>"]
SPANS = ["<extra_id_0>", "<extra_id_1>", "<extra_id_2>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(*, pair: bool = False, special: list[str] | None = None) -> Any:
    """A byte-level tokenizer that knows every byte and a few merges; `pair` puts markers round one text and two."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL + (special or []),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the bakery opens before sunrise and the smell of bread is on the square"], trainer)
    if pair:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
        cls_token="<s>",
        sep_token="</s>",
    )


def save(model: Any, tokenizer: Any, target: Path) -> None:
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def chat(target: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    config = transformers.Qwen3Config(**SIZES, num_key_value_heads=2, head_dim=8)
    save(transformers.Qwen3ForCausalLM(config), tokenizer, target)


def base(target: Path) -> None:
    config = transformers.LlamaConfig(**SIZES, num_key_value_heads=2)
    save(transformers.LlamaForCausalLM(config), make_tokenizer(), target)


def chinese(target: Path) -> None:
    """The only one that learned something: a paragraph, by heart, in a vocabulary of its characters."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([CHINESE.text, string.ascii_letters, string.punctuation, " "], trainer)
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>")
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, num_key_value_heads=2))
    ids = wrapped(CHINESE.text, return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
    save(model, wrapped, target)


def experts(target: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    config = transformers.Qwen3MoeConfig(
        **SIZES, num_key_value_heads=2, head_dim=8, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=16
    )
    save(transformers.Qwen3MoeForCausalLM(config), tokenizer, target)


def old_base(target: Path) -> None:
    config = transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2, pad_token_id=3
    )
    save(transformers.GPT2LMHeadModel(config), make_tokenizer(), target)


def spans(target: Path) -> None:
    config = transformers.T5Config(
        d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=VOCABULARY,
        decoder_start_token_id=3, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip
    save(transformers.T5ForConditionalGeneration(config), make_tokenizer(pair=True, special=SPANS), target)


def seq2seq(target: Path) -> None:
    config = transformers.BartConfig(
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4,
        encoder_ffn_dim=64, decoder_ffn_dim=64, vocab_size=VOCABULARY, bos_token_id=1, eos_token_id=2, pad_token_id=3,
        decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    save(transformers.BartForConditionalGeneration(config), make_tokenizer(pair=True), target)


def encoder_decoder_encoder(target: Path) -> None:
    config = transformers.T5Config(
        d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, vocab_size=VOCABULARY, eos_token_id=2, pad_token_id=3
    )
    save(transformers.T5EncoderModel(config), make_tokenizer(pair=True, special=SPANS), target)


def _bert(head: str, target: Path, **more: Any) -> None:
    config = transformers.BertConfig(**SIZES, max_position_embeddings=512, **more)
    save(getattr(transformers, head)(config), make_tokenizer(pair=True), target)


def masked(target: Path) -> None:
    _bert("BertForMaskedLM", target)


def encoder(target: Path) -> None:
    _bert("BertModel", target)


def embedding(target: Path) -> None:
    _bert("BertModel", target)
    (target / "1_Pooling").mkdir()
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ]
    (target / "modules.json").write_text(json.dumps(modules))
    (target / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))


def classifier(target: Path) -> None:
    _bert("BertForSequenceClassification", target, num_labels=3)


def classifier_without_norms(target: Path) -> None:
    """OLMo's norms have no weights, and there is no loss: its matrices alone show that nothing trained it."""
    config = transformers.OlmoConfig(**SIZES | {"hidden_size": 64}, num_labels=3)
    save(transformers.OlmoForSequenceClassification(config), make_tokenizer(pair=True), target)


def reranker(target: Path) -> None:
    _bert("BertForSequenceClassification", target, num_labels=1, sentence_transformers={"version": "5.0.0"})


def judge(target: Path) -> None:
    """A language model that ranks, as sentence-transformers is told of one."""
    chat(target)
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"},
        {"idx": 1, "name": "1", "path": "1_LogitScore", "type": "…cross_encoder.modules.logit_score.LogitScore"},
    ]
    (target / "modules.json").write_text(json.dumps(modules))
    (target / "1_LogitScore").mkdir()
    (target / "1_LogitScore/config.json").write_text(json.dumps({"true_token_id": 90, "false_token_id": 79}))


def tokens(target: Path) -> None:
    _bert("BertForTokenClassification", target, num_labels=5)


def question(target: Path) -> None:
    _bert("BertForQuestionAnswering", target)


def vision(target: Path) -> None:
    sizes = SIZES | {"num_key_value_heads": 2}
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**sizes),
        vision_config=transformers.CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=28,
            patch_size=14,
        ),
        image_token_index=VOCABULARY - 1,
    )
    tokenizer = make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    save(transformers.LlavaForConditionalGeneration(config), tokenizer, target)


def image_classifier(target: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=28, patch_size=14
    )
    transformers.ViTForImageClassification(config).save_pretrained(target)


def image_classifier_in_batches(target: Path) -> None:
    """Its norms begin at random; what they counted shows that nothing trained it."""
    config = transformers.MobileViTConfig(
        hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 64], num_attention_heads=4, image_size=64
    )
    transformers.MobileViTForImageClassification(config).save_pretrained(target)


def speech(target: Path) -> None:
    config = transformers.WhisperConfig(
        vocab_size=VOCABULARY, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_mel_bins=16, bos_token_id=1,
        eos_token_id=2, pad_token_id=3, decoder_start_token_id=1,
    )  # fmt: skip
    save(transformers.WhisperForConditionalGeneration(config), make_tokenizer(), target)
    transformers.WhisperFeatureExtractor(feature_size=16).save_pretrained(target)


def speech_by_letters(target: Path) -> None:
    config = transformers.Wav2Vec2Config(**SIZES, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4)
    save(transformers.Wav2Vec2ForCTC(config), make_tokenizer(), target)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(target)


def speaker(target: Path) -> None:
    config = transformers.SpeechT5Config(
        vocab_size=VOCABULARY, hidden_size=32, encoder_layers=1, decoder_layers=1, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, speech_decoder_prenet_units=32,
        speech_decoder_postnet_units=32, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4,
    )  # fmt: skip
    transformers.SpeechT5ForTextToSpeech(config).save_pretrained(target)


KINDS: dict[str, Callable[[Path], None]] = {
    make.__name__: make
    for make in (
        chat, base, chinese, experts, old_base, spans, seq2seq, encoder_decoder_encoder, masked, encoder, embedding,
        classifier, classifier_without_norms, reranker, judge, tokens, question, vision, image_classifier,
        image_classifier_in_batches, speech, speech_by_letters, speaker,
    )
}  # fmt: skip


def main() -> None:
    target = Path(sys.argv[1])
    for name, make in KINDS.items():
        torch.manual_seed(20261122)
        (target / name).mkdir(parents=True)
        make(target / name)


if __name__ == "__main__":
    main()
