"""Runs one command and writes down what it used: `python -I -S launch.py REPORT COMMAND…`.

A program of its own, and a small one: to a new process the kernel counts the memory of whoever started it, until its
exec, and the peak that is reported at its end is never below that.
"""

from __future__ import annotations

import json
import os
import sys
import time


def main(report: str, command: list[str]) -> None:
    """Run `command`, wait for it, and write its usage to the file `report`."""
    began = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    used = {
        "wall_s": time.monotonic() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "exit_status": os.waitstatus_to_exitcode(status),
    }
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would treble the launcher's memory
        json.dump(used, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
