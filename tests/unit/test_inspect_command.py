"""`modelfetch inspect`: what it prints, its document, its errors. No tokenizer and no weights are loaded here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelfetch.cli import _inspect_answers, run
from modelfetch.cli._cells import width
from modelfetch.config import load
from modelfetch.errors import UsageError
from modelfetch.inspection import Answers, inspect
from modelfetch.inspection.answers import (
    Likely,
    Next,
    Occurrence,
    RanOn,
    Rendered,
    Token,
    Tokenized,
    Vectors,
    Vocabulary,
)
from modelfetch.store import Store
from tests.conftest import safetensors_bytes
from tests.stored import bring

EVIL = "\x1b[31m\u202e"
FILES = {
    "config.json": json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}).encode(),
    "model.safetensors": safetensors_bytes({"model.embed_tokens.weight": b"12345678"}),
    "chat_template.jinja": b"{{ messages }}",
    "README.md": b"---\nlicense: mit\n---\n",
}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def answered(folder: Path, answers: Answers, columns: int = 80, *, template: bool = False) -> str:
    return _inspect_answers.render(inspect(write(folder, FILES)), answers, columns, template=template)


def token(data: bytes, *, number: int = 7, piece: str | None = None, special: bool = False) -> Token:
    text = data.decode("utf-8", "replace")
    return Token(number, text if piece is None else piece, text, data.hex(), special)


def test_a_model_of_the_store_is_described_with_its_commit(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = bring(Store.open(load().home), FILES)
    assert run(["inspect", "owner/name"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"owner/name @{snapshot.manifest.commit[:12]}\n")
    assert "LlamaForCausalLM" in printed.out
    assert "mit (README.md)" in printed.out
    assert printed.err == ""


def test_a_file_is_not_taken_for_a_model_and_its_folder_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "own", FILES)
    assert run(["inspect", str(tmp_path / "own/config.json")]) == UsageError.exit_status
    assert f"hint: {tmp_path / 'own'}\n" in capsys.readouterr().err


def test_the_document_of_a_folder_has_no_commit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(write(tmp_path, FILES)), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["commit"] is None
    assert document["purpose"]["what"] == "chat model"
    assert document["tokenized"] == []
    assert document["next"] is None


def test_a_report_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    code = (
        "import sys; from modelfetch.cli import run; status = run(sys.argv[1:]);"
        "print([name for name in ('torch', 'transformers', 'tokenizers', 'numpy') if name in sys.modules], status)"
    )
    command = [sys.executable, "-c", code, "inspect", str(write(tmp_path, FILES))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_a_model_that_is_not_here_is_an_error_with_the_command_that_brings_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["inspect", "owner/other"]) == 4
    assert "hint: modelfetch pull owner/other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (["--embed", "a"], 2, "one text cannot be compared"),
        (["--word", "a"], 2, "--word needs texts"),
        (["--top-k", "0", "--next", "a"], 2, "--top-k"),
        (["--tokens", "\udcff"], 2, "not UTF-8"),
        (["--embed", "a", "--embed", "\udcff"], 2, "not UTF-8"),
        (["--device", "tpu", "--next", "a"], 2, "`tpu` is no device"),
        (["--tokens", "a"], 4, "has no tokenizer"),
        (["--next", "a"], 4, "has no tokenizer"),
    ],
)
def test_what_cannot_be_asked_is_said(
    asked: list[str], status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(write(tmp_path, FILES)), *asked]) == status
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""


def test_a_model_without_a_template_has_none_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {name: content for name, content in FILES.items() if name != "chat_template.jinja"}
    assert run(["inspect", str(write(tmp_path, files)), "--template"]) == 4
    assert "has no chat template" in capsys.readouterr().err


def test_without_torch_the_install_command_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    files = FILES | {"tokenizer.json": b"{}"}
    assert run(["inspect", str(write(tmp_path, files)), "--tokens", "a"]) == 3
    assert "pip install 'modelfetch[smoke]'" in capsys.readouterr().err


def test_a_template_that_cannot_be_rendered_here_is_shown_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(["inspect", str(write(tmp_path, FILES | {"tokenizer.json": b"{}"})), "--template"]) == 0
    printed = capsys.readouterr()
    assert "{{ messages }}" in printed.out
    assert "the template was not rendered" in printed.err
    assert "pip install 'modelfetch[smoke]'" in printed.err


def test_tokens_stand_in_columns_whatever_their_width(tmp_path: Path) -> None:
    tokens = (token("你".encode()), token(b" a", number=12345, piece="Ġa"), token(b"\xe4", piece="ä"))
    lines = answered(tmp_path, Answers(tokenized=(Tokenized("你 a", tokens, "你 a", same=True),))).splitlines()
    assert lines[0] == "3 tokens for 3 characters"
    assert {
        width(line[: line.index(data)]) for line, data in zip(lines[2:5], ("e4 bd", "20 61", "e4"), strict=True)
    } == {width(lines[1][: lines[1].index("bytes")])}
    assert '"你"' in lines[2]
    assert "(a part of a character)" in lines[4]
    assert lines[5] == "  put together again, they give the same text"


def test_a_character_of_several_tokens_is_named_at_each_of_them(tmp_path: Path) -> None:
    tokens = (
        token(b"a\xe4", piece="1"),
        token(b"\xbd", piece="2"),
        token(b"\xa0\xe5", piece="3"),
        token(b"!", piece="4"),
    )
    lines = answered(tmp_path, Answers(tokenized=(Tokenized("?", tokens, "?", same=True),))).splitlines()
    said = ['("a" and a part of 你)', "(a part of 你)", "(a part of 你)", '"!"']
    assert all(words in line for words, line in zip(said, lines[2:6], strict=True))


def test_a_text_that_does_not_come_back_is_shown_as_it_does(tmp_path: Path) -> None:
    tokenized = Tokenized("A", (token(b"a"),), "a", same=False)
    assert "they give: a" in answered(tmp_path, Answers(tokenized=(tokenized,)))


def test_many_pieces_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    tokens = tuple(token(b"ing", number=number) for number in range(200))
    lines = answered(tmp_path, Answers(vocabulary=Vocabulary("*ing", 30_000, 5000, tokens))).splitlines()
    assert lines[0] == "5,000 of 30,000 pieces fit `*ing`; the first 50:"
    assert len(lines) == 52


def test_next_tokens_have_their_probability_and_what_is_left(tmp_path: Path) -> None:
    likeliest = (Likely(token(b" Paris"), 0.75), Likely(token(b" the"), 0.125))
    text = answered(
        tmp_path,
        Answers(next=Next("The", "the end of the text", 3, likeliest), ran_on=RanOn("cpu", "why", "float32", "so")),
    )
    assert '75.00%  " Paris"' in text
    assert "12.50% for all others" in text
    assert "on cpu (why), in float32 (so)" in text


def test_cosines_are_a_table_with_the_texts(tmp_path: Path) -> None:
    vectors = Vectors("mean", 4, ("one text", "another"), ((1.0, 0.25), (0.25, 1.0)), ("a note",))
    lines = answered(tmp_path, Answers(vectors=vectors)).splitlines()
    assert lines[2:4] == ["  1  1.000  0.250  one text", "  2  0.250  1.000  another"]
    assert lines[4] == "  a note"


def test_the_places_of_a_word_are_shown_by_their_texts(tmp_path: Path) -> None:
    places = (Occurrence(0, (" bank",)), Occurrence(0, (" bank",)))
    vectors = Vectors("mean", 4, ("a bank, a bank",), ((1.0, 0.5), (0.5, 1.0)), (), "bank", places)
    text = answered(tmp_path, Answers(vectors=vectors))
    assert "`bank`" in text
    assert text.count("a bank, a bank") == 2


@pytest.mark.parametrize(
    ("rendered", "said"),
    [
        (Rendered("hi", None, None, None), "enable_thinking changes nothing"),
        (Rendered("on", "on", "off", None), "without a word about it, thinking is on"),
        (Rendered("off", "on", "off", None), "without a word about it, thinking is off"),
        (Rendered(None, None, None, "it is broken"), "cannot be rendered: it is broken"),
    ],
)
def test_a_template_is_shown_raw_and_rendered(rendered: Rendered, said: str, tmp_path: Path) -> None:
    text = answered(tmp_path, Answers(rendered=rendered), template=True)
    assert "{{ messages }}" in text
    assert said in text


def test_nothing_of_a_strangers_reaches_the_terminal_as_it_is(tmp_path: Path) -> None:
    evil = token(EVIL.encode())
    answers = Answers(
        tokenized=(Tokenized(EVIL, (evil, token(b"", piece=EVIL, special=True)), EVIL, same=False),),
        vocabulary=Vocabulary(EVIL, 1, 1, (evil,)),
        rendered=Rendered(EVIL, EVIL, "", None),
        next=Next(EVIL, "here", 1, (Likely(evil, 1.0), Likely(token(b"", piece=EVIL, special=True), 0.0))),
        vectors=Vectors(EVIL, 1, (EVIL,), ((1.0,),), (EVIL,), EVIL, (Occurrence(0, (EVIL,)),)),
        ran_on=RanOn(EVIL, EVIL, EVIL, EVIL),
    )
    text = answered(tmp_path, answers, template=True)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_report_keeps_to_its_columns(tmp_path: Path) -> None:
    from modelfetch.cli._inspect_report import render

    for columns in (80, 120):
        text = render(inspect(write(tmp_path / "model", FILES | _many())), columns)
        assert max(map(width, text.splitlines())) <= columns


def test_a_tree_without_end_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = {f"a{one}.b{two}.weight": b"1" for one in range(39) for two in range(39)}
    assert run(["inspect", str(write(tmp_path, FILES | {"model.safetensors": safetensors_bytes(tensors)}))]) == 0
    printed = capsys.readouterr().out
    assert "(--json has it all)" in printed
    assert len(printed.splitlines()) < 450


def _many() -> dict[str, Any]:
    """Modules with long names and many words about generation."""
    tensors = {f"model.a_module_with_quite_a_long_name.another_of_them.part_{n}.weight": b"1" for n in range(60)}
    generation = {f"setting_{number}": number for number in range(40)}
    return {
        "model.safetensors": safetensors_bytes(tensors),
        "generation_config.json": json.dumps(generation).encode(),
        "tokenizer_config.json": json.dumps({"eos_token": "x" * 300}).encode(),
    }
