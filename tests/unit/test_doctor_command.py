"""`modelfetch doctor`: what it prints, its document, its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelfetch.cli import run
from modelfetch.diagnosis import Finding, Rank, Severity
from modelfetch.diagnosis.checks import CHECKS

SETTINGS = ["doctor", "settings", "--offline"]


@pytest.fixture
def broken_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that any machine can have."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")


def document(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    run([*SETTINGS, "--json", *options])
    return json.loads(capsys.readouterr().out)


def test_a_machine_with_warnings_at_most_ends_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SETTINGS) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("[✓] settings ")
    assert printed.err == ""
    assert "Nothing is wrong." in printed.out


def test_a_warning_is_shown_with_what_mends_it_and_ends_with_status_0(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run(SETTINGS) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "[!] settings  1 warning"
    assert lines[1] == "    [!] id.offline: HF_HUB_OFFLINE keeps everything offline"
    assert lines[2] == "        mend:  unset HF_HUB_OFFLINE"
    assert lines[-1] == "Nothing is broken; 1 warning."


@pytest.mark.usefixtures("broken_certificate")
def test_an_error_ends_with_status_11_the_cause_its_command_and_its_proof(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SETTINGS) == 11
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3:] == [
        "No https connection can be made because SSL_CERT_FILE names `/nowhere/ca.pem`, which is not there.",
        "  mend:  unset SSL_CERT_FILE",
        "  prove: modelfetch doctor proxy",
    ]


def test_the_cause_is_told_with_what_it_explains(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cause = Finding("net.dns", Severity.ERROR, "it is", effect="nothing works", rank=Rank.NETWORK)
    follows = Finding("pip.unreachable", Severity.WARNING, "it follows", rank=Rank.NETWORK)
    monkeypatch.setattr("modelfetch.diagnosis.examine", lambda **_: iter([("network", [cause, follows])]))
    assert run(["doctor"]) == 11
    lines = capsys.readouterr().out.splitlines()
    assert "        follows from net.dns" in lines
    assert lines[-2:] == ["Nothing works because it is.", "  explains: pip.unreachable"]


def test_of_many_findings_of_one_name_a_few_are_shown_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    many = [Finding("tf.old", Severity.WARNING, f"`own/{number}` cannot be run") for number in range(200)]
    notes = [Finding("tf.remote-code", Severity.INFO, f"`own/{number}` wants to run code") for number in range(7)]
    groups = [("python", notes), ("models", [*many, Finding("model.memory", Severity.WARNING, "`own/x` is large")])]
    monkeypatch.setattr("modelfetch.diagnosis.examine", lambda **_: iter(groups))
    assert run(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "[!] models    201 warnings" in printed
    assert printed.count("cannot be run") == 4
    assert "    196 more of tf.old: modelfetch doctor tf.old -v" in printed.splitlines()
    assert "`own/x` is large" in printed
    assert "3 more (tf.remote-code, -v)" in " ".join(printed.split())
    assert run(["doctor", "-v"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("cannot be run") == 200
    assert " more of " not in printed


@pytest.mark.usefixtures("broken_certificate")
def test_the_document_has_the_same_findings_with_stable_keys(capsys: pytest.CaptureFixture[str]) -> None:
    told = document(capsys)
    assert set(told) == {"schema_version", "conclusion", "primary", "findings"}
    assert told["primary"] == "net.ca"
    (finding,) = [finding for finding in told["findings"] if finding["name"] == "net.ca"]
    assert finding == {
        "name": "net.ca",
        "severity": "error",
        "title": "SSL_CERT_FILE names `/nowhere/ca.pem`, which is not there",
        "evidence": {"variable": "SSL_CERT_FILE", "path": "/nowhere/ca.pem"},
        "effect": "no https connection can be made",
        "rank": "settings",
        "advice": "",
        "fix": ["unset SSL_CERT_FILE"],
        "verify": "modelfetch doctor proxy",
        "consequence_of": None,
    }


def test_verbose_shows_what_is_well_and_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    run([*SETTINGS, "-v"])
    printed = capsys.readouterr().out
    assert "    [✓] config: the settings can be read" in printed
    assert "        hubs = []" in printed


@pytest.mark.parametrize("option", ["-v", "--json"])
def test_a_token_is_never_printed(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecret")
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "0f8fad5b-d9cb-469f-a165-70867728950e")
    run([*SETTINGS, option])
    printed = capsys.readouterr().out
    assert "secretsecret" not in printed
    assert "0f8fad5b" not in printed
    assert "HF_TOKEN" in printed


def test_the_list_names_every_check_and_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--list"]) == 0
    words = set(capsys.readouterr().out.split())
    assert {name for check in CHECKS for name in (check.name, check.group, *check.finds)} <= words


def test_the_page_about_doctor_has_a_row_for_every_check() -> None:
    page = (Path(__file__).parents[2] / "docs/doctor.md").read_text(encoding="utf-8")
    rows = [
        f"| {check.group} | `{check.name}` | {check.about} | {', '.join(f'`{name}`' for name in check.finds)} |"
        for check in CHECKS
    ]
    assert [row for row in rows if row not in page] == []
    assert page.count("\n| ") == len(rows) + len(Severity) + 4  # and two heads of two lines each


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "gpux"]) == 2
    assert "hint: modelfetch doctor --list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "similar"),
    [("byte_code", "`byte-code`"), ("drv.tooold", "`drv.too-old`"), ("GPU", "`gpu`"), ("???", None)],
)
def test_an_unknown_name_is_told_with_those_that_look_like_it(
    name: str, similar: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", name]) == 2
    told = capsys.readouterr().err
    assert "similar" not in told if similar is None else similar in told


def test_a_broken_mirrors_yaml_is_a_finding_and_not_the_end(
    own_environment: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = own_environment / ".config/modelfetch/mirrors.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("version: 1\nendpoints:\n  lab: {hubb: x}\n")
    assert run(SETTINGS) == 11
    assert f"`{file}` line 3 cannot be used" in " ".join(capsys.readouterr().out.split())


def test_every_severity_has_a_sign() -> None:
    from modelfetch.cli.doctor import _PLAIN_SIGNS, _SIGNS

    assert set(_SIGNS) == set(_PLAIN_SIGNS) == set(Severity)
