"""What the machine gives this process: processors, memory, shared and locked memory, open files.

- A limit is information; what is too little for running models is a warning.
"""

from __future__ import annotations

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.limits import LimitFacts

# A container gets 64 MiB unless it asks for more; workers that hand tensors to each other want a gigabyte.
_LEAST_SHARED_MEMORY = 1 << 30

# torch and transformers alone take this much.
_LEAST_MEMORY = 1_000_000_000

# torch's libraries alone are mapped to several gigabytes of addresses.
_LEAST_ADDRESSES = 8_000_000_000

# torch's CUDA build is unpacked in about this much at a time.
_LEAST_TEMPORARY = 1 << 30

# Lanes, files and pipes of a pull take some hundreds; 1024 is what systems give and is enough.
_LEAST_OPEN_FILES = 1024

# A card that reads memory by itself wants each buffer of each GPU locked: NCCL takes hundreds of megabytes.
_LEAST_LOCKED_MEMORY = 1 << 30


def check_processors(facts: Facts) -> list[Finding]:
    limits = facts[LimitFacts]
    if limits.cpu_limit is None:
        return [well("processors", f"{limits.cpus} processor{'' if limits.cpus == 1 else 's'}", count=limits.cpus)]
    title = f"{limits.cpu_limit:g} of {limits.cpus} processors"
    findings = [well("processors", title, count=limits.cpus, limit=limits.cpu_limit)]
    if not facts[Machine].environment.get("OMP_NUM_THREADS"):
        # Measured: more threads than processors made writing a text five to ten times slower.
        threads = max(1, int(limits.cpu_limit))
        why = f"programs start a thread for each of {limits.cpus} processors, and may use {limits.cpu_limit:g}"
        findings.append(note("cpu.threads", why, advice=f"export OMP_NUM_THREADS={threads}"))
    return findings


def check_memory(facts: Facts) -> list[Finding]:
    limits = facts[LimitFacts]
    if limits.memory_bytes is None:
        return [well("memory", "memory of unknown size")]
    size = limits.memory_bytes
    title = f"{size / 1e9:.1f} GB memory"
    if limits.memory_limit_bytes is not None and limits.memory_limit_bytes < size:
        title = f"{limits.memory_limit_bytes / 1e9:.1f} of {size / 1e9:.1f} GB memory"
    if limits.address_bytes is not None and limits.address_bytes < _LEAST_ADDRESSES:
        return [_few_addresses(limits.address_bytes, limits.address_bytes_at_most)]
    if limits.memory_limit_bytes is not None and limits.memory_limit_bytes < _LEAST_MEMORY:
        return [_little_allowed(limits.memory_limit_bytes, size)]
    free = min(each for each in (limits.memory_available_bytes, size) if each is not None)
    if free < _LEAST_MEMORY:
        return [
            Finding(
                "ram.low",
                Severity.WARNING,
                f"{free / 1e9:.1f} of {size / 1e9:.1f} GB memory are free, which no model can be run in",
                {"available_bytes": free, "bytes": size},
                advice="This shows what holds the rest.",
                fix=("ps -eo pid,rss,comm --sort=-rss | head",),
                verify="modelfetch doctor memory",
            )
        ]
    return [
        well(
            "memory",
            title,
            bytes=size,
            available_bytes=limits.memory_available_bytes,
            limit_bytes=limits.memory_limit_bytes,
        )
    ]


def _few_addresses(limit: int, at_most: int | None) -> Finding:
    return Finding(
        "ram.low",
        Severity.WARNING,
        f"a process may have {limit / 1e9:.1f} GB of addresses, and torch reserves far more than it uses",
        {"address_bytes": limit},
        fix=("ulimit -v unlimited" if at_most is None else "sudo prlimit --pid $$ --as=unlimited",),
        verify="modelfetch doctor memory",
    )


def _little_allowed(limit: int, size: int) -> Finding:
    return Finding(
        "ram.low",
        Severity.WARNING,
        f"{limit / 1e9:.1f} of {size / 1e9:.1f} GB memory may be used, which no model can be run in",
        {"limit_bytes": limit, "bytes": size},
        advice="A control group limits it: what started the container, or the batch system, sets how far.",
        fix=("docker run --memory=16g IMAGE", "srun --mem=16G COMMAND"),
        verify="modelfetch doctor memory",
    )


