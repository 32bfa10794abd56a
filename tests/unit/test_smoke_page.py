"""The page of `smoke --report`: whole in one file, nothing in it that anybody else wrote as markup, nobody named."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from modelfetch.cli import run
from modelfetch.cli._smoke_page import Author, render_page
from modelfetch.model.placement import Need
from modelfetch.smoketest import SmokeResult, Subject, Verdict
from modelfetch.smoketest.result import make_result
from tests.unit.test_smoke_verdict import CHAT, FAULTS, GENERATED, PLACED, PREDICTED, SUBJECT, instead

AUTHOR = Author({"/home/somebody": "~", "/home/somebody/work": "."}, "somebody", "1.0")
MADE_AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x1b[2J"
KNOWN_TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "article", "section", "h1", "h2", "h3", "p",
    "span", "code", "b", "pre", "details", "summary", "dl", "dt", "dd", "ul", "li", "svg", "rect",
}  # fmt: skip


class Tags(HTMLParser):
    """Every tag with its attributes, and whether each that opens closes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(*results: SmokeResult) -> str:
    return render_page(results, {}, MADE_AT, AUTHOR)


def placed_with_sum() -> SmokeResult:
    placed = replace(PLACED, need=Need(500_000_000, 1_000_000, 544, 500_000_000), available_bytes=8_000_000_000)
    thinking = replace(GENERATED, text="<think>It is Paris.</think>Paris.<|im_end|>")
    return make_result(SUBJECT, instead(CHAT, placed, thinking))


def test_a_page_shows_verdict_conversation_and_numbers() -> None:
    shown = page(placed_with_sum())
    for text in (
        "Smoke test of owner/name: PASS",
        '<h3>Thought</h3>\n<pre class="thinking">It is Paris.</pre>',
        "<h3>Answered</h3>\n<pre>Paris.</pre>",
        "ended by end of text, after 8 tokens",
        "torch <b>2.13.0+cpu</b>",
        "2026-11-22 10:00 UTC",
    ):
        assert text in shown


def test_a_number_stands_in_words_on_both_sides_of_its_bar() -> None:
    shown = page(placed_with_sum())
    bars = re.findall(r"<dt>([^<]*)</dt><dd><svg [^>]*aria-hidden=.true.>.*?</svg></dd><dd>([^<]*)</dd>", shown)
    assert [label for label, _ in bars] == [
        *("imports", "loading", "first token", "writing", "checks and the rest"),
        *("reckoned before loading", "used at most by the process", "free before", "this model", "guessing"),
    ]
    assert {number for _, number in bars} >= {"3.0 s", "1.0 GB", "8.0 GB", "1.1 GB", "10.80"}
    assert shown.count('class="bar"') == len(bars), "one look for all: what a bar is, its name says"


@pytest.mark.parametrize("fault", FAULTS)
def test_every_result_is_a_well_formed_page_of_known_tags(fault: str) -> None:
    tags = Tags(page(make_result(SUBJECT, FAULTS[fault].observations)))
    assert tags.open == []
    assert {tag for tag, _ in tags.found} <= KNOWN_TAGS


def test_nothing_that_a_model_is_called_or_writes_becomes_markup() -> None:
    hostile = instead(
        CHAT,
        replace(GENERATED, text=HOSTILE),
        *(each for fault in FAULTS.values() for each in fault.observations if type(each).__name__ == "Raised"),
    )
    result = make_result(Subject(HOSTILE, HOSTILE, HOSTILE), hostile)
    stack = replace(result.facts, versions={HOSTILE: HOSTILE}, kind=HOSTILE, device_name=HOSTILE, class_name=HOSTILE)
    findings = tuple(
        replace(each, title=HOSTILE, evidence={HOSTILE: HOSTILE}, hint=HOSTILE) for each in result.findings
    )
    assert result.spoken is not None
    assert findings
    spoken = replace(result.spoken, prompt=HOSTILE, rendered=HOSTILE + ".", thinking=HOSTILE, ended=HOSTILE)
    shown = page(replace(result, facts=stack, findings=findings, spoken=spoken))
    tags = Tags(shown)
    assert {tag for tag, _ in tags.found} <= KNOWN_TAGS
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)
    assert "\x1b" not in shown


def test_the_policy_lets_nothing_in_but_its_own_style() -> None:
    shown = page(placed_with_sum())
    style = re.search(r"<style>(.*?)</style>", shown, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style.group(1).encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in shown
    assert not re.search(r"https?://|url\(|@import|\bsrc=|\bhref=|\bstyle=", shown)


def test_no_secret_home_or_user_is_named() -> None:
    files = "File /home/somebody/venv/x.py\nFile /home/somebody/work/y.py\n/data/somebody/cache"
    log = f"{files}\nhf_abcdefghijklmnopqrstuvwxyz012345"
    crashed = make_result(SUBJECT, (*CHAT[:5], replace(CHAT[-1], exit_status=3, log=log)))  # type: ignore[arg-type]  # the end
    shown = page(crashed)
    assert "~/venv/x.py" in shown
    assert "File ./y.py" in shown, "the longest name first"
    assert "/data/USER/cache" in shown
    assert "somebody" not in shown
    assert "hf_abc" not in shown


def test_a_plain_folder_is_named_without_its_place() -> None:
    result = make_result(Subject("/data/people/my-model/", "/data/people/my-model/"), CHAT)
    shown = page(result)
    assert "Smoke test of my-model: PASS" in shown
    assert "/data/people" not in shown
    assert "proven by nothing" in shown


@pytest.mark.parametrize("commit", [None, "0" * 40])
def test_a_failure_does_not_tell_where_the_model_lies(commit: str | None) -> None:
    subject = Subject("owner/name", "/data/people/my-model", commit)
    log = "File /data/people/my-model/config.json is cut short"
    shown = page(make_result(subject, (*CHAT[:5], replace(CHAT[-1], exit_status=3, log=log))))  # type: ignore[arg-type]  # the end
    assert "File my-model/config.json is cut short" in shown
    assert "/data/people" not in shown


def test_numbers_that_are_none_draw_no_picture() -> None:
    result = make_result(SUBJECT, instead(CHAT, replace(PREDICTED, loss=math.nan)))
    assert "Loss on plain English" not in page(result)
    assert "<rect" not in page(make_result(SUBJECT, FAULTS["cut short"].observations))


def test_what_was_not_run_again_is_listed() -> None:
    kept = {"owner/kept": {"verdict": "PASS", "tested_at": "2026-11-21"}}
    shown = render_page([], kept, MADE_AT, AUTHOR)
    assert "Smoke tests: nothing was run" in shown
    assert "<dt>owner/kept</dt><dd>PASS, 2026-11-21</dd>" in shown


def test_the_command_writes_the_page_beside_its_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model_index.json").write_text("{}")
    report = tmp_path / "report.html"
    assert run(["smoke", str(tmp_path / "model"), "--report", str(report)]) == 0
    assert Verdict.SKIP.value in report.read_text(encoding="utf-8")
    assert f"report: {report}" in capsys.readouterr().err


def test_a_report_that_cannot_be_written_is_said_before_the_test(tmp_path: Path) -> None:
    assert run(["smoke", "owner/name", "--report", str(tmp_path / "nowhere/report.html")]) == 2
    assert run(["smoke", "owner/name", "--plan", "--report", str(tmp_path / "report.html")]) == 2
