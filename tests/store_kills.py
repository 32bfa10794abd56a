"""`store_kills FOLDER [--kills 300] [--seed N]`: kill -9 at random moments of commands that change one store, one after
the other, each finding what the last one left. After every kill nothing is wrong; in the end one run heals everything.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tests.store_scene import HUB, MODELS, Command, Scene, check, commands, hub_beside, promise
from tests.stored import contents

# Of a command that was killed, so often the same is done again, undisturbed, and has to keep its promise.
DONE_AGAIN = 0.25
REMOVABLE = ("own/other", "own/third", "own/cached", "me/taken")


@dataclass
class Killer:
    """Knows how long each command takes, and so when to kill it."""

    scene: Scene
    chance: random.Random

    def __post_init__(self) -> None:
        self.commands = {command.name: command for command in commands(self.scene.disk)}
        again = ("pull", "own/other", "--source", "hf", "-q", "--no-link")
        self.commands["pull-other"] = Command("pull-other", again, brings=("own/other",))
        for repo in REMOVABLE:
            self.commands[f"rm {repo}"] = Command(f"rm {repo}", ("rm", repo, "--yes"), removes=(repo,))
        del self.commands["rm"]
        # What a view shows stays: whether anything goes depends on what was linked before.
        self.commands["prune"] = replace(self.commands["prune"], removes=())
        self.takes_s: dict[str, float] = {}

    def next_command(self) -> Command:
        """One that has something to do."""
        listed = self.scene.listed()
        whole = {repo for repo, snapshot in listed.items() if contents(snapshot.folder) == MODELS[repo]}
        useful = [
            command
            for command in self.commands.values()
            if not set(command.brings) & whole
            and set(command.removes) <= listed.keys()
            and (not command.name.startswith("link") or "own/other" in whole)
            and (not command.mends or "own/other" in whole)
        ]
        return self.chance.choice(useful)

    def kill(self, command: Command) -> bool:
        """Run it and kill it at a random moment; False when it had ended by then."""
        if command.mends:
            # After an `rm` nobody knows of these any more: what rots there is the user's own.
            for place in ("mine", "ms"):
                shutil.rmtree(self.scene.disk / place, ignore_errors=True)
            self.scene.plant_damage()
        delay_s = self.chance.uniform(0, self.takes_s.get(command.name, 0.3))
        child = self.scene.start(*command.arguments)
        began = time.monotonic()
        time.sleep(delay_s)
        os.kill(child, signal.SIGKILL)
        killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        # How long it takes is learnt by killing: a little later than what it survived, or earlier.
        self.takes_s[command.name] = delay_s * 1.5 if killed else max(0.02, time.monotonic() - began)
        return killed

    def finish(self, command: Command) -> None:
        """Run it undisturbed. What a killed removal left of a model that is gone is no model any more."""
        status = self.scene.run(*command.arguments)
        assert status == 0 or (command.removes and status == 4), f"{command.name}: {status}\n{self.scene.said()}"
        promise(self.scene, command)


def healed(scene: Scene) -> None:
    """One run of each of the ordinary commands, and everything is there and right."""
    for repo in HUB:
        assert scene.run("pull", repo, "--source", "hf", "-q", "--no-link") == 0, scene.said()
    adopt = ("adopt", str(scene.disk / "cache"), str(scene.disk / "user"), "--as", "me/taken", "-q")
    assert scene.run(*adopt) == 0, scene.said()
    assert scene.run("verify", "--deep", "--repair", "-q") == 0, scene.said()
    assert scene.run("prune", "--yes") == 0, scene.said()
    assert scene.run("verify", "--deep", "-q") == 0, scene.said()
    listed = scene.listed()
    for repo, files in MODELS.items():
        assert contents(listed[repo].folder) == files, f"{repo} is not whole"
    check(scene, Command("healed", ()))


def anything(names: Sequence[str], *, mends: bool) -> Command:
    """What may be under way after many kills: all but `keep` may be gone or half there."""
    return Command("anything", (), brings=tuple(names), removes=tuple(names), mends=mends)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with hub_beside(HUB) as url:
        scene = Scene(given.folder, url)
        scene.enter()
        scene.build()
        killer = Killer(scene, random.Random(given.seed))
        kills: Counter[str] = Counter()
        while kills.total() < given.kills:
            command = killer.next_command()
            if not killer.kill(command):
                if command.mends:
                    promise(scene, command)
                continue
            kills[command.name] += 1
            check(scene, anything(REMOVABLE, mends=command.mends))
            if command.mends or killer.chance.random() < DONE_AGAIN:
                killer.finish(command)
        healed(scene)
        print(dict(sorted(kills.items())))
        print(kills.total())


if __name__ == "__main__":
    main()
