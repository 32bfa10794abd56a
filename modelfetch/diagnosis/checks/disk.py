"""The places that models are kept in: room, permission, owner, file system, and the store itself.

- Places on one file system are told about once.
- A file system that cannot do something is information; one that loses or slows models is a warning.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.caches import QueueFacts
from modelfetch.diagnosis.probes.storage import Place, StorageFacts

# No model that is worth pulling fits below the first, and no two below the second.
_LEAST_FREE = 500_000_000
_LITTLE_FREE = 5_000_000_000

# A model is some dozens of files, each a blob and several links.
_LITTLE_INODES = 10_000
_LEAST_INODES = 100

# What names each place.
_VARIABLES = {"store": "MODELFETCH_HOME", "Hugging Face cache": "HF_HOME", "ModelScope cache": "MODELSCOPE_CACHE"}

# What WSL shows the disks of Windows as, and where.
_OF_WINDOWS = frozenset({"9p", "drvfs"})
_WINDOWS_DRIVE = re.compile(r"/mnt/[a-z](/|$)")

_NETWORK_FILE_SYSTEMS = re.compile(r"nfs.*|cifs|smb.*|9p|fuse\..*|drvfs|lustre|gpfs|beegfs|ceph")


def check_space(facts: Facts) -> list[Finding]:
    store, queue = facts[StorageFacts].places[0], facts[QueueFacts]
    findings = [_too_full(store, queue)] if queue.missing_bytes > store.free_bytes else []
    for place in _one_per_device(facts[StorageFacts].places):
        evidence = {"path": str(place.path), "free_bytes": place.free_bytes, "free_inodes": place.free_inodes}
        title = f"the disk of the {place.role} (`{place.path}`) has {place.free_bytes / 1e9:.1f} GB free"
        if place.free_bytes < _LITTLE_FREE:
            is_error = place.free_bytes < _LEAST_FREE
            findings.append(
                Finding(
                    "disk.low",
                    Severity.ERROR if is_error else Severity.WARNING,
                    title,
                    evidence,
                    effect="no model can be pulled" if is_error and place.role == "store" else "",
                    rank=Rank.DISK,
                    advice="Or a MODELFETCH_HOME on a larger disk.",
                    fix=("modelfetch prune --dry-run",),
                    verify="modelfetch doctor space",
                )
            )
        elif place.free_inodes is not None and place.free_inodes < _LITTLE_INODES:
            findings.append(_few_inodes(place, place.free_inodes, evidence))
        else:
            findings.append(well("space", f"{place.free_bytes / 1e9:.1f} GB free for the {place.role}", **evidence))
    return findings


def _few_inodes(place: Place, free: int, evidence: Mapping[str, object]) -> Finding:
    is_error = free < _LEAST_INODES
    files = f"{free} more file{'' if free == 1 else 's'}" if free else "no more files, whatever room it has"
    return Finding(
        "disk.inodes",
        Severity.ERROR if is_error else Severity.WARNING,
        f"the disk of the {place.role} (`{place.path}`) can take {files}",
        evidence,
        effect="no model can be pulled" if is_error and place.role == "store" else "",
        rank=Rank.DISK,
        advice="This shows which folders hold the most.",
        fix=(f'du --inodes -x "{place.mounted_at or place.path}" | sort -n | tail',),
        verify="modelfetch doctor space",
    )


def _too_full(store: Place, queue: QueueFacts) -> Finding:
    return Finding(
        "disk.queue",
        Severity.WARNING,
        f"the store's disk has {store.free_bytes / 1e9:.1f} GB free, and what has begun to arrive wants"
        f" {queue.missing_bytes / 1e9:.1f} GB more",
        {"free_bytes": store.free_bytes, "missing_bytes": queue.missing_bytes},
        rank=Rank.DISK,
        advice="Make room, or prune what is not wanted any more.",
        fix=("modelfetch prune --dry-run",),
        verify="modelfetch doctor space",
    )


def check_writing(facts: Facts) -> list[Finding]:
    findings = []
    for place in facts[StorageFacts].places:
        if place.problem is not None:
            findings.append(_not_writable(place))
        elif place.foreign is not None:
            findings.append(
                Finding(
                    "fs.owner",
                    Severity.WARNING,
                    f"`{place.foreign}` belongs to another user",
                    {"path": str(place.foreign)},
                    rank=Rank.STORE,
                    advice="A `sudo` once wrote there.",
                    fix=(f'sudo chown -R "$(id -un)" "{place.path}"',),
                    verify="modelfetch doctor writing",
                )
            )
    return findings or [well("writing", "all of it can be written")]


def _not_writable(place: Place) -> Finding:
    is_store = place.role == "store"
    if place.error == errno.EDQUOT:
        return Finding(
            "disk.quota",
            Severity.ERROR if is_store else Severity.WARNING,
            f"this user's share of the disk of the {place.role} (`{place.path}`) is used up",
            {"path": str(place.path), "problem": place.problem},
            effect="no model can be pulled" if is_store else "",
            rank=Rank.DISK,
            advice="The disk itself has room; this shows the share, and `modelfetch prune --dry-run` what could go.",
            fix=("quota -s",),
            verify="modelfetch doctor writing",
        )
    return Finding(
        "fs.writable",
        Severity.ERROR if is_store else Severity.WARNING,
        f"the {place.role} (`{place.path}`) cannot be written: {place.problem}",
        {"path": str(place.path), "problem": place.problem},
        effect="no model can be pulled" if is_store else "",
        rank=Rank.STORE,
        advice="Or a MODELFETCH_HOME that can be written." if is_store else "",
        fix=(_way_to_write(place),),
        verify="modelfetch doctor writing",
    )


def _way_to_write(place: Place) -> str:
    if place.error == errno.EROFS:
        return f'sudo mount -o remount,rw "{place.mounted_at or place.path}"'
    if place.error == errno.ENOSPC:
        return "modelfetch prune --dry-run"
    if place.is_closed:
        variable = _VARIABLES[place.role]
        return f'export {variable}="$HOME/{variable.lower()}"'
    if place.obstacle:
        return f'mv "{place.obstacle}" "{place.obstacle}.old"'
    return f'sudo mkdir -p "{place.path}" && sudo chown -R "$(id -un)" "{place.path}"'


def check_file_system(facts: Facts) -> list[Finding]:
    places = facts[StorageFacts].places
    findings = []
    for place in _one_per_device(places):
        kind = place.file_system or "an unknown file system"
        lacking = [name for name, works in place.features.items() if not works]
        evidence = {"path": str(place.path), "file_system": place.file_system, "features": dict(place.features)}
        if place.file_system and _NETWORK_FILE_SYSTEMS.fullmatch(place.file_system):
            findings.append(_far_away(place, evidence))
        elif "symlinks" in lacking:
            title = (
                f"the file system of the {place.role} (`{place.path}`) has no symlinks, so views of models are copies"
            )
            findings.append(Finding("fs.features", Severity.WARNING, title, evidence, rank=Rank.DISK))
        elif "locks" in lacking:
            title = f"the file system of the {place.role} (`{place.path}`) keeps no locks"
            advice = "modelfetch does without them. Hugging Face's own client fails there, or two of them collide."
            findings.append(note("fs.features", title, advice=advice, **evidence))
        else:
            title = f"{place.role} on {kind}" + (f", without {' and '.join(lacking)}" if lacking else "")
            findings.append(well("file-system", title, **evidence))
    store, *others = places
    split = [place.role for place in others if place.device != store.device]
    if split:
        findings.append(
            note("fs.split", f"{' and '.join(split)} on another disk than the store, so files there are no hard links")
        )
    return findings


def _far_away(place: Place, evidence: Mapping[str, object]) -> Finding:
    title = f"the {place.role} (`{place.path}`) is on {place.file_system}"
    advice = "Loading a model maps its files, which is slow over a network. A local disk is better."
    if place.file_system in _OF_WINDOWS and _WINDOWS_DRIVE.match(str(place.path)):
        title += ", a disk of Windows seen from WSL"
        advice = "Loading a model maps its files, which is slow from there. A folder in WSL's own home is better."
    return Finding(
        "fs.type",
        Severity.WARNING,
        title,
        evidence,
        rank=Rank.DISK,
        advice=advice,
        verify="modelfetch doctor file-system",
    )


def _one_per_device(places: Iterable[Place]) -> list[Place]:
    by_device: dict[int, Place] = {}
    for place in places:
        by_device.setdefault(place.device, place)
    return list(by_device.values())


def check_store(facts: Facts) -> list[Finding]:
    # Imported here: the first lines do not wait for it.
    from modelfetch.store.store import VERSION_FILE

    storage = facts[StorageFacts]
    place, error = storage.places[0], storage.store_error
    if error is not None:
        return [
            Finding(
                "store.unusable",
                Severity.ERROR,
                error.message,
                {name: str(value) for name, value in error.facts.items()},
                effect="no model can be pulled",
                rank=Rank.STORE,
                advice=error.hint or "",
                verify="modelfetch doctor store",
            )
        ]
    if storage.store_names and VERSION_FILE not in storage.store_names:
        return [
            Finding(
                "store.not-ours",
                Severity.WARNING,
                f"`{place.path}` holds files and no store",
                {"path": str(place.path), "names": list(storage.store_names[:5])},
                rank=Rank.STORE,
                advice="MODELFETCH_HOME should name a folder of its own.",
                verify="modelfetch doctor store",
            )
        ]
    state = "can be opened" if storage.store_names else "is not there yet"
    return [well("store", f"the store {state}", path=str(place.path))]


CHECKS = (
    Check(
        "store",
        "disk",
        "whether the store can be opened",
        (StorageFacts,),
        ("store.unusable", "store.not-ours"),
        check_store,
    ),
    Check(
        "writing",
        "disk",
        "whether models can be written",
        (StorageFacts,),
        ("fs.writable", "fs.owner", "disk.quota"),
        check_writing,
    ),
    Check(
        "space",
        "disk",
        "room for models, and for the downloads that have begun",
        (StorageFacts, QueueFacts),
        ("disk.low", "disk.inodes", "disk.queue"),
        check_space,
    ),
    Check(
        "file-system",
        "disk",
        "file systems, and what they can do when it is tried",
        (StorageFacts,),
        ("fs.type", "fs.features", "fs.split"),
        check_file_system,
    ),
)