def check_shared_memory(facts: Facts) -> list[Finding]:
    size, free = facts[LimitFacts].shared_memory_bytes, facts[LimitFacts].shared_memory_free_bytes
    if size is None:
        return [well("shared-memory", "there is no /dev/shm")]
    if free is not None and free < _LEAST_SHARED_MEMORY <= size:
        return [_full_shared_memory(free, size)]
    if size >= _LEAST_SHARED_MEMORY:
        return [well("shared-memory", f"{size / 1e9:.1f} GB in /dev/shm", bytes=size)]
    return [
        Finding(
            "shm.small",
            Severity.WARNING,
            f"`/dev/shm` has {size / 1e6:.0f} MB",
            {"bytes": size},
            advice="It hits servers with several processes (NCCL, data loaders), not pulling.",
            fix=("docker run --shm-size=8g IMAGE", "sudo mount -o remount,size=8g /dev/shm"),
            verify="modelfetch doctor shared-memory",
        )
    ]


def _full_shared_memory(free: int, size: int) -> Finding:
    return Finding(
        "shm.small",
        Severity.WARNING,
        f"`/dev/shm` has {free / 1e6:.0f} of {size / 1e6:.0f} MB free",
        {"free_bytes": free, "bytes": size},
        advice="A server that was killed leaves its part there; this shows what there is.",
        fix=("ls -lhtr /dev/shm",),
        verify="modelfetch doctor shared-memory",
    )


def check_temporary(facts: Facts) -> list[Finding]:
    folder, free = facts[LimitFacts].chosen_temporary, facts[LimitFacts].temporary_free_bytes
    if free is None and folder:
        return [
            Finding(
                "tmp.absent",
                Severity.WARNING,
                f"TMPDIR names `{folder}`, which is not there",
                {"path": folder},
                advice="Some programs take another folder then, others fail.",
                fix=(f'mkdir -p "{folder}"', "unset TMPDIR"),
                verify="modelfetch doctor temporary",
            )
        ]
    if free is None or free >= _LEAST_TEMPORARY:
        return [well("temporary", "there is room for temporary files")]
    return [
        Finding(
            "tmp.small",
            Severity.WARNING,
            f"the folder for temporary files has {free / 1e6:.0f} MB free",
            {"free_bytes": free},
            advice="pip unpacks packages there, and torch.compile keeps what it compiled.",
            fix=('mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"',),
            verify="modelfetch doctor temporary",
        )
    ]


def check_open_files(facts: Facts) -> list[Finding]:
    limit, at_most = facts[LimitFacts].open_files, facts[LimitFacts].open_files_at_most
    can_be_raised = at_most is None or at_most >= _LEAST_OPEN_FILES
    wanted = min(_LEAST_OPEN_FILES * 4, at_most or _LEAST_OPEN_FILES * 4)
    if limit is None or limit >= _LEAST_OPEN_FILES:
        return [well("open-files", f"{'any number of' if limit is None else limit} open files", limit=limit)]
    return [
        Finding(
            "ulimit",
            Severity.WARNING,
            f"a process may open {limit} files",
            {"limit": limit},
            advice="" if can_be_raised else "In a container, `docker run --ulimit nofile=65536` sets it.",
            fix=(f"ulimit -n {wanted}" if can_be_raised else "sudo prlimit --pid $$ --nofile=4096:4096",),
            verify="modelfetch doctor open-files",
        )
    ]


def check_locked_memory(facts: Facts) -> list[Finding]:
    limits = facts[LimitFacts]
    # CUDA's own pinned memory is not counted against this limit.
    if not limits.has_rdma or limits.locked_bytes is None or limits.locked_bytes >= _LEAST_LOCKED_MEMORY:
        return [well("locked-memory", "enough memory may be locked")]
    return [
        Finding(
            "memlock",
            Severity.WARNING,
            f"a process may lock {limits.locked_bytes / 1e6:.1f} MB of memory, too little for this network card",
            {"limit_bytes": limits.locked_bytes},
            advice="It hits several GPUs over InfiniBand or RoCE (NCCL), not pulling. Log in again afterwards.",
            fix=(
                "echo '* - memlock unlimited' | sudo tee /etc/security/limits.d/memlock.conf",
                "docker run --ulimit memlock=-1 IMAGE",
            ),
            verify="modelfetch doctor locked-memory",
        )
    ]


CHECKS = (
    Check(
        "processors",
        "machine",
        "processors, and how many may be used",
        (LimitFacts,),
        ("cpu.threads",),
        check_processors,
    ),
    Check("memory", "machine", "memory, and how much may be used", (LimitFacts,), ("ram.low",), check_memory),
    Check("shared-memory", "machine", "the size of /dev/shm", (LimitFacts,), ("shm.small",), check_shared_memory),
    Check(
        "temporary", "machine", "room for temporary files", (LimitFacts,), ("tmp.small", "tmp.absent"), check_temporary
    ),
    Check("open-files", "machine", "how many files may be open", (LimitFacts,), ("ulimit",), check_open_files),
    Check(
        "locked-memory",
        "machine",
        "how much memory may be locked, where a network card wants it",
        (LimitFacts,),
        ("memlock",),
        check_locked_memory,
    ),
)
