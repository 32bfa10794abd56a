"""Where packages come from: what pip, uv and conda are set to, and whether that can be reached.

- A mirror is information. Of mirrors that answer the one that was measured to be the fastest from here is named.
- An index that does not answer is a warning, with the command that sets one that does.
- An extra index is told, because a package may come from either; one over plain http is a warning.
"""

from __future__ import annotations

from collections.abc import Iterable

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.index_answers import IndexAnswer, IndexAnswers
from modelfetch.diagnosis.probes.index_settings import CONDA, PYPI, IndexFacts, SetIndex
from modelfetch.units import format_bytes


def check_index_settings(facts: Facts) -> list[Finding]:
    indexes = facts[IndexFacts]
    findings = [_told(index) for index in indexes.indexes]
    if indexes.of("pip") != indexes.of("uv") and any(each.tool == "uv" for each in indexes.indexes):
        title = f"pip installs from {indexes.of('pip')}, and uv from {indexes.of('uv')}"
        findings.append(note("pip.differs", title))
    return findings or [well("index-settings", "packages come from the official index")]


def _told(index: SetIndex) -> Finding:
    evidence = {"tool": index.tool, "url": index.url, "origin": index.origin}
    if index.url.startswith("http://") and "://127.0.0.1" not in index.url and "://localhost" not in index.url:
        return Finding(
            "pip.insecure",
            Severity.WARNING,
            f"{index.tool} installs from {index.url} ({index.origin}), which anybody on the way can change",
            evidence,
            rank=Rank.SETTINGS,
            fix=(_set_index(index.tool, "https" + index.url.removeprefix("http")),),
            verify="modelfetch doctor index-settings",
        )
    if index.is_extra:
        advice = "A package of one name may come from either; pip takes the higher version."
        return note(
            "pip.extra-index", f"{index.tool} also asks {index.url} ({index.origin})", advice=advice, **evidence
        )
    return note("pip.index", f"{index.tool} installs from {index.url} ({index.origin})", **evidence)


def _set_index(tool: str, url: str) -> str:
    if tool == "uv":
        return f"export UV_DEFAULT_INDEX={url}"
    return f"conda config --set channel_alias {url}" if tool == "conda" else f"pip config set global.index-url {url}"


def check_indexes(facts: Facts) -> list[Finding]:
    answers = facts[IndexAnswers].answers
    best = {kind: fastest(answers, kind) for kind in ("pypi", "conda", "torch", "torch-links")}
    findings = [_answered(answer, best) for answer in answers if answer.is_set]
    torch = best["torch"] or best["torch-links"]
    silent = [answer for answer in answers if answer.index.kind == "torch" and answer.index.region == "global"]
    if silent and silent[0].problem and torch:
        title = f"PyTorch's own index does not answer ({silent[0].problem}); {torch.index.url} does"
        findings.append(Finding("torch.index", Severity.INFO, title, _evidence(torch)))
    return findings


def fastest(answers: Iterable[IndexAnswer], kind: str) -> IndexAnswer | None:
    """Of those of this kind that answer, the one that was measured to be the fastest, else the one that answers first;
    None where none answers.
    """
    alive = [answer for answer in answers if answer.index.kind == kind and answer.problem is None]
    return min(alive, key=lambda answer: (-(answer.bytes_per_s or 0.0), answer.seconds), default=None)


def _evidence(answer: IndexAnswer) -> dict[str, object]:
    rate = {"bytes_per_s": round(answer.bytes_per_s)} if answer.bytes_per_s else {}
    return {"kind": answer.index.kind, "reachable": answer.index.url, "ms": round(answer.seconds * 1000), **rate}


def _answered(answer: IndexAnswer, best: dict[str, IndexAnswer | None]) -> Finding:
    url, other, is_conda = answer.index.url, best[answer.index.kind], answer.index.kind == "conda"
    if answer.problem is None:
        return well("indexes", f"{url} answers in {round(answer.seconds * 1000)} ms", **_evidence(answer))
    fix: tuple[str, ...] = ()
    if other is not None and is_conda:
        fix = (_set_index("conda", other.index.url),)
    elif other is not None:
        fix = (_set_index("pip", other.index.url), _set_index("uv", other.index.url), "modelfetch doctor --fix indexes")
    whose = "the official index" if url in {PYPI, CONDA} else "the index that is set"
    return Finding(
        "conda.unreachable" if is_conda else "pip.unreachable",
        Severity.WARNING,
        f"{url}, {whose}, does not answer ({answer.problem})",
        {"problem": answer.problem, **(_evidence(other) if other else {})},
        effect="no package can be installed",
        rank=Rank.NETWORK,
        advice=_advice(other),
        fix=fix,
        verify="modelfetch doctor indexes",
    )


def _advice(other: IndexAnswer | None) -> str:
    if other is None:
        return "None of the mirrors that are known answers either."
    if other.bytes_per_s is None:
        return "`modelfetch mirrors test` measures which mirror is the fastest from here."
    return f"{other.index.url} sent {format_bytes(other.bytes_per_s)}/s here when it was tried."


CHECKS = (
    Check(
        "index-settings",
        "settings",
        "where pip, uv and conda install from",
        (IndexFacts,),
        ("pip.index", "pip.extra-index", "pip.insecure", "pip.differs"),
        check_index_settings,
    ),
)

NETWORK_CHECKS = (
    Check(
        "indexes",
        "network",
        "whether packages can be installed from where they are installed from",
        (IndexAnswers,),
        ("pip.unreachable", "conda.unreachable", "torch.index"),
        check_indexes,
    ),
)
