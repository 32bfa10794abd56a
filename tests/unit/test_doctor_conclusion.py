"""From many findings to the one cause: what explains what, and what is mended first."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modelfetch.diagnosis import Finding, Rank, Severity, conclude, worst
from modelfetch.diagnosis.checks import CHECKS
from modelfetch.diagnosis.conclusion import _EXPLAINED_BY, with_causes

NAMES = sorted({*_EXPLAINED_BY, *itertools.chain.from_iterable(_EXPLAINED_BY.values())})
FINDINGS = st.lists(
    st.builds(
        Finding,
        name=st.sampled_from(NAMES),
        severity=st.sampled_from(Severity),
        title=st.just("it rains"),
        effect=st.sampled_from(["", "nobody goes out"]),
        rank=st.sampled_from(Rank),
    ),
    max_size=8,
)


def error(name: str, rank: Rank, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(name, severity, f"{name} is wrong", effect="nothing works", rank=rank)


@given(FINDINGS)
def test_the_primary_cause_is_an_error_and_there_is_one_exactly_when_there_are_errors(findings: list[Finding]) -> None:
    conclusion = conclude(with_causes(findings))
    assert (conclusion.primary is not None) == any(finding.severity.is_error for finding in findings)
    if conclusion.primary:
        assert conclusion.primary.severity.is_error


@given(FINDINGS)
def test_a_consequence_is_a_fault_whose_cause_is_an_error_that_was_found(findings: list[Finding]) -> None:
    errors = {finding.name for finding in findings if finding.severity.is_error}
    for finding in with_causes(findings):
        if finding.consequence_of:
            assert finding.severity not in {Severity.OK, Severity.INFO}
            assert finding.consequence_of in errors
            assert finding.name != finding.consequence_of


@given(FINDINGS)
def test_the_primary_cause_is_no_consequence(findings: list[Finding]) -> None:
    primary = conclude(with_causes(findings)).primary
    assert primary is None or primary.consequence_of is None


@given(FINDINGS)
def test_what_was_found_does_not_change_but_for_its_cause(findings: list[Finding]) -> None:
    marked = with_causes(findings)
    assert [(found.name, found.severity, found.title) for found in marked] == [
        (found.name, found.severity, found.title) for found in findings
    ]


def test_nothing_explains_itself_in_a_circle() -> None:
    reached = {name: set(causes) for name, causes in _EXPLAINED_BY.items()}
    for _ in reached:
        for causes in reached.values():
            causes |= {further for cause in causes for further in reached.get(cause, ())}
    assert all(name not in causes for name, causes in reached.items())


def test_every_name_in_the_table_is_one_that_a_check_can_find() -> None:
    assert set(NAMES) <= {name for check in CHECKS for name in check.finds}


def test_of_two_causes_the_lower_one_is_mended_first() -> None:
    findings = with_causes([error("torch.cpu-build", Rank.TORCH), error("drv.cuda-init", Rank.CUDA)])
    conclusion = conclude(findings)
    assert conclusion.sentence == "Nothing works because drv.cuda-init is wrong."
    assert conclusion.primary is not None
    assert conclusion.primary.name == "drv.cuda-init"


def test_an_explained_error_is_not_the_cause_however_low_it_is() -> None:
    findings = with_causes([error("drv.cuda-init", Rank.SETTINGS), error("gpu.visible", Rank.VISIBILITY)])
    assert [finding.consequence_of for finding in findings] == ["gpu.visible", None]
    primary = conclude(findings).primary
    assert primary is not None
    assert primary.name == "gpu.visible"


def test_a_warning_is_no_cause() -> None:
    findings = with_causes([error("gpu.visible", Rank.VISIBILITY, Severity.WARNING)])
    assert conclude(findings).primary is None
    assert conclude(findings).sentence == "Nothing is broken; 1 warning."


def test_a_machine_without_a_gpu_is_told_what_models_run_on() -> None:
    found = [Finding("gpu.none", Severity.INFO, "no NVIDIA GPU is there")]
    assert conclude(found).sentence == "Nothing is wrong; models run on the CPU, because no NVIDIA GPU is there."


def test_a_crash_is_worse_than_an_error() -> None:
    assert worst([error("a", Rank.CUDA), error("b", Rank.CUDA, Severity.CRASHED)]) is Severity.CRASHED
    assert worst([]) is Severity.OK
