"""`store_crowd FOLDER --seconds 8 [--workers 8]`: processes that pull, verify, link, adopt, remove and prune at once.

Each has a model of its own, of bytes that all share and all remove: what its pull has promised must stay true until it
removes that model itself. The other models are everybody's, and may be gone at any moment.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.store_scene import HUB, SHARED, Command, Files, Scene, check, hub_beside
from tests.stored import contents

DONE = frozenset({0})
# Somebody removed the model before, or while it was being worked on: said, and no bug.
GONE = frozenset({0, 4, 9})


def own_model(worker: int) -> tuple[str, Files]:
    """The name and the files of a worker's model."""
    return f"own/worker{worker}", {
        "config.json": b'{"worker": %d}' % worker,
        "model.safetensors": SHARED,
        "s.txt": b"s",
    }


@dataclass
class Worker:
    scene: Scene
    number: int
    chance: random.Random

    def work(self) -> None:
        """One round: pull what is its own, do what others do as well, find it whole, remove it."""
        repo, files = own_model(self.number)
        self.expect(DONE, "pull", repo, "--source", "hf", "-q")
        self.find_whole(repo, files, "after the pull")
        for act in self.chance.sample(self.acts(), 2):
            act()
        self.find_whole(repo, files, f"after {self.scene.said()}")
        self.expect(DONE, "rm", repo, "--yes")

    def acts(self) -> list[Callable[[], None]]:
        disk = self.scene.disk
        return [
            lambda: self.expect(GONE, "pull", "own/third", "--source", "hf", "-q", "--no-link"),
            lambda: self.expect(GONE, "rm", "own/third", "--yes"),
            lambda: self.expect(GONE, "link", "own/third", "--to", str(disk / f"folder{self.number}")),
            lambda: self.expect(GONE, "link", "own/third", "--to", "ms"),
            lambda: self.expect(DONE, "adopt", str(disk / "cache"), str(disk / "user"), "--as", "me/taken", "-q"),
            lambda: self.expect(DONE, "prune", "--keep-within", "0h", "--keep-views", "--yes"),
            # Of a model that is being removed, something is missing.
            lambda: self.expect(DONE | {8}, "verify", "-q"),
            lambda: self.expect(DONE, "verify", "own/keep", "--deep", "-q"),
        ]

    def expect(self, statuses: frozenset[int], *arguments: str) -> None:
        status, said = self.scene.run(*arguments), self.scene.said()
        assert status in statuses, f"{' '.join(arguments)}: {status}\n{said}"
        assert "Traceback" not in said, said

    def find_whole(self, repo: str, files: Mapping[str, bytes], when: str) -> None:
        snapshot = self.scene.listed().get(repo)
        assert snapshot is not None, f"{repo} is gone {when}"
        assert contents(snapshot.folder) == files, f"{repo} is not whole {when}"
        [shown] = (self.scene.disk / "hf" / f"models--{repo.replace('/', '--')}" / "snapshots").iterdir()
        assert contents(shown) == files, f"the view of {repo} is not whole {when}"


def start(scene: Scene, number: int, seconds: float, told: int) -> int:
    """A worker in a process of its own, which tells its rounds. Its status is 0 when all was as it must be."""
    child = os.fork()
    if child:
        return child
    try:
        worker = Worker(Scene(scene.root, scene.hub, f"said{number}"), number, random.Random(number))
        until, rounds = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            worker.work()
            rounds += 1
        os.write(told, b"." * rounds)
    except BaseException as error:  # noqa: BLE001 - the child must not run on as a second parent
        print(f"worker {number}: {error!r}", flush=True)
        os._exit(1)
    os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--workers", type=int, default=8)
    given = parser.parse_args()
    with hub_beside({**HUB, **dict(map(own_model, range(given.workers)))}) as url:
        scene = Scene(given.folder, url)
        scene.enter()
        scene.build()
        rounds, told = os.pipe()
        workers = [start(scene, number, given.seconds, told) for number in range(given.workers)]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
        assert not any(statuses), statuses
        check(scene, Command("everything", (), removes=("own/other",)))
        assert scene.run("verify", "own/keep", "--deep", "-q") == 0, scene.said()
        for repo in HUB:
            assert scene.run("pull", repo, "--source", "hf", "-q") == 0, scene.said()
        assert scene.run("prune", "--yes") == 0, scene.said()
        assert scene.run("verify", "--deep", "-q") == 0, scene.said()
        print(len(os.read(rounds, 1 << 16)))


if __name__ == "__main__":
    main()
