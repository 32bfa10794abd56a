"""Who may write a partial: one process at a time; the dead are followed at once, the living never."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from modelfetch.transfer import owner
from modelfetch.transfer.owner import Claim, Identity, Watch, claim, this_process

FOREIGN = {"place": "another-boot pid:[1]", "host": "node7", "pid": 4242, "started": "1"}
# Long enough for a loaded machine, and never waited for when all is well.
PATIENCE_S = 60.0

HOLDER = """
import sys, time
from pathlib import Path
from modelfetch.transfer.owner import Claim, Watch, claim

held = claim(Path(sys.argv[1]), Watch())
print("claimed" if isinstance(held, Claim) else held, flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that claims `folder` and keeps it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "claimed\n"
        try:
            yield child
        finally:
            child.kill()


def claimed(folder: Path, watch: Watch | None = None) -> Claim:
    held = claim(folder, watch or Watch())
    assert isinstance(held, Claim), held
    return held


def refused(folder: Path, watch: Watch | None = None) -> Identity:
    held = claim(folder, watch or Watch())
    assert isinstance(held, Identity)
    return held


def owners(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_free_folder_is_claimed_and_made_where_it_is_not_there(tmp_path: Path) -> None:
    held = claimed(tmp_path / "a" / "b")
    assert owners(tmp_path / "a" / "b") == ["owner.1"]
    assert json.loads((tmp_path / "a" / "b" / "owner.1").read_text())["pid"] == os.getpid()
    held.release()
    assert owners(tmp_path / "a" / "b") == []


def test_a_claimed_folder_is_refused_and_its_owner_named(tmp_path: Path) -> None:
    held = claimed(tmp_path)
    assert refused(tmp_path) == this_process()
    assert str(refused(tmp_path)) == f"process {os.getpid()} on {os.uname().nodename}"
    assert owners(tmp_path) == ["owner.1"], "who was refused leaves nothing"
    held.release()
    claimed(tmp_path).release()


def test_a_living_owner_is_respected_however_old_its_file_and_however_still_it_stands(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        os.utime(tmp_path / "owner.1", (0, 0))
        assert refused(tmp_path).pid == child.pid
        child.send_signal(signal.SIGSTOP)
        until(lambda: state(child.pid) == "T")
        assert refused(tmp_path).pid == child.pid
        child.send_signal(signal.SIGCONT)


def test_a_killed_owner_is_followed_at_once(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        child.kill()
        child.wait()
    held = claimed(tmp_path)
    assert owners(tmp_path) == ["owner.2"]
    assert held.beat()
    held.release()


def test_a_killed_owner_that_nobody_waited_for_is_followed_at_once(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        os.kill(child.pid, signal.SIGKILL)
        until(lambda: state(child.pid) == "Z")
        claimed(tmp_path).release()


def test_a_number_that_another_process_has_now_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    with holder(tmp_path) as child:
        identity = json.loads((tmp_path / "owner.1").read_text())
        assert identity["pid"] == child.pid
        (tmp_path / "owner.1").write_text(json.dumps({**identity, "started": "1"}))
        claimed(tmp_path).release()


@pytest.mark.parametrize("dead", [0, 1, 3])
def test_of_several_threads_that_claim_at_once_one_wins(tmp_path: Path, dead: int) -> None:
    for number in range(1, dead + 1):
        gone = {**json.loads(json.dumps(vars(this_process()))), "started": "1"}
        (tmp_path / f"owner.{number}").write_text(json.dumps(gone))
    barrier, outcomes = threading.Barrier(12), list[Claim | Identity]()

    def compete() -> None:
        barrier.wait()
        outcomes.append(claim(tmp_path, Watch()))

    threads = [threading.Thread(target=compete) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if isinstance(outcome, Claim)]
    # Two that saw each other both step back; whoever comes next then wins.
    winners = winners or [claimed(tmp_path)]
    assert len(winners) == 1
    assert len(owners(tmp_path)) == 1
    assert winners[0].beat()
    winners[0].release()


COMPETITOR = """
import os, sys, time
from pathlib import Path
from modelfetch.transfer.owner import Claim, Watch, claim

folder, inside, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
while rounds:
    held = claim(folder, Watch())
    if isinstance(held, Claim):
        os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # fails when somebody else is inside
        lost = not held.beat()
        inside.unlink()
        held.release()
        if lost:
            sys.exit("a claim was lost")
        rounds -= 1
"""


def test_processes_that_claim_and_release_all_the_time_are_never_inside_together(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", COMPETITOR, str(tmp_path / "p"), str(tmp_path / "inside"), "40"]
    children = [subprocess.Popen(arguments, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    try:
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        outcomes = [(child.communicate(timeout=PATIENCE_S)[1], child.returncode) for child in children]
    finally:
        for child in children:
            child.kill()
    assert outcomes == [("", 0)] * 4
    assert owners(tmp_path / "p") == []


def test_an_owner_elsewhere_lives_while_its_file_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.0)
    (tmp_path / "owner.3").write_text(json.dumps(FOREIGN))
    watch = Watch()
    for beat in range(5):
        os.utime(tmp_path / "owner.3", ns=(beat, beat))
        assert refused(tmp_path, watch) == Identity(**FOREIGN)  # type: ignore[arg-type]  # as it was written


def test_an_owner_elsewhere_is_presumed_dead_when_its_file_stood_still_long_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.2)
    (tmp_path / "owner.3").write_text(json.dumps(FOREIGN))
    os.utime(tmp_path / "owner.3", (0, 0))
    watch, began = Watch(), time.monotonic()
    assert refused(tmp_path, watch).host == "node7", "its clock is not ours: an old time proves nothing"
    until(lambda: isinstance(claim(tmp_path, watch), Claim))
    assert time.monotonic() - began >= 0.2
    assert owners(tmp_path) == ["owner.4"]


def test_who_asks_for_the_first_time_presumes_nobody_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.0)
    (tmp_path / "owner.1").write_text(json.dumps(FOREIGN))
    for _ in range(3):
        refused(tmp_path, Watch())


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", "{}", '{"place": ""}', json.dumps({**FOREIGN, "pid": "7"}), '{"place": 1}']
)
def test_an_owner_that_cannot_be_read_is_judged_by_its_files_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (tmp_path / "owner.1").write_text(content)
    watch = Watch()
    assert str(refused(tmp_path, watch)) == "an unknown process"
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.0)
    assert claimed(tmp_path, watch).beat()


def test_an_owner_whose_process_may_not_be_seen_is_judged_by_its_files_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with holder(tmp_path) as child:
        child.kill()
        child.wait()

    def hidden(pid: int, signal_number: int) -> None:
        assert (pid, signal_number) == (child.pid, 0)
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "kill", hidden)
    watch = Watch()
    assert refused(tmp_path, watch).pid == child.pid
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.0)
    claimed(tmp_path, watch).release()


def test_where_the_system_does_not_tell_its_boot_every_owner_is_judged_by_its_files_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "boot_id", lambda: "")
    gone = {"place": "", "host": "here", "pid": 2**22 + 1, "started": "1"}
    (tmp_path / "owner.1").write_text(json.dumps(gone))
    watch = Watch()
    assert refused(tmp_path, watch).place == ""
    monkeypatch.setattr(owner, "PRESUMED_DEAD_S", 0.0)
    claimed(tmp_path, watch).release()


