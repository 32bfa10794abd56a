"""A report of what was found, fit to be shown to strangers: in an issue, in a forum. Decides only.

- Of a finding's evidence only figures and versions are in it, and only under names that are known to hold such.
- Every text goes through `anonymous`. What is well is counted and not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from modelfetch.config.load import BUILT_IN
from modelfetch.config.values import Index, Settings
from modelfetch.diagnosis.anonymous import Private, anonymous
from modelfetch.diagnosis.conclusion import conclude
from modelfetch.diagnosis.finding import Finding, Severity
from modelfetch.diagnosis.machine import Machine

# What may be told of a finding besides its sentence: numbers, versions, names of packages and of NVIDIA's products.
_TOLD = frozenset(
    {
        "available_bytes",
        "bytes",
        "capabilities",
        "capability",
        "compute_mode",
        "count",
        "cuInit",
        "cuda",
        "driver",
        "driver_api",
        "ended",
        "features",
        "file_system",
        "free_bytes",
        "free_inodes",
        "gpu",
        "gpus",
        "limit",
        "limit_bytes",
        "memory_bytes",
        "memory_used_bytes",
        "missing_bytes",
        "module",
        "ms",
        "needed_bytes",
        "needed_driver",
        "nvmlInit",
        "release",
        "requirement",
        "skew_s",
        "throttle",
        "versions",
        "xid",
    }
)
# Every machine's own, and shorter than a name: without a word of their own they would be cut out of other words.
_NOBODYS = frozenset({"root", "home", "user", "users", "localhost", "opt", "tmp", "var", "mnt", "data", "srv"})
_SCHEMES = frozenset({"http", "https", "socks4", "socks5", "socks5h"})


def report(findings: Iterable[Finding], machine: Machine, settings: Settings, versions: Iterable[str]) -> str:
    """The report as Markdown; `versions` are lines about the system itself."""
    found = list(findings)
    private = private_of(machine, settings, (str(each.evidence.get("model", "")) for each in found))
    lines = ["# modelfetch doctor", "", anonymous(conclude(found).sentence, private), ""]
    lines += [f"- {anonymous(line, private)}" for line in versions]
    well = sum(finding.severity is Severity.OK for finding in found)
    lines += [f"- {well} checks found nothing wrong", ""]
    for finding in found:
        if _is_telling(finding):
            lines += _section(finding, private)
    return "\n".join(lines).rstrip() + "\n"


def private_of(machine: Machine, settings: Settings, models: Iterable[str] = ()) -> Private:
    """What of this machine, with these models on it, must not be told."""
    environment = machine.environment
    words = {environment.get(name, "") for name in ("USER", "LOGNAME", "USERNAME", "HOSTNAME", "COMPUTERNAME")}
    words.add(machine.read("etc/hostname") or "")
    words |= set(re.split(r"[/\\]", environment.get("HOME", "")))
    for name, value in environment.items():
        if name.lower().endswith("_proxy"):
            # By its words: what is no address may still name somebody.
            words |= {
                word for word in re.findall(r"[\w.-]{3,}", value) if word not in _SCHEMES and not word.isdecimal()
            }
    built_in = [each for each in settings.endpoints if settings.origins.get(f"endpoints.{each.name}") == BUILT_IN]
    words |= {each.name for each in settings.endpoints} - {each.name for each in built_in}
    addresses = [*(each.url for each in built_in), *(each.url for each in _public_indexes(settings))]
    hosts = {urlsplit(address).hostname or "" for address in addresses}
    words |= set(models)
    return Private(tuple(word for word in words if word and word.lower() not in _NOBODYS), frozenset(hosts))


def _public_indexes(settings: Settings) -> list[Index]:
    return [each for each in settings.indexes if settings.origins.get(f"indexes.{each.name}") == BUILT_IN]


def _is_telling(finding: Finding) -> bool:
    return finding.severity is not Severity.OK or bool(_TOLD & finding.evidence.keys())


def _section(finding: Finding, private: Private) -> Iterator[str]:
    yield f"## {finding.severity.value}: {finding.name}"
    yield ""
    yield anonymous(finding.title, private)
    if finding.consequence_of:
        yield f"- follows from {finding.consequence_of}"
    for name in sorted(_TOLD & finding.evidence.keys()):
        yield f"- {name}: {anonymous(str(finding.evidence[name]), private)}"
    for line in finding.fix:
        yield f"- mend: `{anonymous(line, private)}`"
    yield ""
