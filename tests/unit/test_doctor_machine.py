"""What a machine gives a process, and the places that models are kept in."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modelfetch.config import load
from modelfetch.diagnosis import Severity, conclude
from modelfetch.diagnosis.checks.disk import check_file_system, check_space, check_writing
from modelfetch.diagnosis.checks.system import (
    check_locked_memory,
    check_memory,
    check_open_files,
    check_processors,
    check_shared_memory,
    check_temporary,
)
from modelfetch.diagnosis.conclusion import with_causes
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.caches import QueueFacts
from modelfetch.diagnosis.probes.limits import LimitFacts, read_limits
from modelfetch.diagnosis.probes.storage import Place, StorageFacts, read_storage
from modelfetch.store import Store
from modelfetch.store.store import VERSION_FILE
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def test_limits_of_every_control_group_above_count_and_the_least_wins(fake: FakeMachine) -> None:
    fake.write("proc/meminfo", "MemTotal:       32000000 kB\nMemAvailable:   16000000 kB\n")
    fake.write("proc/self/cgroup", "0::/outer/inner\n")
    fake.write("sys/fs/cgroup/outer/memory.max", "4000000000\n")
    fake.write("sys/fs/cgroup/outer/inner/memory.max", "max\n")
    fake.write("sys/fs/cgroup/outer/inner/cpu.max", "50000 100000\n")
    facts = read_limits(fake.machine(), load(fake.environment))
    assert (facts.memory_limit_bytes, facts.cpu_limit, facts.memory_bytes) == (4_000_000_000, 0.5, 32_768_000_000)
    assert found(fake, "memory")["memory"].title == "4.0 of 32.8 GB memory"


def test_limits_in_the_old_form_count_and_their_no_limit_is_none(fake: FakeMachine) -> None:
    fake.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    fake.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n")
    fake.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n")
    assert read_limits(fake.machine(), load(fake.environment)).memory_limit_bytes is None
    fake.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000000\n")
    fake.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "25000\n")
    facts = read_limits(fake.machine(), load(fake.environment))
    assert (facts.memory_limit_bytes, facts.cpu_limit) == (1_000_000_000, 0.25)


def test_limits_of_every_old_control_group_above_count_too(fake: FakeMachine) -> None:
    fake.write("proc/self/cgroup", "4:memory:/slurm/job_7\n2:cpu,cpuacct:/slurm/job_7\n0::/\n")
    fake.write("sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes", "536870912\n")
    fake.write("sys/fs/cgroup/memory/slurm/memory.limit_in_bytes", "4000000000\n")
    fake.write("sys/fs/cgroup/cpu/slurm/cpu.cfs_quota_us", "50000\n")
    fake.write("sys/fs/cgroup/cpu/slurm/cpu.cfs_period_us", "100000\n")
    facts = read_limits(fake.machine(), load(fake.environment))
    assert (facts.memory_limit_bytes, facts.cpu_limit) == (536_870_912, 0.5)


def test_processors_that_this_process_may_not_use_do_not_count(fake: FakeMachine) -> None:
    allowed = os.sched_getaffinity(0)
    if len(allowed) < 2 or len(allowed) < (os.cpu_count() or 1):
        pytest.skip("there is no processor to take away")
    assert read_limits(fake.machine(), load(fake.environment)).cpu_limit is None
    os.sched_setaffinity(0, {min(allowed)})
    try:
        facts = read_limits(fake.machine(), load(fake.environment))
    finally:
        os.sched_setaffinity(0, allowed)
    assert (facts.cpus, facts.cpu_limit) == (len(allowed), 1)


def test_the_size_of_shared_memory_is_read_where_there_is_any(fake: FakeMachine) -> None:
    assert read_limits(fake.machine(), load(fake.environment)).shared_memory_bytes is None
    (fake.root / "dev/shm").mkdir(parents=True)
    assert read_limits(fake.machine(), load(fake.environment)).shared_memory_bytes


def test_little_shared_memory_and_few_open_files_are_warnings() -> None:
    facts = Facts([LimitFacts(cpus=2, shared_memory_bytes=64 << 20, open_files=256)])
    assert [finding.name for finding in (*check_shared_memory(facts), *check_open_files(facts))] == [
        "shm.small",
        "ulimit",
    ]
    plenty = Facts([LimitFacts(cpus=2, shared_memory_bytes=8 << 30, open_files=None)])
    assert {finding.severity for finding in (*check_shared_memory(plenty), *check_open_files(plenty))} == {Severity.OK}


def test_shared_memory_that_is_full_and_a_folder_for_temporary_files_that_is_gone_are_warnings(
    fake: FakeMachine,
) -> None:
    full = LimitFacts(2, shared_memory_bytes=2 << 30, shared_memory_free_bytes=1 << 20)
    (finding,) = check_shared_memory(Facts([full]))
    assert (finding.name, finding.fix) == ("shm.small", ("ls -lhtr /dev/shm",))
    (finding,) = check_temporary(Facts([read_limits(fake.machine(TMPDIR="/nowhere"), load(fake.environment))]))
    assert (finding.name, finding.fix[0]) == ("tmp.absent", 'mkdir -p "/nowhere"')
    (finding,) = check_temporary(Facts([read_limits(fake.machine(), load(fake.environment))]))
    assert finding.severity is Severity.OK


@pytest.mark.parametrize(
    ("limits", "fix"),
    [
        (LimitFacts(2, memory_bytes=64 << 30, address_bytes=2 << 30), "ulimit -v unlimited"),
        (LimitFacts(2, memory_bytes=64 << 30, memory_limit_bytes=512 << 20), "docker run --memory=16g IMAGE"),
    ],
)
def test_limits_in_which_no_model_can_be_run_are_warnings(limits: LimitFacts, fix: str) -> None:
    (finding,) = check_memory(Facts([limits]))
    assert (finding.name, finding.severity, finding.fix[0]) == ("ram.low", Severity.WARNING, fix)


def test_a_limit_that_this_user_cannot_raise_gets_the_administrators_command() -> None:
    (finding,) = check_open_files(Facts([LimitFacts(2, open_files=256, open_files_at_most=256)]))
    assert finding.fix == ("sudo prlimit --pid $$ --nofile=4096:4096",)
    (finding,) = check_open_files(Facts([LimitFacts(2, open_files=256, open_files_at_most=2000)]))
    assert finding.fix == ("ulimit -n 2000",)
    limits = LimitFacts(2, memory_bytes=64 << 30, address_bytes=2 << 30, address_bytes_at_most=2 << 30)
    (finding,) = check_memory(Facts([limits]))
    assert finding.fix == ("sudo prlimit --pid $$ --as=unlimited",)


def test_memory_in_which_no_model_runs_and_a_small_temporary_folder_are_warnings(fake: FakeMachine) -> None:
    facts = Facts(
        [LimitFacts(cpus=2, memory_bytes=8 << 30, memory_available_bytes=200 << 20, temporary_free_bytes=64 << 20)]
    )
    assert [finding.name for finding in (*check_memory(facts), *check_temporary(facts))] == ["ram.low", "tmp.small"]
    (fake.root / "tmp").mkdir()
    assert read_limits(fake.machine(), load(fake.environment)).temporary_free_bytes
    unknown = Facts([LimitFacts(cpus=2, memory_bytes=8 << 30)])
    assert {finding.severity for finding in (*check_memory(unknown), *check_temporary(unknown))} == {Severity.OK}


def test_little_memory_that_may_be_locked_is_a_warning_only_where_a_network_card_wants_it(fake: FakeMachine) -> None:
    assert not read_limits(fake.machine(), load(fake.environment)).has_rdma
    (fake.root / "sys/class/infiniband/mlx5_0").mkdir(parents=True)
    assert read_limits(fake.machine(), load(fake.environment)).has_rdma

    def told(locked_bytes: int | None, *, has_rdma: bool) -> str:
        (finding,) = check_locked_memory(Facts([LimitFacts(2, locked_bytes=locked_bytes, has_rdma=has_rdma)]))
        return f"{finding.severity} {finding.name}"

    assert told(8 << 20, has_rdma=True) == "warning memlock"
    assert told(8 << 20, has_rdma=False) == told(None, has_rdma=True) == "ok locked-memory"


def test_fewer_processors_than_programs_think_are_told_with_the_number_to_set(fake: FakeMachine) -> None:
    limited = LimitFacts(cpus=64, cpu_limit=2.5)
    (_, finding) = check_processors(Facts([limited, fake.machine()]))
    assert (finding.severity, finding.advice) == (Severity.INFO, "export OMP_NUM_THREADS=2")
    assert len(check_processors(Facts([limited, fake.machine(OMP_NUM_THREADS="2")]))) == 1


def place(role: str = "store", **changes: Any) -> Place:
    values: dict[str, Any] = {"exists": True, "device": 1, "free_bytes": 10**12, "file_system": "ext4"}
    return Place(role, Path("/data"), **{**values, **changes})


def test_the_features_of_a_file_system_are_found_by_trying_and_nothing_is_left(fake: FakeMachine) -> None:
    facts = read_storage(fake.machine(), load(fake.environment))
    assert facts.places[0].features["symlinks"]
    assert facts.places[0].features["hard links"]
    assert list(fake.home.iterdir()) == []


def test_a_lock_that_two_are_given_at_once_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    settings = load({"HOME": str(tmp_path)})
    assert read_storage(Machine(root=tmp_path), settings).places[0].features["locks"]
    monkeypatch.setattr(fcntl, "flock", lambda _stream, _how: None)
    assert not read_storage(Machine(root=tmp_path), settings).places[0].features["locks"]


def test_a_place_that_is_not_there_yet_is_judged_by_the_folder_above_it(fake: FakeMachine) -> None:
    facts = read_storage(fake.machine(MODELFETCH_HOME=str(fake.home / "a/b/c")), load(fake.environment))
    assert [(found.exists, found.problem, found.device) for found in facts.places] == [
        (False, None, fake.home.stat().st_dev)
    ] * 3


def test_the_file_system_is_that_of_the_nearest_mount(fake: FakeMachine) -> None:
    home = str(fake.home.resolve()).replace(" ", "\\040")
    fake.write(
        "proc/self/mountinfo",
        f"20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n31 20 0:40 / {home} rw - nfs4 server:/home rw\n",
    )
    finding = found(fake, "file-system")["fs.type"]
    assert finding.severity is Severity.WARNING
    assert "is on nfs4" in finding.title


@pytest.mark.parametrize(("path", "is_windows"), [("/mnt/c/models", True), ("/mnt/data", False)])
def test_a_disk_of_windows_is_told_as_one(path: str, *, is_windows: bool) -> None:
    there = replace(place(file_system="9p"), path=Path(path))
    finding, *_ = check_file_system(Facts([StorageFacts((there,))]))
    assert (finding.name, "a disk of Windows" in finding.title) == ("fs.type", is_windows)
    assert ("WSL's own home" in finding.advice) is is_windows


@pytest.mark.parametrize(
    ("free", "severity"),
    [(100_000_000, Severity.ERROR), (4_000_000_000, Severity.WARNING), (6_000_000_000, Severity.OK)],
)
def test_little_room_is_a_warning_and_none_an_error(free: int, severity: Severity) -> None:
    assert [
        finding.severity for finding in check_space(Facts([QueueFacts(), StorageFacts((place(free_bytes=free),))]))
    ] == [severity]


def test_only_the_stores_disk_keeps_models_from_being_pulled() -> None:
    facts = Facts(
        [QueueFacts(), StorageFacts((place(free_bytes=0), place("ModelScope cache", free_bytes=0, device=2)))]
    )
    assert [finding.effect for finding in check_space(facts)] == ["no model can be pulled", ""]


def test_few_inodes_are_a_warning_and_an_unknown_number_is_not() -> None:
    (finding,) = check_space(Facts([QueueFacts(), StorageFacts((place(free_inodes=10),))]))
    assert finding.name == "disk.inodes"
    (finding,) = check_space(Facts([QueueFacts(), StorageFacts((place(free_inodes=None),))]))
    assert finding.severity is Severity.OK


def test_no_inodes_are_the_cause_of_a_store_that_cannot_be_written() -> None:
    full = place(free_inodes=0, problem="No space left on device (in `/data`)", error=errno.ENOSPC)
    facts = Facts([QueueFacts(), StorageFacts((full,))])
    primary = conclude(with_causes([*check_writing(facts), *check_space(facts)])).primary
    assert primary is not None
    assert (primary.name, primary.severity) == ("disk.inodes", Severity.ERROR)
    assert "no more files, whatever room it has" in primary.title


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"error": errno.EROFS, "mounted_at": Path("/mnt")}, 'sudo mount -o remount,rw "/mnt"'),
        ({"error": errno.ENOSPC}, "modelfetch prune --dry-run"),
        ({"obstacle": Path("/data")}, 'mv "/data" "/data.old"'),
        ({"is_closed": True}, 'export MODELFETCH_HOME="$HOME/modelfetch_home"'),
        ({"error": errno.EACCES}, 'sudo mkdir -p "/data" && sudo chown -R "$(id -un)" "/data"'),
    ],
)
def test_what_keeps_a_place_from_being_written_gets_its_own_command(changes: dict[str, Any], fix: str) -> None:
    (finding,) = check_writing(Facts([StorageFacts((place(problem="it cannot be", **changes),))]))
    assert finding.fix == (fix,)


def test_each_place_has_its_own_variable() -> None:
    (finding,) = check_writing(Facts([StorageFacts((place("Hugging Face cache", problem="no", is_closed=True),))]))
    assert finding.fix == ('export HF_HOME="$HOME/hf_home"',)


def test_a_store_behind_a_link_that_leads_nowhere_cannot_be_written(fake: FakeMachine) -> None:
    (fake.home / "store").symlink_to("/nowhere/store")
    finding = found(fake, "writing")["fs.writable"]
    assert finding.title.endswith("is a link to `/nowhere/store`, which is not there")
    assert finding.fix == (f'mv "{fake.home}/store" "{fake.home}/store.old"',)


def test_places_on_one_disk_are_told_once_and_a_split_is_information() -> None:
    together = Facts([QueueFacts(), StorageFacts((place(), place("Hugging Face cache")))])
    assert len(check_space(together)) == 1
    assert [finding.name for finding in check_file_system(together)] == ["file-system"]
    apart = Facts([StorageFacts((place(), place("Hugging Face cache", device=2)))])
    assert [finding.name for finding in check_file_system(apart)] == ["file-system", "file-system", "fs.split"]


def test_a_file_system_without_symlinks_is_a_warning() -> None:
    facts = Facts([StorageFacts((place(features={"symlinks": False, "locks": True}),))])
    assert [finding.name for finding in check_file_system(facts)] == ["fs.features"]
    (finding,) = check_file_system(Facts([StorageFacts((place(features={"symlinks": True, "locks": False}),))]))
    assert (finding.name, finding.severity) == ("fs.features", Severity.INFO)
    without_reflinks = Facts([StorageFacts((place(features={"symlinks": True, "reflinks": False}),))])
    assert [finding.title for finding in check_file_system(without_reflinks)] == ["store on ext4, without reflinks"]


def test_a_cache_that_cannot_be_written_is_a_warning_and_a_store_an_error() -> None:
    places = (place(problem="Read-only file system"), place("ModelScope cache", problem="Read-only file system"))
    store, cache = check_writing(Facts([StorageFacts(places)]))
    assert (store.severity, store.effect) == (Severity.ERROR, "no model can be pulled")
    assert (cache.severity, cache.effect, cache.advice) == (Severity.WARNING, "", "")


def test_what_another_user_left_is_a_warning_with_the_command_that_takes_it_back() -> None:
    (finding,) = check_writing(Facts([StorageFacts((place(foreign=Path("/data/blobs-v1")),))]))
    assert (finding.severity, finding.title) == (Severity.WARNING, "`/data/blobs-v1` belongs to another user")
    assert finding.fix == ('sudo chown -R "$(id -un)" "/data"',)
    (well,) = check_writing(Facts([StorageFacts((place(),))]))
    assert well.severity is Severity.OK


def test_a_share_of_the_disk_that_is_used_up_is_told_as_such_and_gets_no_command_about_owners() -> None:
    full = place(problem="Disk quota exceeded (in `/data`)", error=errno.EDQUOT)
    (finding,) = check_writing(Facts([StorageFacts((full,))]))
    assert (finding.name, finding.severity, finding.fix) == ("disk.quota", Severity.ERROR, ("quota -s",))
    (finding,) = check_writing(Facts([StorageFacts((place(problem="Read-only file system"),))]))
    assert finding.name == "fs.writable"


def test_a_store_where_a_file_stands_cannot_be_written(fake: FakeMachine) -> None:
    (fake.home / "store").write_text("a file")
    findings = found(fake, "disk")
    assert findings["fs.writable"].severity is Severity.ERROR
    assert "is a file" in findings["fs.writable"].title
    assert findings["fs.writable"].effect == "no model can be pulled"


def test_a_store_that_may_not_be_written_is_an_error(fake: FakeMachine) -> None:
    store = fake.home / "store"
    store.mkdir(mode=0o500)
    if os.access(store, os.W_OK):
        pytest.skip("nothing can be closed to this user")
    assert errors(found(fake, "disk")) == {"fs.writable"}


def test_a_store_that_was_opened_once_is_well_and_one_of_another_version_an_error(fake: FakeMachine) -> None:
    assert found(fake, "store")["store"].title == "the store is not there yet"
    Store.open(fake.home / "store")
    assert found(fake, "store")["store"].title == "the store can be opened"
    (fake.home / "store" / VERSION_FILE).write_text("modelfetch store 99\n")
    finding = found(fake, "store")["store.unusable"]
    assert (finding.severity, finding.evidence["got"]) == (Severity.ERROR, "modelfetch store 99")
    assert "MODELFETCH_HOME" in finding.advice


def test_a_folder_of_other_things_is_no_store(fake: FakeMachine) -> None:
    (fake.home / "store").mkdir()
    (fake.home / "store/photo.jpg").write_bytes(b"")
    assert found(fake, "store")["store.not-ours"].severity is Severity.WARNING
