"""Where packages come from: what is set, what of it answers, and the commands that come of it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch import experience
from modelfetch.config.values import Index
from modelfetch.diagnosis import Finding, Severity
from modelfetch.diagnosis.checks.indexes import check_indexes
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.installing import Installer, for_indexes, for_installer
from modelfetch.diagnosis.probes.index_answers import IndexAnswer, IndexAnswers, read_index_answers
from modelfetch.diagnosis.probes.index_settings import PYPI
from modelfetch.planning.preference import Tried
from tests.other_tools import write
from tests.pulling import settings
from tests.unit.doctor_machine import FakeMachine, found

TUNA = "https://pypi.tuna.tsinghua.edu.cn/simple"


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def urls(fake: FakeMachine, **environment: str) -> list[str]:
    """The addresses that are told, each with its tool and its name."""
    findings = found(fake, "index-settings", **environment)
    return [f"{each.evidence['tool']} {each.evidence['url']}" for each in findings.values() if "url" in each.evidence]


@pytest.mark.parametrize(
    ("path", "text", "told"),
    [
        ("config/pip/pip.conf", f"[global]\nindex-url = {TUNA}\n", f"pip {TUNA}"),
        (".pip/pip.conf", f"[install]\nextra-index-url =\n  {TUNA}\n", f"pip {TUNA}"),
        ("config/uv/uv.toml", f'index-url = "{TUNA}"\n', f"uv {TUNA}"),
        ("config/uv/uv.toml", f'[[index]]\nurl = "{TUNA}"\ndefault = true\n', f"uv {TUNA}"),
        ("config/uv/uv.toml", f'[pip]\nextra-index-url = ["{TUNA}"]\n', f"uv {TUNA}"),
        (".condarc", "channels: [defaults]\nchannel_alias: https://mirror.example/cloud\n", None),
    ],
)
def test_what_pip_uv_and_conda_are_set_to_is_read_from_their_files(
    fake: FakeMachine, path: str, text: str, told: str | None
) -> None:
    write(fake.home / path, text.encode())
    assert urls(fake) == [told or "conda https://mirror.example/cloud"]


@pytest.mark.parametrize("text", ["[global\n", "= = =", "[[index]]\nurl = 3\n", "a: [", "- x", "channels: 3"])
def test_a_file_that_is_no_such_file_says_nothing(fake: FakeMachine, text: str) -> None:
    for path in ("config/pip/pip.conf", "config/uv/uv.toml", ".condarc"):
        write(fake.home / path, text.encode())
    assert urls(fake) == []
    assert found(fake, "index-settings")["index-settings"].severity is Severity.OK


def test_variables_count_and_passwords_are_never_shown(fake: FakeMachine) -> None:
    findings = found(fake, "index-settings", PIP_INDEX_URL="https://me:hunter2@pypi.example/simple")
    assert findings["pip.index"].severity is Severity.INFO
    assert "hunter2" not in repr(findings)
    assert urls(fake, UV_INDEX="lab=https://me:hunter2@lab.example/simple") == ["uv https://lab.example/simple"]


def test_an_index_that_can_be_changed_on_the_way_is_a_warning(fake: FakeMachine) -> None:
    finding = found(fake, "index-settings", PIP_INDEX_URL="http://pypi.example/simple")["pip.insecure"]
    assert (finding.severity, finding.fix) == (
        Severity.WARNING,
        ("pip config set global.index-url https://pypi.example/simple",),
    )
    assert "pip.insecure" not in found(fake, "index-settings", PIP_INDEX_URL="http://127.0.0.1:8080/simple")


def test_two_tools_that_install_from_two_places_are_told(fake: FakeMachine) -> None:
    assert "pip.differs" in found(fake, "index-settings", UV_DEFAULT_INDEX=TUNA)


def answer(
    kind: str, url: str, *, alive: bool = True, is_set: bool = False, seconds: float = 0.1, rate: float | None = None
) -> IndexAnswer:
    region = "global" if "pypi.org" in url or "pytorch.org" in url else "cn"
    return IndexAnswer(Index(url, kind, url, region), is_set, None if alive else "no connection", seconds, rate)


OFFICIAL = answer("pypi", PYPI, is_set=True)
DEAD = answer("pypi", PYPI, is_set=True, alive=False)
DEAD_TORCH = answer("torch", "https://download.pytorch.org/whl", alive=False)
INSTALL = "python -m pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130"


def told(*answers: IndexAnswer) -> list[Finding]:
    return check_indexes(Facts([IndexAnswers(answers)]))


def test_an_index_that_answers_is_well_and_mirrors_that_do_not_are_nobodys_business() -> None:
    assert [(each.name, each.severity) for each in told(OFFICIAL, answer("pypi", TUNA, alive=False))] == [
        ("indexes", Severity.OK)
    ]


def test_an_index_that_does_not_answer_is_told_with_the_fastest_that_does() -> None:
    slow, fast = answer("pypi", "https://slow.example", seconds=2.0), answer("pypi", TUNA)
    (finding,) = told(DEAD, slow, fast)
    assert (finding.name, finding.severity) == ("pip.unreachable", Severity.WARNING)
    assert finding.fix == (
        f"pip config set global.index-url {TUNA}",
        f"export UV_DEFAULT_INDEX={TUNA}",
        "modelfetch doctor --fix indexes",
    )
    assert "mirrors test" in finding.advice
    (alone,) = told(DEAD)
    assert (alone.fix, alone.advice) == ((), "None of the mirrors that are known answers either.")


def test_the_mirror_that_was_measured_to_be_the_fastest_is_named_before_one_that_answers_first() -> None:
    first, fastest = answer("pypi", "https://first.example", rate=4e5), answer("pypi", TUNA, seconds=2.0, rate=12.3e6)
    (finding,) = told(DEAD, answer("pypi", "https://new.example", seconds=0.01), first, fastest)
    assert finding.fix[0] == f"pip config set global.index-url {TUNA}"
    assert finding.advice == f"{TUNA} sent 12.3 MB/s here when it was tried."
    assert finding.evidence["bytes_per_s"] == 12_300_000
    (finding,) = told(DEAD, first, replace(fastest, problem="no connection"))
    assert finding.fix[0] == "pip config set global.index-url https://first.example"


def test_how_fast_an_index_was_here_is_remembered_from_trying_it(fake: FakeMachine, tmp_path: Path) -> None:
    lab = Index("lab", "pypi", "http://127.0.0.1:9/simple")
    known = replace(settings(tmp_path), indexes=(lab,), experience=tmp_path / "e.json")
    experience.remember(known.experience, {lab: Tried(time.time(), None, 0.1, 12.3e6)})
    machine = fake.machine(PIP_INDEX_URL=lab.url, UV_DEFAULT_INDEX=lab.url)
    (found_out,) = read_index_answers(machine, known).answers
    assert (found_out.bytes_per_s, found_out.is_set) == (12.3e6, True)


def test_a_channel_of_condas_that_does_not_answer_is_told_with_a_mirror_of_conda() -> None:
    dead = answer("conda", "https://conda.anaconda.org", is_set=True, alive=False)
    finding, _ = told(dead, OFFICIAL, answer("conda", "https://m.example/cloud"))
    assert (finding.name, finding.fix) == (
        "conda.unreachable",
        ("conda config --set channel_alias https://m.example/cloud",),
    )


@pytest.mark.parametrize(
    ("answers", "line", "expected"),
    [
        ((OFFICIAL,), INSTALL, INSTALL),
        (
            (DEAD, answer("pypi", TUNA)),
            'python -m pip install "torch<2.11"',
            f'python -m pip install "torch<2.11" --index-url {TUNA}',
        ),
        ((DEAD, answer("pypi", TUNA)), INSTALL, INSTALL),
        ((DEAD, answer("pypi", TUNA)), "sudo reboot", "sudo reboot"),
        (
            (OFFICIAL, DEAD_TORCH, answer("torch", "https://m.example/whl")),
            INSTALL,
            "python -m pip install --force-reinstall torch --index-url https://m.example/whl/cu130",
        ),
        (
            (DEAD, answer("pypi", TUNA), DEAD_TORCH, answer("torch-links", "https://m.example/w")),
            INSTALL,
            f"python -m pip install --force-reinstall torch --find-links https://m.example/w/cu130 --index-url {TUNA}",
        ),
    ],
)
def test_a_command_installs_from_where_it_can(answers: tuple[IndexAnswer, ...], line: str, expected: str) -> None:
    findings = [Finding("torch.cpu-build", Severity.ERROR, "it is", fix=(line,)), *told(*answers)]
    assert for_indexes(findings)[0].fix == (expected,)


@pytest.mark.parametrize(
    ("installer", "expected"),
    [
        (Installer(), INSTALL),
        (Installer("/v/bin/python"), INSTALL.replace("python -m pip", '"/v/bin/python" -m pip')),
        (
            Installer("/v/bin/python", has_pip=False, has_uv=False),
            '"/v/bin/python" -m ensurepip && ' + INSTALL.replace("python -m pip", '"/v/bin/python" -m pip'),
        ),
        (Installer(has_pip=False, has_uv=False), f"python -m ensurepip && {INSTALL}"),
        (
            Installer("/v/bin/python", has_pip=False),
            'uv pip install --python "/v/bin/python" --reinstall torch --index-url https://download.pytorch.org/whl/cu130',
        ),
        (
            Installer(has_pip=False),
            "uv pip install --reinstall torch --index-url https://download.pytorch.org/whl/cu130",
        ),
    ],
)
def test_a_command_installs_into_the_python_that_was_looked_at(installer: Installer, expected: str) -> None:
    found_it = Finding("torch.cpu-build", Severity.ERROR, "it is", fix=(INSTALL,), verify="modelfetch doctor --deep")
    (finding,) = for_installer([found_it], installer)
    assert finding.fix == (expected,)
    of_that = f' --python "{installer.python}"' if installer.python else ""
    assert finding.verify == f"modelfetch doctor --deep{of_that}"


def test_a_command_of_uvs_own_installs_into_it_too() -> None:
    found_it = Finding("net.socks", Severity.WARNING, "it is", fix=("uv pip install socksio",))
    (finding,) = for_installer([found_it], Installer("/v/bin/python"))
    assert finding.fix == ('uv pip install --python "/v/bin/python" socksio',)
    assert for_installer([found_it], Installer()) == [found_it]
