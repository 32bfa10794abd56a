"""A child and all that it started end together, and asking whether it is over takes nothing from anybody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from modelfetch.processes import Group, Streams, oom_kills, signal_of

WAIT_S = 60.0
# Starts another that hears no signal but the one nobody can ignore, and says its number.
PARENT = """
import subprocess, sys
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
other.stdout.readline()
print(other.pid, flush=True)
"""


def start(code: str) -> Group:
    return Group([sys.executable, "-c", code], environment=os.environ, streams=Streams(stdout=subprocess.PIPE))


def said(group: Group) -> bytes:
    assert group.stdout is not None
    with group.stdout:
        return group.stdout.readline()


def wait_until_over(group: Group) -> None:
    os.waitid(os.P_PID, group.pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize("after", ["import time; time.sleep(600)", ""])
def test_what_a_child_started_ends_with_it_whether_it_still_runs_or_not(after: str) -> None:
    group = start(PARENT + after)
    other = psutil.Process(int(said(group)))
    if not after:
        wait_until_over(group)
    group.end()
    psutil.wait_procs([other], timeout=WAIT_S)
    assert not other.is_running() or other.status() == psutil.STATUS_ZOMBIE


def test_asking_whether_a_child_is_over_does_not_reap_it() -> None:
    group = start("print(1, flush=True); import time; time.sleep(600)")
    assert said(group) == b"1\n"
    assert not group.has_ended()
    group.kill_all()
    wait_until_over(group)
    assert group.has_ended()
    assert psutil.Process(group.pid).status() == psutil.STATUS_ZOMBIE
    group.end()
    assert group.wait() == -signal.SIGKILL
    assert group.has_ended()


def test_what_was_waited_for_is_not_killed_again() -> None:
    group = start("print(1)")
    assert said(group) == b"1\n"
    assert group.wait(WAIT_S) == 0
    group.kill_all()
    group.end()
    assert group.returncode == 0


def test_a_terminal_signal_does_not_reach_a_child() -> None:
    group = start("import os; print(os.getsid(0) == os.getpid() == os.getpgid(0), flush=True)")
    assert said(group) == b"True\n"
    group.end()


def test_a_child_reads_nothing_unless_it_is_given_something_to_read() -> None:
    group = start("import sys; print(repr(sys.stdin.read()), flush=True)")
    assert said(group) == b"''\n"
    group.end()


@pytest.mark.parametrize(
    ("status", "name"), [(0, None), (3, None), (-9, "SIGKILL"), (-11, "SIGSEGV"), (-99, "signal 99")]
)
def test_a_return_code_names_its_signal(status: int, name: str | None) -> None:
    assert signal_of(status) == name


def test_the_kernels_count_of_killed_processes_is_a_number() -> None:
    assert oom_kills() >= 0
