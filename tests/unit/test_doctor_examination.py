"""How an examination goes: which checks are made, and what a probe or a check that fails costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Severity, doctor
from modelfetch.diagnosis.checks import CHECKS, chosen
from modelfetch.diagnosis.facts import Probe
from modelfetch.diagnosis.probes import PROBES
from modelfetch.diagnosis.probes.limits import LimitFacts
from modelfetch.errors import UsageError
from tests.unit.doctor_machine import FakeMachine, found

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_a_healthy_machine_without_gpu_and_torch_has_no_error_and_no_warning(fake: FakeMachine) -> None:
    findings = found(fake)
    # How much room there is here is not the test's to say.
    unwell = {name for name, finding in findings.items() if finding.severity not in {Severity.OK, Severity.INFO}}
    assert unwell <= {"disk.low"}
    assert {"gpu.none", "torch.absent"} <= set(findings)


def test_a_check_uses_only_the_names_that_it_declares(fake: FakeMachine) -> None:
    declared = {name for check in CHECKS for name in (check.name, *check.finds)}
    fake.with_gpu().with_torch("2.14.0", cuda="13.0").write(".dockerenv")
    assert set(found(fake, HF_ENDPOINT="https://hf-mirror.com", HF_TOKEN="hf_x", HF_HUB_OFFLINE="1")) <= declared


def test_names_choose_checks_groups_and_findings() -> None:
    of_gpus = {check.name for check in CHECKS if check.group == "gpu"}
    assert {check.name for check in chosen(["gpu"], offline=False, deep=False)} == of_gpus > {"gpus", "driver", "cuda"}
    assert [check.name for check in chosen(["drv.too-old"], offline=False, deep=False)] == ["build"]
    assert [check.name for check in chosen(["memory", "clock"], offline=False, deep=False)] == ["memory", "clock"]
    assert chosen(["clock"], offline=True, deep=False) == ()


def test_the_trial_is_made_only_when_it_is_asked_for() -> None:
    assert "trial" not in {check.name for check in chosen([], offline=False, deep=False)}
    assert "trial" in {check.name for check in chosen([], offline=False, deep=True)}
    assert "trial" in {check.name for check in chosen(["trial"], offline=False, deep=False)}


def test_only_what_the_chosen_checks_need_is_read_and_no_endpoint_is_asked_offline(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    spies = [Probe(probe.kind, lambda *_, name=probe.kind.__name__: read.append(name)) for probe in PROBES]
    monkeypatch.setattr("modelfetch.diagnosis.examination.PROBES", spies)
    doctor(names=["memory"], machine=fake.machine())
    assert read == ["LimitFacts"]
    doctor(offline=True, machine=fake.machine())
    doctor(machine=fake.machine(MODELFETCH_OFFLINE="1"))
    assert "EndpointFacts" not in read
    doctor(machine=fake.machine())
    assert "EndpointFacts" in read
    assert "TrialFacts" not in read


def test_settings_that_are_given_are_the_ones_that_count(fake: FakeMachine) -> None:
    settings = load({**fake.environment, "MODELFETCH_OFFLINE": "1"})
    (finding,) = doctor(settings=settings, names=["offline"], machine=fake.machine())
    assert finding.name == "id.offline"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match="no check `gpux`") as caught:
        doctor(names=["gpux"])
    assert caught.value.hint == "modelfetch doctor --list"


def test_every_check_and_finding_is_named_once() -> None:
    names = [check.name for check in CHECKS] + [check.group for check in CHECKS]
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    for check in CHECKS:
        assert not set(check.finds) & set(names), check.name


def test_a_probe_that_raises_is_told_once_and_names_the_checks_that_it_costs(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> LimitFacts:
        raise RuntimeError("no such luck")

    monkeypatch.setattr("modelfetch.diagnosis.examination.PROBES", (Probe(LimitFacts, broken),))
    findings = doctor(names=["machine"], machine=fake.machine())
    assert [(finding.name, finding.severity) for finding in findings] == [("processors", Severity.CRASHED)]
    assert findings[0].title == (
        "limit facts could not be read (RuntimeError: no such luck), "
        "so these checks are left out: processors, memory, shared-memory, temporary, open-files, locked-memory"
    )


def test_a_probe_that_hangs_costs_its_limit_and_nothing_else(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hanging(*_: object) -> LimitFacts:
        import threading

        threading.Event().wait(600)
        raise AssertionError("nobody waits that long")

    probe = Probe(LimitFacts, hanging, limit_s=0.05)
    monkeypatch.setattr("modelfetch.diagnosis.examination.PROBES", (probe,))
    (finding,) = doctor(names=["memory", "config"], machine=fake.machine())[:1]
    assert finding.severity is Severity.CRASHED
    assert "no answer within 0.05 s" in finding.title


def test_a_check_that_raises_is_a_finding_and_the_others_go_on(
    fake: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelfetch.diagnosis.examination.PROBES", ())
    findings = doctor(names=["memory", "config"], machine=fake.machine())
    assert [(finding.name, finding.severity) for finding in findings] == [
        ("memory", Severity.CRASHED),
        ("config", Severity.OK),
    ]
    assert findings[0].title == "the check `memory` failed: LookupError: nobody reads LimitFacts"


def test_the_first_lines_wait_for_nothing_that_takes_long_to_import() -> None:
    script = (
        "import sys\n"
        "from modelfetch.diagnosis import examine\n"
        "next(examine(offline=True))\n"
        "heavy = {'adopt', 'store', 'model', 'http', 'transfer', 'hubs', 'pull'}\n"
        "print(sorted(heavy & {name.split('.')[1] for name in sys.modules if name.startswith('modelfetch.')}))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_probes_and_checks_import_while_they_run_is_imported_one_after_the_other() -> None:
    """Imported by two threads at once, a package is half there for one of them."""
    declared = {name for probe in PROBES for name in probe.imports}
    imported = {
        statement.module or ""
        for part in ("probes", "checks")
        for file in (REPOSITORY / "modelfetch/diagnosis" / part).glob("*.py")
        for function in ast.walk(ast.parse(file.read_bytes()))
        if isinstance(function, ast.FunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.ImportFrom)
    }
    ours = {name for name in imported if name.startswith("modelfetch")}
    assert {"modelfetch.adopt", "modelfetch.http", "modelfetch.store"} <= ours <= declared
