"""What lies in other tools' caches: the same bytes twice, downloads that nobody will finish, and what could be taken.

- None of it is a fault: it costs room. Only much of it is a warning.
- A lock that somebody holds is told, because others wait for it; one that nobody holds is a file like any other.
- What cannot be looked through in time is said to be unknown.
"""

from __future__ import annotations

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.caches import CacheFacts
from modelfetch.diagnosis.probes.locks import LockFacts

# As much as a small model.
_MUCH = 1_000_000_000


def check_caches(facts: Facts) -> list[Finding]:
    caches = facts[CacheFacts]
    if not caches.is_known:
        return [note("caches", "other tools' caches could not be looked through in time")]
    findings = []
    if caches.orphan_bytes:
        title = f"{_gigabytes(caches.orphan_bytes)} in other tools' caches belong to downloads that were cut off"
        findings.append(_room("cache.orphans", title, caches.orphan_bytes, "modelfetch prune --orphans --dry-run"))
    if caches.repeated_bytes:
        title = f"{_gigabytes(caches.repeated_bytes)} of models are on this disk more than once"
        findings.append(_room("cache.dup", title, caches.repeated_bytes, "modelfetch adopt --dry-run"))
    if caches.adoptable_bytes:
        title = f"{_gigabytes(caches.adoptable_bytes)} of models in other tools' caches can be had without a download"
        findings.append(note("cache.adoptable", title, advice="modelfetch adopt", bytes=caches.adoptable_bytes))
    return findings or [well("caches", "nothing lies about in other tools' caches", models=caches.models)]


def check_locks(facts: Facts) -> list[Finding]:
    locks = facts[LockFacts]
    if not locks.holders:
        return [well("locks", "nobody holds a lock in Hugging Face's cache")]
    who = "process " if len(locks.holders) == 1 else "processes "
    title = f"locks in Hugging Face's cache are held by {who}{', '.join(map(str, locks.holders))}"
    return [
        note("cache.locks", title, advice="Its client waits there for what another one fetches.", files=locks.files)
    ]


def _room(name: str, title: str, size: int, command: str) -> Finding:
    return Finding(
        name,
        Severity.WARNING if size >= _MUCH else Severity.INFO,
        title,
        {"bytes": size},
        rank=Rank.DISK,
        advice="This shows what would go, and what it frees.",
        fix=(command,),
        verify="modelfetch doctor caches",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= _MUCH else f"{size / 1e6:.1f} MB"


CHECKS = (
    Check(
        "caches",
        "models",
        "what other tools' caches hold twice or in halves",
        (CacheFacts,),
        ("cache.orphans", "cache.dup", "cache.adoptable"),
        check_caches,
    ),
    Check(
        "locks",
        "models",
        "locks in Hugging Face's cache, and who holds them",
        (LockFacts,),
        ("cache.locks",),
        check_locks,
    ),
)
