"""Whatever a child does, the parent lives, hears what was said before, and names the end. Real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from modelfetch.model.isolation import child_command, child_environment, usable_cores
from modelfetch.smoketest.observations import Ended, Finished, Garbled, Observation, Started
from modelfetch.smoketest.runner import LOG_BYTES, run_child

REPOSITORY = Path(__file__).parents[2]
PREAMBLE = """
import ctypes, os, signal, subprocess, sys, time
channel = os.fdopen(int(sys.argv[1]), "w")
def say(line):
    channel.write(line + "\\n")
    channel.flush()
say('{"observation": "Started", "phase": "load"}')
"""


def hear(code: str, scratch: Path, *, timeout_s: float = 60.0) -> tuple[list[Observation], Ended]:
    """Run `code` as the child; what it said, and how it ended."""
    command = [sys.executable, "-X", "faulthandler", "-c", PREAMBLE + textwrap.dedent(code)]
    heard: list[Observation] = []
    observations = run_child(
        command,
        environment=child_environment(os.environ, scratch),
        scratch=scratch,
        timeout_s=timeout_s,
        listener=heard.append,
    )
    assert list(observations) == heard
    ended = observations[-1]
    assert isinstance(ended, Ended)
    return list(observations[:-1]), ended


def test_a_child_that_ends_well_is_heard_out(tmp_path: Path) -> None:
    said, ended = hear("""say('{"observation": "Finished", "seconds": 1.5}')""", tmp_path)
    assert said == [Started("load"), Finished(1.5)]
    assert (ended.exit_status, ended.signal, ended.timed_out) == (0, None, False)


def test_a_crash_in_native_code_is_named_with_its_phase_and_its_stack(tmp_path: Path) -> None:
    said, ended = hear("ctypes.string_at(0)", tmp_path)
    assert said == [Started("load")]
    assert (ended.signal, ended.exit_status, ended.phase) == ("SIGSEGV", None, "load")
    assert "Fatal Python error: Segmentation fault" in ended.log


def test_an_abort_is_named(tmp_path: Path) -> None:
    assert hear("os.abort()", tmp_path)[1].signal == "SIGABRT"


def test_a_hang_ends_at_the_time_limit(tmp_path: Path) -> None:
    said, ended = hear("time.sleep(600)", tmp_path, timeout_s=10.0)
    assert said == [Started("load")]
    assert ended.timed_out
    assert ended.phase == "load"


def test_a_child_that_hears_no_signal_ends_all_the_same(tmp_path: Path) -> None:
    code = """
    for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    time.sleep(600)
    """
    assert hear(code, tmp_path, timeout_s=3.0)[1].timed_out


def test_a_killed_child_is_no_time_limit(tmp_path: Path) -> None:
    ended = hear("os.kill(os.getpid(), signal.SIGKILL)", tmp_path)[1]
    assert (ended.signal, ended.timed_out) == ("SIGKILL", False)


def test_a_flood_of_output_is_kept_to_its_end_and_hides_nothing(tmp_path: Path) -> None:
    code = """
    for _ in range(400):
        print("x" * 65536, flush=True)
        print("y" * 65536, file=sys.stderr, flush=True)
    print("the last words")
    sys.stdout.flush()
    say('{"observation": "Finished", "seconds": 1}')
    """
    said, ended = hear(code, tmp_path)
    assert said[-1] == Finished(1.0)
    assert len(ended.log) <= LOG_BYTES
    assert ended.log.endswith("the last words\n")


def test_a_flood_without_end_ends_at_the_time_limit(tmp_path: Path) -> None:
    assert hear("while True: os.write(1, b'x' * 65536)", tmp_path, timeout_s=3.0)[1].timed_out


def test_a_line_without_end_is_garbled_and_costs_no_memory(tmp_path: Path) -> None:
    said, ended = hear("for _ in range(200): channel.write('x' * 65536)", tmp_path)
    assert any(isinstance(each, Garbled) for each in said)
    assert ended.exit_status == 0


def test_what_is_no_observation_is_garbled(tmp_path: Path) -> None:
    assert hear("say('PASS')", tmp_path)[0][-1] == Garbled("PASS")


def test_an_allocation_beyond_the_cap_fails_in_the_child_alone(tmp_path: Path) -> None:
    code = """
    sys.path.append(REPOSITORY)
    from modelfetch.model.child import memory
    memory.cap(memory.data_bytes() + (256 << 20))
    try:
        bytearray(50 << 30)
    except MemoryError as error:
        shortage = memory.shortage(error, "cpu", 50 << 30, "load")
        assert shortage.needed_bytes == 50 << 30
        assert shortage.available_bytes > 0
        say('{"observation": "Finished", "seconds": 1}')
    """
    said, ended = hear(code.replace("REPOSITORY", repr(str(REPOSITORY))), tmp_path)
    assert ended.log == ""
    assert said[-1] == Finished(1.0)


def test_nothing_that_the_child_started_outlives_it(tmp_path: Path) -> None:
    code = """
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    say('{"observation": "Started", "phase": "%d"}' % other.pid)
    """
    said, ended = hear(code, tmp_path)
    assert ended.exit_status == 0
    assert isinstance(said[-1], Started)
    _wait_until_gone(int(said[-1].phase))


def test_the_child_is_asked_nothing_and_reads_nothing(tmp_path: Path) -> None:
    said, _ = hear('assert sys.stdin.read() == \'\'\nsay(\'{"observation": "Finished", "seconds": 1}\')', tmp_path)
    assert said[-1] == Finished(1.0)


def test_the_child_knows_no_token_and_stays_offline(tmp_path: Path) -> None:
    environment = child_environment(
        {
            "PATH": "/bin",
            "HF_TOKEN": "hf_secret",
            "HUGGING_FACE_HUB_TOKEN": "hf_secret",
            "MODELSCOPE_API_TOKEN": "ms-secret",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "OPENAI_API_KEY": "secret",
            "HTTPS_PROXY": "http://user:secret@proxy:8080",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": "/home/me/.cache/huggingface",
            "OMP_NUM_THREADS": "1",
        },
        tmp_path,
    )
    assert "secret" not in str(environment)
    assert environment["PATH"] == "/bin"
    assert (environment["HF_HUB_OFFLINE"], environment["TRANSFORMERS_OFFLINE"]) == ("1", "1")
    assert environment["HF_HOME"].startswith(str(tmp_path))
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_threads_are_the_cores_that_may_be_used(tmp_path: Path) -> None:
    assert 1 <= usable_cores() <= len(os.sched_getaffinity(0))
    assert child_environment({}, tmp_path)["OMP_NUM_THREADS"] == str(usable_cores())


def test_a_module_that_lies_in_the_working_folder_is_not_imported(tmp_path: Path) -> None:
    (tmp_path / "stranger.py").write_text("print('a stranger runs')")
    done = subprocess.run(
        child_command("stranger"), cwd=tmp_path, env={"PATH": "/bin"}, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    assert "No module named stranger" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent is gone")
def test_a_child_does_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(
        "from modelfetch.processes import die_with_parent\n"
        "import time\n"
        "die_with_parent()\n"
        "print('up', flush=True)\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "parent.py").write_text(
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, 'child.py'], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "parent.py"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        child_pid = int(process.stdout.readline())
        assert psutil.pid_exists(child_pid)
        process.send_signal(signal.SIGKILL)
    _wait_until_gone(child_pid)


def test_ctrl_c_leaves_no_child_behind(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(
        "import os, sys\n"
        "from pathlib import Path\n"
        "from modelfetch.smoketest.runner import run_child\n"
        "child = 'import os, sys, time; os.write(int(sys.argv[1]), b\"%d\\\\n\" % os.getpid()); time.sleep(600)'\n"
        "def show(observation):\n"
        "    print(observation.line, flush=True)\n"
        "command = [sys.executable, '-c', child]\n"
        "run_child(command, environment=os.environ, scratch=Path('.'), timeout_s=600, listener=show)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(
        [sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    with process:
        assert process.stdout is not None
        child_pid = int(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate()[1]
    _wait_until_gone(child_pid)


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 30
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, f"{pid} is still there"
        time.sleep(0.05)