def test_beating_moves_the_files_time(tmp_path: Path) -> None:
    held = claimed(tmp_path)
    os.utime(tmp_path / "owner.1", (0, 0))
    assert held.beat()
    assert (tmp_path / "owner.1").stat().st_mtime > 0
    held.release()


def test_what_was_released_is_not_lost(tmp_path: Path) -> None:
    held = claimed(tmp_path)
    held.release()
    assert held.beat(), "a thread that beats may look after another one has released"


def test_who_was_taken_for_dead_has_lost_also_when_a_later_owner_has_the_same_number(tmp_path: Path) -> None:
    late = claimed(tmp_path)
    (tmp_path / "owner.1").unlink()
    assert not late.beat()
    (tmp_path / "owner.1").write_text(json.dumps(FOREIGN))
    os.utime(tmp_path / "owner.1", (0, 0))
    assert not late.beat()
    late.release()
    assert owners(tmp_path) == ["owner.1"]
    assert (tmp_path / "owner.1").stat().st_mtime == 0, "it does not speak for the other"


def test_somebody_who_only_tries_does_not_take_a_claim_away(tmp_path: Path) -> None:
    held = claimed(tmp_path)
    (tmp_path / "owner.2").write_text("")
    assert held.beat()
    held.release()


def test_who_created_a_file_and_sees_a_living_owner_steps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process claims the folder between our look and our file."""
    listed = owner._owner_files
    looks: Iterator[list[Path] | None] = iter([[], None])

    def look(folder: Path) -> list[Path]:
        found = next(looks)
        return listed(folder) if found is None else found

    with holder(tmp_path) as child:
        (tmp_path / "owner.1").rename(tmp_path / "owner.5")
        monkeypatch.setattr(owner, "_owner_files", look)
        assert refused(tmp_path).pid == child.pid
        assert owners(tmp_path) == ["owner.5"]


def test_a_claim_that_meets_a_full_disk_is_not_left_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(json, "dump", full)
        with pytest.raises(OSError, match="No space"):
            claim(tmp_path, Watch())
    assert owners(tmp_path) == []
    claimed(tmp_path).release()


def test_a_folder_that_its_last_owner_removes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = owner._owner_files
    folder = tmp_path / "p"

    def look(asked: Path) -> list[Path]:
        found = listed(asked)
        monkeypatch.setattr(owner, "_owner_files", listed)
        asked.rmdir()
        return found

    monkeypatch.setattr(owner, "_owner_files", look)
    assert claimed(folder).beat()


@pytest.mark.parametrize(
    "name", ["owner", "owner.", "owner.0", "owner.-1", "owner.x", "owner.1.tmp", "journal", "data"]
)
def test_other_files_are_no_owners(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(vars(this_process())))
    claimed(tmp_path)
    assert owners(tmp_path) == sorted([name, "owner.1"])


def test_this_process_is_itself_and_no_other() -> None:
    mine = this_process()
    assert mine == this_process()
    assert mine.pid == os.getpid()
    assert mine.started
    assert Watch().lives(Path("/nowhere"), mine)
