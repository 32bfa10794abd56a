"""The verdict is a function of observations: each fault is a line of data, and without evidence there is no pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.model.contents import BrokenFile, NotExercised
from modelfetch.model.kind import Kind
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed
from modelfetch.smoketest.criteria import CHECKS, judge
from modelfetch.smoketest.level import Level
from modelfetch.smoketest.observations import (
    Answered,
    BytesKnown,
    Configured,
    Embedded,
    Ended,
    Finished,
    Garbled,
    Generated,
    HeadersRead,
    Loaded,
    Memory,
    Names,
    Observation,
    Planned,
    Predicted,
    Prompted,
    Raised,
    Ranked,
    Restored,
    Stack,
    Started,
    Structured,
    TokenIds,
    WeightsScanned,
    ZeroRows,
)
from modelfetch.smoketest.result import Subject, make_result
from modelfetch.smoketest.verdict import Case, Severity, Verdict, decide

SUBJECT = Subject("owner/name", "/models/name", "0" * 40)

PLANNED = Planned(Kind.CHAT, "LlamaForCausalLM", 269_060_552)
HEADERS = HeadersRead(6, 272)
STACK = Stack({"torch": "2.13.0+cpu"}, 2, 3.0)
PLACED = Placed("cpu", "a CPU", "this torch was built without CUDA", "float32", "the CPU is exact and fastest in it")
LOADED = Loaded("LlamaForCausalLM", "sdpa", 0.5, 134_515_008, 49_152)
SCANNED = WeightsScanned(272, 61, 0)
IDS = TokenIds("plain English", 42_126, 49_152)
PREDICTED = Predicted(2.97, 49_152, 89)
PROMPTED = Prompted("What is the capital of France?", "<|im_start|>user …", chat=True, built_in=True)
GENERATED = Generated(
    text="The capital of France is Paris.<|im_end|>",
    new_ids=(504, 3575, 282, 4649, 314, 7042, 30, 2),
    special_tokens=("<|im_end|>",),
    only_special=False,
    turn_end_inside=None,
    ended="end of text",
    prompt_tokens=42,
    first_token_s=0.2,
    decode_s=0.4,
    same_again=True,
    finite=True,
)
FINISHED = Finished(8.0)
ENDED = Ended(0, None, timed_out=False, seconds=9.0, phase="generate", oom_kills=0, log="")
CHAT: tuple[Observation, ...] = (
    HEADERS, PLANNED, Started("import"), STACK, PLACED, Started("load"), LOADED, SCANNED, IDS, PREDICTED, PROMPTED,
    GENERATED, Memory(1_100_000_000, None), FINISHED, ENDED,
)  # fmt: skip

EMBEDDED = Embedded(
    "mean", 384, finite=True, related=0.75, unrelated=-0.1, batch_similarity=1.0, sentences=("a", "b", "c")
)
EMBEDDING: tuple[Observation, ...] = (
    HEADERS, replace(PLANNED, kind=Kind.EMBEDDING), PLACED, LOADED, SCANNED, EMBEDDED, FINISHED, ENDED,
)  # fmt: skip
ANSWERED = Answered("labels", (2,), finite=True, differs=True)
RANKER: tuple[Observation, ...] = (
    HEADERS, replace(PLANNED, kind=Kind.CLASSIFIER), PLACED, LOADED, SCANNED, Ranked(3.0, -4.0, ranker=True), ANSWERED,
    FINISHED, ENDED,
)  # fmt: skip
EVIDENCE = (HEADERS, LOADED, SCANNED, GENERATED, FINISHED, ENDED)


def instead(observations: tuple[Observation, ...], *others: Observation) -> tuple[Observation, ...]:
    """The observations with those of the same kinds replaced; a kind that was not seen goes before the end."""
    kinds = {type(other) for other in others}
    kept = [each for each in observations if type(each) not in kinds]
    return (*kept[:-1], *others, kept[-1]) if kept and kept[-1] is ENDED else (*kept, *others)


@pytest.mark.parametrize("observations", [CHAT, EMBEDDING, RANKER], ids=["chat", "embedding", "ranker"])
def test_a_healthy_model_passes_without_a_finding(observations: tuple[Observation, ...]) -> None:
    assert judge(Case(observations)) == ()
    assert make_result(SUBJECT, observations).verdict is Verdict.PASS


NAME = Names(1, ("model.layers.3.mlp.up_proj.weight",))


@dataclass(frozen=True)
class Fault:
    """Observations of one damage, the only finding they make, and the verdict."""

    observations: tuple[Observation, ...]
    check: str
    verdict: Verdict = Verdict.FAIL


FAULTS = {
    "bytes that are not as they were": Fault(
        (BytesKnown(10, 10, Names(1, ("model.safetensors: changed",))),), "damaged-bytes"
    ),
    "bytes that nothing proves": Fault((NotExercised("bytes-unproven", "no digest"),), "bytes-unproven", Verdict.SKIP),
    "cut short": Fault((BrokenFile("model.safetensors", "cut short"),), "broken-file"),
    "a kind that is not exercised": Fault(
        (NotExercised("not-exercised", "a diffusers pipeline"),), "not-exercised", Verdict.SKIP
    ),
    "no tokenizer": Fault((NotExercised("missing-files", "no tokenizer", "pull it"),), "missing-files"),
    "code without consent": Fault((NotExercised("remote-code", "it needs code"),), "remote-code", Verdict.SKIP),
    "a tokenizer that is code, without consent": Fault(
        instead(CHAT, Raised("tokenizer", "ValueError", "Please pass the argument `trust_remote_code=True` …")),
        "remote-code",
        Verdict.SKIP,
    ),
    "a preparation of sound that is code, without consent": Fault(
        instead(CHAT, Raised("listen", "ValueError", "Please pass the argument `trust_remote_code=True` …")),
        "remote-code",
        Verdict.SKIP,
    ),
    "foreign quantisation": Fault(
        (NotExercised("quantisation-unknown", "exl3"),), "quantisation-unknown", Verdict.SKIP
    ),
    "no backend": Fault((NotExercised("quantisation-backend", "awq"),), "quantisation-backend", Verdict.SKIP),
    "a backend that its own loader misses": Fault(
        instead(
            CHAT, replace(PLANNED, quantisation="quanto"), Raised("load", "ImportError", "pip install optimum-quanto")
        ),
        "quantisation-backend",
        Verdict.SKIP,
    ),
    "a backend that wants a GPU": Fault(
        instead(CHAT, replace(PLANNED, quantisation="vptq"), Raised("load", "RuntimeError", "GPU is required to run.")),
        "quantisation-backend",
        Verdict.SKIP,
    ),
    "an error of a quantised model that its backend does not explain": Fault(
        instead(CHAT, replace(PLANNED, quantisation="fp8"), Raised("generate", "RuntimeError", "GPU says no")), "error"
    ),
    "a GGUF too large": Fault((NotExercised("gguf", "too large"),), "gguf", Verdict.SKIP),
    "a GGUF of an unknown architecture": Fault(
        instead(CHAT, Raised("load", "ValueError", "GGUF model with architecture rwkv is not supported yet.")),
        "gguf",
        Verdict.SKIP,
    ),
    "a GGUF packed in an unknown way": Fault(
        instead(CHAT, Raised("tokenizer", "ValueError", "np.uint32(99) is not a valid GGMLQuantizationType")),
        "gguf",
        Verdict.SKIP,
    ),
    "a pickle": Fault(instead(CHAT, replace(PLANNED, pickled=True)), "pickled-weights", Verdict.PASS),
    "a pickle that is not scanned": Fault((NotExercised("bare-pickle", "old"),), "bare-pickle", Verdict.SKIP),
    "a pickle that was scanned and names what is no weight": Fault(
        (NotExercised("unsafe-pickle", "it names `os.system`", "do not load it"),), "unsafe-pickle"
    ),
    "a pickle that names what is no weight": Fault(
        instead(
            CHAT, Raised("load", "UnpicklingError", "… Trying to load unsupported GLOBAL posix.system whose module …")
        ),
        "unsafe-pickle",
    ),
    "a model of pictures that says nothing to words": Fault(
        instead(
            CHAT,
            replace(PLANNED, kind=Kind.VISION),
            Raised("loss", "TypeError", "forward() missing 1 required positional argument: 'pixel_values'"),
        ),
        "not-exercised",
        Verdict.SKIP,
    ),
    "a classifier of pages that says nothing to words": Fault(
        instead(
            RANKER, replace(PLANNED, kind=Kind.CLASSIFIER), Raised("classify", "ValueError", "You have to specify bbox")
        ),
        "not-exercised",
        Verdict.SKIP,
    ),
    "a model of words that wants a picture": Fault(
        instead(CHAT, Raised("loss", "TypeError", "missing 1 required positional argument: 'pixel_values'")), "error"
    ),
    "a GPU that torch cannot use": Fault(
        instead(CHAT, replace(PLACED, device="cpu", idle_gpu="H100", hint="modelfetch doctor")),
        "idle-gpu",
        Verdict.WARN,
    ),
    "no such GPU": Fault((PLANNED, STACK, NoDevice("cuda:1", "there are 1 GPUs"), ENDED), "no-device"),
    "too large for this machine": Fault(
        (PLANNED, DoesNotFit("cpu", 32 << 30, 8 << 30, "before loading"), ENDED), "memory"
    ),
    "too large for the GPU, then run on the CPU": Fault(
        (DoesNotFit("cuda:0", 32 << 30, 8 << 30, "load"), *CHAT), "gpu-memory", Verdict.WARN
    ),
    "an error": Fault(instead(CHAT, Raised("load", "KeyError", "'qwen9'")), "error"),
    "a hang": Fault((*CHAT[:5], replace(ENDED, exit_status=None, signal="SIGKILL", timed_out=True)), "timeout"),
    "a template without end": Fault(
        (*CHAT[:5], replace(ENDED, exit_status=None, signal="SIGKILL", timed_out=True, phase="prompt")), "timeout"
    ),
    "a crash": Fault((*CHAT[:5], replace(ENDED, exit_status=None, signal="SIGSEGV")), "killed"),
    "a crash after all was said": Fault((*CHAT[:-1], replace(ENDED, exit_status=None, signal="SIGSEGV")), "killed"),
    "an early end": Fault((*CHAT[:5], replace(ENDED, exit_status=3)), "unfinished"),
    "an end without a word": Fault((ENDED,), "unfinished"),
    "nonsense from the child": Fault(instead(CHAT, Garbled("PASS")), "garbled"),
    "a tensor that is missing": Fault(instead(CHAT, replace(LOADED, missing=NAME)), "missing-weights"),
    "a layer too many": Fault(instead(CHAT, replace(LOADED, unexpected=NAME)), "unexpected-weights"),
    "a head for another task": Fault(
        instead(CHAT, replace(LOADED, unexpected=Names(2, ("bert.pooler.dense.bias", "cls.seq_relationship.weight")))),
        "extra-heads",
        Verdict.PASS,
    ),
    "another shape": Fault(instead(CHAT, replace(LOADED, mismatched=NAME)), "mismatched-weights"),
    "another class": Fault(instead(CHAT, replace(LOADED, class_name="LlamaModel")), "wrong-class"),
    "weights without values": Fault(instead(CHAT, replace(LOADED, on_meta=NAME)), "not-loaded"),
    "NaN in a weight": Fault(instead(CHAT, replace(SCANNED, not_finite=NAME)), "not-finite-weights"),
    "a flipped exponent bit": Fault(instead(CHAT, replace(SCANNED, huge=NAME)), "huge-weights"),
    "a hole": Fault(instead(CHAT, replace(SCANNED, zero_rows=(ZeroRows("w", 31, 1536),))), "zero-rows"),
    "norms that nothing trained": Fault(instead(CHAT, replace(SCANNED, constant_vectors=61)), "random-weights"),
    "norms that nothing trained, beside biases that began at random": Fault(
        instead(CHAT, replace(SCANNED, norms=40, constant_norms=40)), "random-weights"
    ),
    "a loss of chance": Fault(instead(CHAT, replace(PREDICTED, loss=10.85)), "random-weights"),
    "matrices that nothing trained, where there is nothing else": Fault(
        instead(RANKER, replace(SCANNED, vectors=0, constant_vectors=0, spread=1.02)), "random-weights"
    ),
    "a loss that proves nothing": Fault(instead(CHAT, replace(PREDICTED, loss=5.15)), "weak-loss", Verdict.PASS),
    "a loss far from any sound model's": Fault(instead(CHAT, replace(PREDICTED, loss=7.54)), "weak-loss", Verdict.WARN),
    "a class of another model type": Fault(
        instead(CHAT, replace(PLANNED, type_doubt="for `mistral` the Auto classes load `MistralForCausalLM`")),
        "model-type",
        Verdict.WARN,
    ),
    "a loss that says nothing": Fault(
        instead(CHAT, replace(PREDICTED, loss=10.85, excuse="it may write another language")),
        "loss-not-judged",
        Verdict.PASS,
    ),
    "ids beyond the embedding": Fault(instead(CHAT, TokenIds("the prompt", 151643, 49152)), "token-ids"),
    "a broken template": Fault(
        instead(CHAT, replace(PROMPTED, rendered=None, template_error="TemplateSyntaxError: …")), "template-error"
    ),
    "no template": Fault(
        instead(CHAT, replace(PLANNED, kind=Kind.BASE, instruct_name=True), replace(PROMPTED, chat=False)),
        "template-missing",
        Verdict.WARN,
    ),
    "a template that is empty": Fault(instead(CHAT, replace(PROMPTED, chat=False)), "template-missing", Verdict.WARN),
    "another model's template": Fault(
        instead(CHAT, replace(PROMPTED, foreign=("<|user|>",))), "template-foreign", Verdict.WARN
    ),
    "a template that begins no answer": Fault(
        instead(
            CHAT,
            replace(PROMPTED, header="<|im_start|>assistant"),
            replace(GENERATED, text="<|im_start|>assistant\nParis.<|im_end|>"),
        ),
        "template-header",
        Verdict.WARN,
    ),
    "a tokenizer that leaves its marks in the text": Fault(
        instead(CHAT, Restored("The old bakery opens.", "The Ġold Ġbakery Ġopens .")), "tokenizer-text", Verdict.WARN
    ),
    "a tokenizer that leaves no spaces": Fault(
        instead(CHAT, Restored("The old bakery opens.", "The▁old▁bakery▁opens.")), "tokenizer-text", Verdict.WARN
    ),
    "a temperature of zero to draw with": Fault(
        instead(CHAT, Configured("ValueError: `temperature` (=0.0) has to be a strictly positive float")),
        "generation-config",
        Verdict.WARN,
    ),
    "NaN in the logits": Fault(instead(CHAT, replace(GENERATED, finite=False)), "not-finite-output"),
    "a loss that is no number": Fault(instead(CHAT, replace(PREDICTED, loss=float("nan"))), "not-finite-output"),
    "nothing but special tokens": Fault(instead(CHAT, replace(GENERATED, only_special=True)), "no-text"),
    "the same token again and again": Fault(
        instead(CHAT, replace(GENERATED, new_ids=(7,) * 32, ended="length")), "repetition"
    ),
    "bytes that are no text": Fault(instead(CHAT, replace(GENERATED, text="a�b")), "broken-characters"),
    "a wrong end-of-text token": Fault(
        instead(CHAT, replace(GENERATED, turn_end_inside="<|im_end|>", ended="length")), "runs-on"
    ),
    "another text the second time": Fault(instead(CHAT, replace(GENERATED, same_again=False)), "not-deterministic"),
    "another text the second time, on a GPU": Fault(
        instead(CHAT, replace(GENERATED, same_again=False), replace(PLACED, device="cuda:0")),
        "not-deterministic",
        Verdict.WARN,
    ),
    "embeddings that tell nothing apart": Fault(instead(EMBEDDING, replace(EMBEDDED, unrelated=0.74)), "similarity"),
    "embeddings of words and not of meaning": Fault(
        instead(EMBEDDING, replace(EMBEDDED, nearer=1, compared=5)), "similarity", Verdict.WARN
    ),
    "embeddings that are no numbers": Fault(instead(EMBEDDING, replace(EMBEDDED, finite=False)), "not-finite-output"),
    "another embedding in a batch": Fault(
        instead(EMBEDDING, replace(EMBEDDED, batch_similarity=0.9)), "padding", Verdict.WARN
    ),
    "a ranking upside down": Fault(instead(RANKER, Ranked(-4.0, 3.0, ranker=True)), "ranking"),
    "a ranking upside down, by a question that was guessed": Fault(
        instead(RANKER, Ranked(-4.0, 3.0, ranker=True, rendered="Does it?", certain=False)), "ranking", Verdict.WARN
    ),
    "the same labels for all": Fault(instead(RANKER, replace(ANSWERED, differs=False)), "same-output"),
    "labels that are no numbers": Fault(instead(RANKER, replace(ANSWERED, finite=False)), "not-finite-output"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
def test_each_fault_is_one_named_finding(fault: Fault) -> None:
    findings = judge(Case(fault.observations))
    assert [finding.check for finding in findings] == [fault.check]
    assert decide(findings) is fault.verdict


@pytest.mark.parametrize(
    ("raised", "hint"),
    [
        (Raised("load", "ImportError", "It requires gptqmodel (`pip install gptqmodel`)"), "pip install gptqmodel"),
        (Raised("load", "ModuleNotFoundError", "No module named 'loguru'"), "pip install loguru"),
        (Raised("load", "RuntimeError", "GPU is required to run it."),
         "run it on a machine with the GPU that this is made for"),
        (Raised("tokenizer", "ValueError", "You need to have sentencepiece or tiktoken installed"),
         "pip install sentencepiece tiktoken"),
        (Raised("import", "OSError", "libcudart.so: cannot open"), "modelfetch doctor"),
    ],
)  # fmt: skip
def test_what_an_error_lacks_is_what_is_to_be_done(raised: Raised, hint: str) -> None:
    findings = judge(Case(instead(CHAT, replace(PLANNED, quantisation="gptq"), raised)))
    assert [each.hint for each in findings if each.severity is not Severity.NOTE] == [hint]


def test_every_check_is_described_and_every_described_check_is_tested() -> None:
    assert {fault.check for fault in FAULTS.values()} == set(CHECKS)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS.values() if fault.verdict is Verdict.FAIL])
def test_every_failure_says_what_to_do_or_shows_its_evidence(fault: Fault) -> None:
    assert all(finding.hint or finding.evidence for finding in judge(Case(fault.observations)))


HEALTHY: dict[str, tuple[Observation, ...]] = {
    "a template that leaves the answer's beginning to nobody": instead(CHAT, replace(PROMPTED, header="[/INST]")),
    "a tokenizer without capitals": instead(CHAT, Restored("The old bakery opens.", "the old bakery opens .")),
    "a model that writes as it is configured": instead(CHAT, Configured(None)),
    "a vocabulary padded with zeros": instead(CHAT, replace(SCANNED, zero_rows=(ZeroRows("embed", 500, 49_152),))),
    "an answer cut in the middle of a character": instead(
        CHAT, replace(GENERATED, text="Paris \ufffd", ended="length")
    ),
    "a base model that goes on": instead(CHAT, replace(GENERATED, ended="length")),
    "a short answer of one token": instead(CHAT, replace(GENERATED, new_ids=(7,))),
    "harmony's messages in one answer": instead(
        CHAT,
        replace(GENERATED, text="<|channel|>analysis<|message|>a<|end|>", turn_end_inside="<|end|>", ended="length"),
    ),
    "a turn that ended twice": instead(CHAT, replace(GENERATED, turn_end_inside="<|im_end|>")),
    "an encoder without its pooler": instead(EMBEDDING, replace(LOADED, missing=Names(1, ("pooler.dense.weight",)))),
    "a score of one label that ranks nothing": instead(RANKER, Ranked(-4.0, 3.0, ranker=False)),
    "an embedding without padding": instead(EMBEDDING, replace(EMBEDDED, batch_similarity=None)),
    "a slow machine": instead(CHAT, replace(GENERATED, first_token_s=90.0, decode_s=900.0)),
    "a model with no norms at all": instead(CHAT, replace(SCANNED, vectors=0, spread=1.7)),
    "one that fills gaps, which was not measured": instead(
        CHAT, replace(PLANNED, kind=Kind.MASKED), replace(PREDICTED, loss=5.15)
    ),
}


@pytest.mark.parametrize("observations", HEALTHY.values(), ids=list(HEALTHY))
def test_what_sound_models_do_is_no_finding(observations: tuple[Observation, ...]) -> None:
    assert judge(Case(observations)) == ()


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [
        ("nothing but special tokens", Verdict.WARN),
        ("the same token again and again", Verdict.PASS),
        ("bytes that are no text", Verdict.PASS),
    ],
)
def test_a_prompt_of_the_users_own_may_ask_for_what_is_odd(fault: str, verdict: Verdict) -> None:
    observations = instead(FAULTS[fault].observations, replace(PROMPTED, built_in=False))
    assert make_result(SUBJECT, observations).verdict is verdict
    assert judge(Case(observations))


@pytest.mark.parametrize(
    "fault",
    [
        "norms that nothing trained",
        "a loss of chance",
        "nothing but special tokens",
        "the same token again and again",
        "bytes that are no text",
        "a wrong end-of-text token",
        "embeddings that tell nothing apart",
        "a ranking upside down",
        "the same labels for all",
    ],
)
def test_a_random_model_that_may_be_one_passes(fault: str) -> None:
    assert make_result(SUBJECT, FAULTS[fault].observations, allow_random=True).verdict is Verdict.PASS


def test_a_random_model_may_begin_with_weights_of_zeros_and_have_no_hole_in_one() -> None:
    whole = instead(CHAT, replace(SCANNED, zero_rows=(ZeroRows("position_embeddings", 1, 1),)))
    assert make_result(SUBJECT, whole, allow_random=True).verdict is Verdict.PASS
    assert make_result(SUBJECT, whole).verdict is Verdict.FAIL
    assert make_result(SUBJECT, FAULTS["a hole"].observations, allow_random=True).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "fault", ["NaN in a weight", "a tensor that is missing", "NaN in the logits", "another text the second time"]
)
def test_a_random_model_may_be_nothing_worse(fault: str) -> None:
    assert make_result(SUBJECT, FAULTS[fault].observations, allow_random=True).verdict is Verdict.FAIL


@given(st.lists(st.sampled_from(CHAT), max_size=len(CHAT)))
def test_nothing_passes_without_the_evidence_of_every_step(observations: list[Observation]) -> None:
    verdict = make_result(SUBJECT, observations).verdict
    if not set(map(repr, EVIDENCE)) <= set(map(repr, observations)):
        assert verdict is Verdict.FAIL


@given(st.lists(st.sampled_from([each for fault in FAULTS.values() for each in fault.observations]), max_size=20))
def test_any_observations_have_a_verdict_and_a_report(observations: list[Observation]) -> None:
    result = make_result(SUBJECT, observations)
    assert result.to_json()["verdict"] == result.verdict.value
    severities = {finding.severity for finding in result.findings}
    assert (result.verdict is Verdict.FAIL) == (Severity.FAIL in severities)


def test_a_failure_that_was_killed_for_memory_says_so() -> None:
    ended = replace(ENDED, exit_status=None, signal="SIGKILL", oom_kills=1)
    (finding,) = judge(Case((PLANNED, ended)))
    assert "the kernel, for want of memory" in finding.title


def test_a_missing_package_is_named_with_its_install_command() -> None:
    error = Raised("tokenizer", "ImportError", "This needs sentencepiece: `pip install sentencepiece` and a restart.")
    (finding,) = judge(Case((PLANNED, error, ENDED)))
    assert finding.hint == "pip install sentencepiece"


def test_thinking_is_reported_apart_from_the_answer() -> None:
    text = "<think>It is Paris.</think>Paris.<|im_end|>"
    spoken = make_result(SUBJECT, instead(CHAT, replace(GENERATED, text=text))).spoken
    assert spoken is not None
    assert (spoken.thinking, spoken.answer, spoken.complete) == ("It is Paris.", "Paris.", True)


def test_speeds_come_from_tokens_and_times() -> None:
    facts = make_result(SUBJECT, CHAT).facts
    assert facts.prefill_tokens_per_s == pytest.approx(42 / 0.2)
    assert facts.decode_tokens_per_s == pytest.approx(7 / 0.4)


def test_a_loss_that_is_no_number_is_null_in_json() -> None:
    result = make_result(SUBJECT, instead(CHAT, replace(PREDICTED, loss=float("nan"))))
    assert result.to_json()["facts"]["loss"] is None


def test_docs_smoke_has_a_row_for_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs/smoke.md").read_text(encoding="utf-8")
    assert [check for check, meaning in CHECKS.items() if f"| `{check}` | {meaning} |" not in page] == []


STRUCTURED = Structured("LlamaForCausalLM", 0.2, 134_515_008)
KNOWN = BytesKnown(273_000_000, 0)
LEVELS: dict[Level, tuple[Observation, ...]] = {
    Level.BYTES: (KNOWN,),
    Level.HEADERS: (HEADERS,),
    Level.STRUCTURE: (HEADERS, PLANNED, STRUCTURED, FINISHED, ENDED),
    Level.LOAD: (HEADERS, PLANNED, STRUCTURED, PLACED, LOADED, SCANNED, FINISHED, ENDED),
    Level.EXERCISE: CHAT,
}


@pytest.mark.parametrize("level", Level)
def test_each_level_passes_with_its_own_evidence_and_no_later_one_does(level: Level) -> None:
    for other in Level:
        findings = judge(Case(LEVELS[level], level=other))
        if other is level:
            assert findings == ()
        elif other.reaches(level):
            assert [finding.check for finding in findings] == ["unfinished"]


@pytest.mark.parametrize(
    ("level", "absent"),
    [
        (Level.STRUCTURE, HEADERS),
        (Level.STRUCTURE, STRUCTURED),
        (Level.STRUCTURE, FINISHED),
        (Level.STRUCTURE, ENDED),
        (Level.LOAD, LOADED),
        (Level.LOAD, SCANNED),
    ],
)
def test_a_level_without_a_part_of_its_evidence_is_unfinished(level: Level, absent: Observation) -> None:
    evidence = tuple(each for each in LEVELS[level] if each is not absent)
    assert [finding.check for finding in judge(Case(evidence, level=level))] == ["unfinished"]


@pytest.mark.parametrize(
    ("structured", "check"),
    [
        (replace(STRUCTURED, missing=NAME), "missing-weights"),
        (replace(STRUCTURED, unexpected=NAME), "unexpected-weights"),
        (replace(STRUCTURED, mismatched=NAME), "mismatched-weights"),
        (replace(STRUCTURED, class_name="LlamaModel"), "wrong-class"),
    ],
)
def test_what_the_headers_lack_is_found_without_loading(structured: Structured, check: str) -> None:
    observations = instead(LEVELS[Level.STRUCTURE], structured)
    assert [finding.check for finding in judge(Case(observations, level=Level.STRUCTURE))] == [check]
