"""Where thinking ends and the answer begins, case by case."""

from __future__ import annotations

import pytest

from modelfetch.model.thinking import TAGS, Reply, split

CASES = {
    "no tags: all is answer": ("Paris.", "user\nassistant\n", Reply(None, "Paris.")),
    "the output opens and closes": (
        "<think>It is Paris.</think>\n\nParis.",
        "assistant\n",
        Reply("It is Paris.", "Paris."),
    ),
    "the template opened": (
        "It is Paris.\n</think>\n\nParis.",
        "assistant\n<think>\n",
        Reply("It is Paris.", "Paris."),
    ),
    "the template opened, cut off": ("It is", "assistant\n<think>\n", Reply("It is", "", finished=False)),
    "the output opens, cut off": ("<think>\nIt is", "assistant\n", Reply("It is", "", finished=False)),
    "nothing opened": ("It is Paris.</think>Paris.", "assistant\n", Reply("It is Paris.", "Paris.")),
    "the user mentions the tag": ("A tag.", "user: what is <think> for?\nassistant\n", Reply(None, "A tag.")),
    "the template closed at once": ("Paris.", "assistant\n<think>\n\n</think>\n\n", Reply(None, "Paris.")),
    "thought nothing": ("<think>\n\n</think>\n\nParis.", "assistant\n", Reply(None, "Paris.")),
    "the answer mentions the closing tag": (
        "<think>a</think>Write </think> to close.",
        "",
        Reply("a", "Write </think> to close."),
    ),
    "the thinking mentions tags of another family": (
        "[THINK]Not </think>.[/THINK]b",
        "",
        Reply("Not </think>.", "b"),
    ),
    "the prompt opened, and the output opens another": ("[THINK]a</think>b", "<think>", Reply("[THINK]a", "b")),
    "two closing tags that nothing opened": ("a[/THINK]b</think>c", "", Reply("a", "b</think>c")),
    "leading space": ("\n\n<think>a</think>b", "", Reply("a", "b")),
    "nothing at all": ("", "assistant\n", Reply(None, "")),
    "harmony": (
        "<|channel|>analysis<|message|>Paris, no?<|end|><|start|>assistant<|channel|>final<|message|>Paris.<|return|>",
        "<|start|>assistant",
        Reply("Paris, no?", "Paris."),
    ),
    "harmony, cut off while thinking": (
        "<|channel|>analysis<|message|>It is",
        "<|start|>assistant",
        Reply("It is", "", finished=False),
    ),
    "the channel of Gemma 4": (
        "<|channel>thought\nIt is Paris.<channel|>Paris.",
        "<|turn>model\n",
        Reply("It is Paris.", "Paris."),
    ),
    "harmony, cut off while answering": (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>Par",
        "<|start|>assistant",
        Reply("a", "Par"),
    ),
}


@pytest.mark.parametrize(("text", "prompt", "expected"), CASES.values(), ids=list(CASES))
def test_thinking_and_answer_are_parted(text: str, prompt: str, expected: Reply) -> None:
    assert split(text, prompt) == expected


@pytest.mark.parametrize(("opening", "closing"), TAGS)
def test_every_family_of_tags_is_known(opening: str, closing: str) -> None:
    assert split(f"{opening}a{closing}b", "") == Reply("a", "b")
    assert split(f"a{closing}b", f"assistant{opening}") == Reply("a", "b")


def test_special_tokens_are_taken_out_of_both_parts_longest_first() -> None:
    text = "<think>a<|im_end|></think>Paris.<|im_end|><|im_end|>x"
    assert split(text, "", ["<|im_end|>", "<|im_end|>x"]) == Reply("a", "Paris.")


def test_what_ends_the_turn_is_no_part_of_the_answer() -> None:
    assert split("The capital is Paris.<|im_end|>", "assistant\n", ["<|im_end|>"]).answer == "The capital is Paris."
