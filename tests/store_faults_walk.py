"""`store_faults_walk FOLDER [--every N] [--begin N] [--only COMMAND] [--fault FAULT]`: runs each command that changes a
store on a disk that fails at its 1st, 2nd, 3rd … call, and says how each ended. By hand every call, in the suite a few.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path

from modelfetch.errors import ModelfetchError
from tests.failing_disk import FailingDisk, Fault
from tests.store_scene import HUB, Command, Scene, check, commands, heal, hub_beside, promise

# What a command may end with: done all the same, a source that is no longer there, full, damaged, the store refuses.
STATUSES = {
    Fault.FULL: frozenset({0, 7}),
    Fault.WRITE: frozenset({0, 9}),
    Fault.READ: frozenset({0, 8, 9}),
    Fault.SHORT: frozenset({0}),
}
FAILED = -1
# No command makes so many; a walk ends where a command does.
MOST_CALLS = 100_000


def struck_at(call: int, scene: Scene, command: Command, fault: Fault) -> int | None:
    """The status of `command` on a disk that fails at that call; None when it made fewer calls."""
    scene.restore()
    if command.mends:
        scene.plant_damage()
    reader, writer = os.pipe()

    def fail() -> None:
        FailingDisk(scene.disk, fault, call, lambda: os.write(writer, b"!")).install()

    status = scene.run(*command.arguments, before=fail)
    os.close(writer)
    struck = os.read(reader, 1)
    os.close(reader)
    return status if struck else None


def walk(scene: Scene, command: Command, fault: Fault, calls: range) -> Counter[int]:
    """The statuses, for each call of `calls` that the command comes to."""
    statuses: Counter[int] = Counter()
    for call in calls:
        status = struck_at(call, scene, command, fault)
        if status is None:
            break
        said = scene.said()
        where = f"{command.name}, {fault} at call {call}: status {status}\n{said}"
        try:
            # A repair that the disk does not let finish is damage that remains, and says why.
            allowed = STATUSES[fault] | ({8} if command.mends else set())
            assert status in allowed, "a status that it must not have"
            assert "Traceback" not in said, "a failure that nobody foresaw"
            check(scene, command)
            # A file that cannot be read is left where it is, and named: an adoption all the same.
            if status == 0 and (fault, command.name) != (Fault.READ, "adopt"):
                promise(scene, command)
            heal(scene, command)
        except (AssertionError, ModelfetchError) as error:
            print(f"FAILED {where}\n{error!r}", flush=True)
            status = FAILED
        statuses[status] += 1
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--begin", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--fault", default="")
    given = parser.parse_args()
    with hub_beside(HUB) as url:
        scene = Scene(given.folder, url)
        scene.enter()
        scene.build()
        scene.keep_a_copy()
        total: Counter[int] = Counter()
        for command in commands(scene.disk):
            for fault in Fault:
                if given.only in {"", command.name} and given.fault in {"", fault}:
                    statuses = walk(scene, command, fault, range(given.begin, MOST_CALLS, given.every))
                    print(command.name, fault, statuses.total(), dict(statuses), flush=True)
                    total += statuses
        assert not total[FAILED], f"{total[FAILED]} times something was wrong"
        print(total.total())


if __name__ == "__main__":
    main()
