"""What a model is for and whether it was taught to follow instructions, from its files alone. Decides only.

- The class in config.json names the purpose; the files beside it refine it.
- A chat template alone proves nothing: some base models ship the template of their instruct sibling. So each sign is
  named, with what it points to, and a model that shows none is not called anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from modelfetch.inspection.reading import Papers
from modelfetch.inspection.special import Tokens
from modelfetch.model.contents import ModelFolder
from modelfetch.model.kind import INSTRUCT_NAME, Kind, has_chat_template, pooling_of

VISION, SPEECH = "vision-language model", "speech recognition"
IMAGE, OTHER = "image classifier", "another kind of model"
# The end of a class's name -> purpose, the longer ends first.
_CLASSES = {
    "ForSpeechSeq2Seq": SPEECH,
    "ForCTC": SPEECH,
    "ForImageClassification": IMAGE,
    "ForSequenceClassification": Kind.CLASSIFIER.value,
    "ForTokenClassification": Kind.TOKENS.value,
    "ForQuestionAnswering": Kind.QUESTION.value,
    "ForConditionalGeneration": Kind.SEQ2SEQ.value,
    "ForMaskedLM": Kind.MASKED.value,
    "ForCausalLM": Kind.BASE.value,
    "LMHeadModel": Kind.BASE.value,
    "EncoderModel": Kind.ENCODER.value,
    "Model": Kind.ENCODER.value,
}
_SPEECH_MODELS = ("Whisper", "Speech2Text", "Moonshine")
_IMAGE_MODELS = ("ViT", "Dinov2", "Swin", "ConvNext", "CLIPVision")
WRITES = frozenset({Kind.CHAT.value, Kind.BASE.value, VISION, Kind.SEQ2SEQ.value, SPEECH})
PREDICTS = WRITES | {Kind.MASKED.value}


class Training(StrEnum):
    """What a language model was trained to do last."""

    INSTRUCT = "instruct"
    BASE = "base"


@dataclass(frozen=True)
class Sign:
    """One thing that points to a training."""

    points_to: Training
    because: str


@dataclass(frozen=True)
class Purpose:
    """What the model is for. `training` is None where nothing tells, or where the question does not arise."""

    what: str
    class_name: str | None
    model_type: str | None
    training: Training | None
    signs: tuple[Sign, ...]


def judge(folder: ModelFolder, papers: Papers, tokens: Tokens, gguf: str | None) -> Purpose:
    """The purpose of the model in `folder`; `gguf` is the GGUF file that it is, where it is one."""
    class_name, model_type = _class_name(folder), folder.config.get("model_type")
    if gguf:
        model_type = folder.ggufs[gguf].architecture
    what = _what(folder, class_name, gguf)
    signs: tuple[Sign, ...] = ()
    if what in {Kind.CHAT.value, Kind.BASE.value, VISION}:
        ends = [token.piece for token in tokens.special if "eos" in token.roles and token.piece]
        signs = tuple(_signs(f"{folder.name} {gguf}" if gguf else folder.name, papers, ends))
    return Purpose(what, class_name, str(model_type) if model_type else None, _conclude(signs), signs)


def _class_name(folder: ModelFolder) -> str | None:
    architectures = folder.config.get("architectures")
    return str(architectures[0]) if isinstance(architectures, list) and architectures else None


def _what(folder: ModelFolder, class_name: str | None, gguf: str | None) -> str:
    if gguf:
        template = "tokenizer.chat_template" in folder.ggufs[gguf].metadata
        return (Kind.CHAT if template else Kind.BASE).value
    if class_name is None:
        return _without_class(folder)
    what = next((what for end, what in _CLASSES.items() if class_name.endswith(end)), OTHER)
    if what == Kind.SEQ2SEQ.value:
        return _conditional(folder, class_name)
    if what == Kind.ENCODER.value and (class_name.startswith(_IMAGE_MODELS) or "vision_config" in folder.config):
        return "image and text encoder" if "text_config" in folder.config else "image encoder"
    if what in {Kind.ENCODER.value, Kind.MASKED.value, Kind.BASE.value} and pooling_of(folder):
        return Kind.EMBEDDING.value
    return Kind.CHAT.value if what == Kind.BASE.value and has_chat_template(folder) else what


def _conditional(folder: ModelFolder, class_name: str) -> str:
    """Writing on a condition: a text, a picture or a sound."""
    if "vision_config" in folder.config:
        return VISION
    return SPEECH if class_name.startswith(_SPEECH_MODELS) else Kind.SEQ2SEQ.value


def _without_class(folder: ModelFolder) -> str:
    if "model_index.json" in folder.files:
        return "diffusers pipeline"
    if "adapter_config.json" in folder.files:
        return f"adapter of {folder.document('adapter_config.json').get('base_model_name_or_path', 'another model')}"
    return Kind.EMBEDDING.value if pooling_of(folder) else OTHER


def _signs(name: str, papers: Papers, ends: list[str]) -> Iterator[Sign]:
    if found := INSTRUCT_NAME.search(name):
        yield Sign(Training.INSTRUCT, f"its name has `{found.group().strip('-_/. ')}` in it")
    elif "base" in name.lower().replace("_", "-").rpartition("/")[2].split("-"):
        yield Sign(Training.BASE, "its name has `base` in it")
    tags = papers.card.get("tags")
    if isinstance(tags, list) and "conversational" in tags:
        yield Sign(Training.INSTRUCT, "its card has the tag `conversational`")
    if not papers.templates:
        yield Sign(Training.BASE, "it has no chat template")
        return
    template = papers.templates[0].text
    written = next((end for end in ends if end in template), ends[0] if ends and "eos_token" in template else None)
    if written is not None:
        yield Sign(Training.INSTRUCT, f"it stops at `{written}`, with which its chat template ends a turn")
    elif ends:
        yield Sign(Training.BASE, f"it stops at `{ends[0]}`, which its chat template never writes")
    else:
        yield Sign(Training.INSTRUCT, "it has a chat template")


def _conclude(signs: tuple[Sign, ...]) -> Training | None:
    """The first sign decides, unless it stands alone against two."""
    if not signs:
        return None
    first = signs[0].points_to
    against = sum(sign.points_to is not first for sign in signs)
    return None if against > 1 else first
