"""`modelfetch smoke`: what it prints, its document, its exit status. No model is run here."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.cli._smoke_report import render, render_fit, show
from modelfetch.cli._smoke_test import end_of
from modelfetch.config import load
from modelfetch.model.placement import BEFORE_LOADING, DoesNotFit, Need, Placed
from modelfetch.smoketest import Fit, SmokeOptions
from modelfetch.smoketest.circumstances import circumstances_of
from modelfetch.smoketest.kept import to_keep
from modelfetch.smoketest.result import make_result
from modelfetch.store import Snapshot, Store
from modelfetch.units import format_bytes
from tests.conftest import safetensors_bytes
from tests.stored import bring
from tests.unit.test_smoke_verdict import CHAT, ENDED, FAULTS, GENERATED, STACK, SUBJECT, instead

BROKEN = {
    "config.json": b'{"model_type": "llama"}',
    "model.safetensors": b"version https://git-lfs.github.com/spec/v1\n",
}
DIFFUSERS = {"model_index.json": b"{}", "unet/model.safetensors": safetensors_bytes({"a": b"12345678"})}


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def test_a_failure_ends_with_status_10_and_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", str(write(tmp_path, BROKEN))]) == 10
    printed = capsys.readouterr()
    assert printed.out.startswith(f"FAIL  {tmp_path}\n")
    assert "broken-file: `model.safetensors`: a Git LFS pointer" in printed.out
    assert "do: pull it again: modelfetch pull " in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("models", [["--all"], ["a/b", "c/d"]])
def test_consent_to_run_code_is_given_for_one_model(models: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "--trust-remote-code", *models]) == 2
    assert "one model at a time" in capsys.readouterr().err


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_an_empty_prompt_is_no_question(prompt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "a/b", "--prompt", prompt]) == 2
    assert "nothing in the prompt" in capsys.readouterr().err


def test_code_that_may_run_with_consent_is_listed_before_it_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "config.json": b'{"model_type": "own", "auto_map": {"AutoModelForCausalLM": "modeling_own.Own"}}',
        "modeling_own.py": b"print('it ran')",
        "model.safetensors": safetensors_bytes({"a": b"12345678"}),
        "tokenizer.json": b"{}",
        # So that it comes to no child.
        "vae.safetensors": b"version https://git-lfs.github.com/spec/v1\n",
    }
    assert run(["smoke", "--trust-remote-code", str(write(tmp_path, files))]) == 10
    digest = hashlib.sha256(files["modeling_own.py"]).hexdigest()
    assert f"may run with your rights: modeling_own.py, 15 bytes, sha256 {digest}\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "columns", "expected"),
    [
        ("The capital of France", 40, "The capital of France"),
        ("The capital\n of France", 9, "of France"),
        ("法国的首都是巴黎", 5, "巴黎"),
        ("\x1b[31mred", 40, "\\x1b[31mred"),
        ("anything", 0, ""),
        ("anything", -5, ""),
    ],
)
def test_the_end_of_what_is_written_fits_into_a_line_and_commands_nothing(
    text: str, columns: int, expected: str
) -> None:
    assert end_of(text, columns) == expected


def test_what_is_skipped_ends_with_status_0_and_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", str(write(tmp_path, DIFFUSERS))]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith(f"SKIP  {tmp_path}\n")
    assert "SKIP not-exercised: a diffusers pipeline" in printed.out


def test_one_failure_among_several_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [str(write(tmp_path / "a", DIFFUSERS)), str(write(tmp_path / "b", BROKEN))]
    assert run(["smoke", "--json", *folders]) == 10
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert [result["verdict"] for result in document["results"]] == ["SKIP", "FAIL"]
    assert document["results"][1]["findings"][0]["check"] == "broken-file"


def test_a_model_of_the_store_is_found_by_its_name_and_keeps_the_result(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(load().home)
    snapshot = bring(store, DIFFUSERS)
    assert run(["smoke", "owner/name"]) == 0
    assert capsys.readouterr().out.startswith(f"SKIP  owner/name @{snapshot.manifest.commit[:12]}\n")
    kept = store.lookup(snapshot.reference)
    assert kept is not None
    assert kept.smoke is not None
    assert kept.smoke["verdict"] == "SKIP"
    assert kept.smoke["tested_at"].endswith("+00:00")


def test_all_means_every_model_of_the_store(capsys: pytest.CaptureFixture[str]) -> None:
    bring(Store.open(load().home), DIFFUSERS)
    assert run(["smoke", "--all", "--json"]) == 0
    assert [result["model"] for result in json.loads(capsys.readouterr().out)["results"]] == ["owner/name"]


def test_an_empty_store_has_nothing_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "--all", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "results": [], "unchanged": []}
    assert not load().home.exists()


def test_a_name_that_is_nowhere_is_an_error_with_the_command_that_brings_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "owner/other"]) == 4
    assert "hint: modelfetch pull owner/other" in capsys.readouterr().err


def test_a_folder_may_look_like_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(write(tmp_path / "owner/name", DIFFUSERS).parent.parent)
    assert run(["smoke", "owner/name"]) == 0
    assert capsys.readouterr().out.startswith("SKIP  owner/name\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 2),
        (["--all", "owner/name"], 2),
        (["--device", "tpu", "owner/name"], 2),
        (["--dtype", "int4", "owner/name"], 2),
        (["--max-new-tokens", "0", "owner/name"], 2),
        (["--timeout", "0", "owner/name"], 2),
        (["./nowhere"], 4),
        (["--level", "deep", "owner/name"], 2),
        (["--force", "owner/name"], 2),
    ],
)
def test_what_cannot_be_understood_or_found_has_its_status(
    arguments: list[str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["smoke", *arguments]) == status
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_without_torch_or_transformers_the_install_command_is_given(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert run(["smoke", str(write(tmp_path, DIFFUSERS))]) == 3
    error = capsys.readouterr().err
    assert f"`{package}`" in error
    assert "pip install 'modelfetch[smoke]'" in error
    assert "install the torch that your GPU needs" in error


def test_a_report_begins_with_the_verdict_and_parts_thinking_from_the_answer() -> None:
    text = "<think>It is Paris.</think>Paris.<|im_end|>"
    lines = render(make_result(SUBJECT, instead(CHAT, replace(GENERATED, text=text)))).splitlines()
    assert lines[0] == "PASS  owner/name @000000000000  (chat model)"
    assert "  thinking  It is Paris." in lines
    assert "  answer    Paris." in lines
    assert "  ended by  end of text, after 8 tokens" in lines
    assert "  device    CPU: this torch was built without CUDA (a CPU)" in lines
    read = "reads the prompt's 42 tokens at 210 tokens/s"
    assert f"  speed     first token after 0.20 s, {read}, writes 17.5 tokens/s" in lines
    assert "  loaded    in 0.5 s, 134.5 M parameters (LlamaForCausalLM, sdpa attention)" in lines


def test_on_a_terminal_lines_are_broken_between_words_and_commands_are_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = (
        "  device    CPU: this torch was built without CUDA\n       do: modelfetch verify owner/name --deep --repair"
    )
    show(report)
    assert capsys.readouterr().out == f"{report}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "41")
    show(report)
    assert capsys.readouterr().out.splitlines() == [
        "  device    CPU: this torch was built",
        "            without CUDA",
        "       do: modelfetch verify owner/name --deep --repair",
    ]


def test_thinking_that_was_cut_off_is_no_empty_answer() -> None:
    written = replace(GENERATED, text="<think>Well", ended="length")
    assert "still thinking" in render(make_result(SUBJECT, instead(CHAT, written)))


def test_a_pass_of_a_plain_folder_says_what_it_does_not_prove() -> None:
    assert "proven by nothing" in render(make_result(replace(SUBJECT, commit=None), CHAT))
    assert "proven by nothing" not in render(make_result(SUBJECT, CHAT))


def test_a_snapshot_is_mended_by_its_digests() -> None:
    report = render(make_result(SUBJECT, FAULTS["cut short"].observations))
    assert "do: modelfetch verify owner/name --deep --repair" in report


def test_commands_to_a_terminal_are_shown_and_not_sent() -> None:
    report = render(make_result(SUBJECT, instead(CHAT, replace(GENERATED, text="\x1b[2Jgone\x07"))))
    assert "\\x1b[2Jgone\\x07" in report
    assert "\x1b" not in report


def test_the_last_words_of_a_crash_are_part_of_the_report() -> None:
    log = "Fatal Python error: Segmentation fault\n\nCurrent thread 0x1"
    crashed = (*CHAT[:5], replace(ENDED, exit_status=None, signal="SIGSEGV", phase="load", log=log))
    report = render(make_result(SUBJECT, crashed))
    assert report.startswith("FAIL")
    assert "killed by SIGSEGV during load" in report
    assert "Fatal Python error" in report


@pytest.mark.parametrize("fault", FAULTS)
def test_every_result_can_be_printed_and_written_as_json(fault: str) -> None:
    result = make_result(SUBJECT, FAULTS[fault].observations)
    assert render(result).startswith(result.verdict.value)
    json.dumps(result.to_json(), allow_nan=False)


def test_a_test_to_the_headers_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert run(["smoke", "--level", "headers", str(write(tmp_path / "sound", DIFFUSERS))]) == 0
    assert run(["smoke", "--level", "headers", str(write(tmp_path / "broken", BROKEN))]) == 10


def test_the_bytes_of_a_plain_folder_are_proven_by_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "--level", "bytes", str(write(tmp_path, DIFFUSERS))]) == 0
    assert "SKIP bytes-unproven" in capsys.readouterr().out


def test_the_bytes_of_a_snapshot_are_known_by_their_digests(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(load().home)
    snapshot = bring(store, DIFFUSERS)
    assert run(["smoke", "--level", "bytes", "owner/name"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("PASS  owner/name")
    assert f"bytes     {format_bytes(snapshot.size_bytes)}, as when verified\n" in printed
    kept = store.lookup(snapshot.reference)
    assert kept is not None
    assert kept.smoke is None, "a test that stopped early says nothing of the model"


def test_damaged_bytes_end_a_test_before_anything_is_loaded(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = bring(Store.open(load().home), DIFFUSERS)
    weights = snapshot.file("unet/model.safetensors").resolve()
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"X")
    assert run(["smoke", "owner/name"]) == 10
    printed = capsys.readouterr().out
    assert "FAIL damaged-bytes: 1 file not as when verified" in printed
    assert "which: unet/model.safetensors: changed" in printed
    assert "do: modelfetch verify owner/name --deep --repair" in printed


def passed_before(store: Store, options: SmokeOptions) -> Snapshot:
    """A snapshot whose kept result is a pass under the circumstances of now."""
    snapshot = bring(store, DIFFUSERS)
    result = make_result(SUBJECT, CHAT)
    moment = "2026-11-22T10:00:00.000+00:00"
    return store.note_smoke(snapshot, to_keep(result, moment, circumstances_of(snapshot, options), None))


def test_all_runs_what_passed_and_is_unchanged_only_when_forced(capsys: pytest.CaptureFixture[str]) -> None:
    passed_before(Store.open(load().home), SmokeOptions())
    assert run(["smoke", "--all"]) == 0
    assert "not run again: bytes, software, device and question are as on 2026-11-22" in capsys.readouterr().out
    assert run(["smoke", "--all", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(each["model"], each["verdict"]) for each in document["unchanged"]] == [("owner/name", "PASS")]
    assert document["results"] == []
    assert run(["smoke", "--all", "--force"]) == 0
    assert capsys.readouterr().out.startswith("SKIP  owner/name")


def test_all_runs_what_is_asked_otherwise_or_damaged(capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = passed_before(Store.open(load().home), SmokeOptions())
    assert run(["smoke", "--all", "--max-new-tokens", "8", "--level", "headers"]) == 0
    assert capsys.readouterr().out.startswith("PASS  owner/name @0123456789ab  to the level headers")
    weights = snapshot.file("unet/model.safetensors").resolve()
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"X")
    assert run(["smoke", "--all"]) == 10


def test_ls_shows_the_last_test_and_with_what_it_last_passed(capsys: pytest.CaptureFixture[str]) -> None:
    store = Store.open(load().home)
    snapshot = passed_before(store, SmokeOptions())
    failed = make_result(SUBJECT, FAULTS["a hole"].observations)
    moment = "2026-11-23T10:00:00.000+00:00"
    store.note_smoke(snapshot, to_keep(failed, moment, circumstances_of(snapshot, SmokeOptions()), snapshot.smoke))
    assert run(["ls"]) == 0
    assert "FAIL 2026-11-23" in capsys.readouterr().out
    assert run(["ls", "-v"]) == 0
    shown = capsys.readouterr().out
    assert "last passed smoke on 2026-11-22" in shown
    assert "on cpu in float32, with torch 2.13.0+cpu" in shown


def test_a_plan_prints_the_sum_and_ends_with_10_where_it_does_not_fit() -> None:
    need = Need(16_000_000_000, 70_000_000, 544, 500_000_000)
    short = DoesNotFit("cuda:0", need.total_bytes, 8_000_000_000, BEFORE_LOADING, need, "bfloat16")
    placed = Placed("cpu", "a CPU", "the GPU is too small", "float32", "exact", need=need, available_bytes=64 * 10**9)
    shown = render_fit(Fit(SUBJECT, "chat model", placed, (short,)))
    assert shown.startswith("FITS  owner/name @000000000000  (chat model)\n")
    for line in (
        "  too small cuda:0",
        "  cache     70.0 MB, the keys and values of 544 tokens",
        "  needed    16.6 GB",
        "  free      8.0 GB",
        "  device    CPU: the GPU is too small (a CPU)",
        "  free      64.0 GB",
    ):
        assert line in shown.splitlines(), shown
    assert render_fit(Fit(SUBJECT, "chat model", None, (short,))).startswith("DOES NOT FIT  owner/name")


def test_a_plan_of_what_is_not_exercised_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["smoke", "--plan", str(write(tmp_path, DIFFUSERS))]) == 0
    assert capsys.readouterr().out.startswith(f"SKIP  {tmp_path}\n\n  a diffusers pipeline")


def test_byte_code_that_was_compiled_to_be_kept_is_said_once() -> None:
    compiled = replace(STACK, import_s=31.0, compiled=True, byte_code_folder="/home/me/.cache/modelfetch/bytecode-v1")
    told = render(make_result(SUBJECT, instead(CHAT, compiled)))
    assert "31.0 s, once: their byte code was compiled and is kept (/home/me/.cache/modelfetch/bytecode-v1)" in told


def test_byte_code_that_is_not_kept_is_said_where_it_costs_time() -> None:
    told = render(make_result(SUBJECT, instead(CHAT, replace(STACK, import_s=31.0, byte_code=False))))
    assert (
        "  imports   31.0 s each time: Python keeps no byte code of torch; python -m compileall writes it once" in told
    )
    assert "byte code" not in render(make_result(SUBJECT, CHAT))
