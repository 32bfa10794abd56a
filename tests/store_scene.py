"""A store with models in it, beside other tools' caches; commands that change it; what must hold whatever stops them.

Used by processes that fork a child for each command, and so keep to one thread.

- `keep` is named by no command, and shares its weights with what is removed, brought and mended: it stays whole.
- `check` is what docs/store.md promises after any interruption; `promise` what a command says by ending with status 0.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modelfetch import cli
from modelfetch.reference import parse
from modelfetch.store import Snapshot, Store
from tests.conftest import safetensors_bytes
from tests.other_tools import huggingface_cache, write_all
from tests.pulling import noise
from tests.simulator import FakeHub
from tests.stored import COMMIT, contents, dead_partial, digests_of

Files = Mapping[str, bytes]

# Larger than a piece, so that they have partials and are mended by piece.
SHARED = safetensors_bytes({"weight": noise((4 << 20) + 200_000, seed=1)})
MORE = noise((4 << 20) + 100_000, seed=2)
MIDDLE = safetensors_bytes({"weight": noise(1_100_000, seed=3)})
OWN = safetensors_bytes({"weight": noise(1_200_000, seed=4)})
KEEP: Files = {"config.json": b'{"model": "keep"}', "model.safetensors": SHARED, "notes.txt": b"kept\n"}
OTHER: Files = {"config.json": b'{"model": "other"}', "model.safetensors": SHARED, "extra.dat": noise(150_000, seed=5)}
THIRD: Files = {"config.json": b'{"model": "third"}', "model.safetensors": SHARED, "more.dat": MORE, "a.txt": b"a\n"}
CACHED: Files = {"config.json": b'{"model": "cached"}', "model.safetensors": MIDDLE}
TAKEN: Files = {"config.json": b'{"model": "taken"}', "model.safetensors": OWN}
HUB: Mapping[str, Files] = {"own/keep": KEEP, "own/other": OTHER, "own/third": THIRD}
MODELS: Mapping[str, Files] = {**HUB, "own/cached": CACHED, "me/taken": TAKEN}
KNOWN = {content for files in MODELS.values() for content in files.values()}
UNNAMED = b"nobody names this"
ROTTEN = bytes([SHARED[0] ^ 1]) + SHARED[1:]

LIVE = "live"
_HOUR_S = 60 * 60


@contextmanager
def hub_beside(repos: Mapping[str, Files]) -> Iterator[str]:
    """The address of a hub in a process of its own, so that this one keeps its one thread."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        with FakeHub(repos) as hub:
            os.write(writer, hub.url.encode())
            os.close(writer)
            signal.pause()
        os._exit(0)
    os.close(writer)
    try:
        yield os.read(reader, 200).decode()
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@dataclass(frozen=True)
class Scene:
    """Everything below `root`: `live/` is the disk that is worked on, and `output` has what commands say."""

    root: Path
    hub: str
    output: str = "said"

    @property
    def disk(self) -> Path:
        return self.root / LIVE

    @property
    def store(self) -> Store:
        return Store.open(self.disk / "store", create=False)

    def enter(self) -> None:
        """Point every setting of this process here."""
        os.environ |= {
            "HOME": str(self.root / "home"),
            "MODELFETCH_HOME": str(self.disk / "store"),
            "HF_HUB_CACHE": str(self.disk / "hf"),
            "MODELSCOPE_CACHE": str(self.disk / "ms"),
            "HF_ENDPOINT": self.hub,
            "MODELSCOPE_ENDPOINT": self.hub,
        }

    def build(self) -> None:
        """Make the disk anew: two models that share their weights, other tools' models, and what dead commands left."""
        shutil.rmtree(self.disk, ignore_errors=True)
        huggingface_cache(self.disk / "cache", CACHED, repo="own/cached")
        write_all(self.disk / "user", TAKEN)
        assert self.run("pull", "own/keep", "--source", "hf", "-q") == 0, self.said()
        assert self.run("pull", "own/other", "--source", "hf", "-q", "--no-link") == 0, self.said()
        dead_partial(self.disk / "store/partial-v1" / ("d" * 64), idle_s=20 * 24 * _HOUR_S)
        self.store.publish_bytes(UNNAMED, digests_of(UNNAMED))

    def keep_a_copy(self) -> None:
        """Remember the disk as it is, for `restore`."""
        shutil.rmtree(self.root / "copy", ignore_errors=True)
        os.system(f"cp -a '{self.disk}' '{self.root / 'copy'}'")

    def restore(self) -> None:
        """The disk as it was, with stamps that fit its new inodes."""
        shutil.rmtree(self.disk, ignore_errors=True)
        os.system(f"cp -a '{self.root / 'copy'}' '{self.disk}'")
        for sha256, size in self.store.blobs.sizes():
            assert self.store.find(digests_of(self.store.blob(sha256).read_bytes()), size) is not None

    def run(self, *arguments: str, before: Callable[[], object] = int) -> int:
        """The exit status of a command; `before` is called in its process."""
        return os.waitstatus_to_exitcode(os.waitpid(self.start(*arguments, before=before), 0)[1])

    def start(self, *arguments: str, before: Callable[[], object] = int) -> int:
        """Begin a command in a process of its own; what it says is in `said`."""
        child = os.fork()
        if child:
            return child
        status = 1
        try:
            said = os.open(self.root / self.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(said, 1)
            os.dup2(said, 2)
            before()
            status = cli.run(list(arguments))
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(status)

    def said(self) -> str:
        """What the last command said."""
        return (self.root / self.output).read_text(errors="replace")

    def listed(self) -> dict[str, Snapshot]:
        """The models that the store lists."""
        return {snapshot.manifest.repo: snapshot for snapshot in self.store.snapshots()}

    def plant_damage(self) -> None:
        """Rot under an unchanged time in shared weights, a payload that is gone, a link that leads nowhere."""
        blob = self.blob(SHARED)
        status = blob.stat()
        blob.chmod(0o644)
        with blob.open("r+b") as file:
            file.write(ROTTEN[:1])
        os.utime(blob, ns=(status.st_atime_ns, status.st_mtime_ns))
        blob.chmod(0o444)
        self.blob(OTHER["extra.dat"]).unlink()
        (self.listed()["own/keep"].folder / "notes.txt").unlink()

    def blob(self, content: bytes) -> Path:
        return self.store.blob(str(digests_of(content).sha256))


@dataclass(frozen=True)
class Command:
    """A command line, and what it means for the models of the scene."""

    name: str
    arguments: tuple[str, ...]
    brings: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    mends: bool = False
    shows: Mapping[str, str] = field(default_factory=dict)
    heals_with: frozenset[int] = frozenset({0})


def commands(disk: Path) -> tuple[Command, ...]:
    """Every command that changes a store."""
    return (
        Command("pull", ("pull", "own/third", "--source", "hf", "-q"), brings=("own/third",)),
        Command(
            "adopt",
            ("adopt", str(disk / "cache"), str(disk / "user"), "--as", "me/taken", "-q"),
            brings=("own/cached", "me/taken"),
        ),
        Command("prune", ("prune", "--keep-within", "0h", "--keep-views", "--yes"), removes=("own/other",)),
        Command("rm", ("rm", "own/other", "--yes"), removes=("own/other",), heals_with=frozenset({0, 4})),
        Command("repair", ("verify", "--deep", "--repair", "-q"), mends=True),
        Command("link", ("link", "own/other", "--to", str(disk / "mine")), shows={"mine": "own/other"}),
        Command("link-hf", ("link", "own/other", "--to", "hf")),
        Command("link-ms", ("link", "own/other", "--to", "ms")),
    )


def check(scene: Scene, command: Command) -> None:
    """What holds after `command`, however it ended."""
    store, rotten = scene.store, {ROTTEN} if command.mends else set()
    for sha256, _ in store.blobs.sizes():
        content = store.blob(sha256).read_bytes()
        assert content in rotten or hashlib.sha256(content).hexdigest() == sha256, f"wrong bytes under {sha256}"
    assert store.damaged_records() == ()
    listed = scene.listed()
    for repo in ("own/keep", "own/other"):
        if repo not in command.removes:
            assert repo in listed, f"{repo} was lost"
            assert command.mends or contents(listed[repo].folder) == MODELS[repo], f"{repo} has lost bytes"
    for repo in command.brings:
        if repo in listed:
            wrong = set(contents(listed[repo].folder).items()) - set(MODELS[repo].items())
            assert {content for _, content in wrong} <= rotten, f"{repo} has wrong bytes"
    assert contents(scene.disk / "user") == TAKEN
    assert set(contents(scene.disk / "cache").values()) == {*CACHED.values(), COMMIT.encode()}
    check_views(scene, command)


def check_views(scene: Scene, command: Command) -> None:
    """No view shows wrong bytes; the one of `keep` shows all of them."""
    shown = contents(scene.disk / "mine")
    rotten = {ROTTEN} if command.mends else set()
    wrong = {content for path, content in shown.items() if OTHER.get(path) != content} - rotten
    assert not wrong, "a folder shows what it should not"
    for place in ("hf", "ms"):
        for snapshot in (scene.disk / place).rglob("snapshots/*"):
            wrong = set(contents(snapshot).values()) - KNOWN - rotten
            assert not wrong, f"{snapshot} shows wrong bytes"
    if not command.mends:
        [snapshot] = (scene.disk / "hf/models--own--keep/snapshots").iterdir()
        assert contents(snapshot) == KEEP, "the view of keep has lost something"


def promise(scene: Scene, command: Command) -> None:
    """What holds after `command` ended with status 0."""
    listed = scene.listed()
    for repo in command.brings:
        found = scene.store.lookup(parse(repo))
        assert found is not None, f"{repo} was not brought"
        assert contents(found.folder) == MODELS[repo], f"{repo} was not brought whole"
    for repo in command.removes:
        assert repo not in listed, f"{repo} was not removed"
    for place, repo in command.shows.items():
        assert contents(scene.disk / place) == MODELS[repo], f"{place} does not show all"
    if command.mends:
        for repo in ("own/keep", "own/other"):
            assert contents(listed[repo].folder) == MODELS[repo], f"{repo} was not mended"


def heal(scene: Scene, command: Command) -> None:
    """The same command once more, undisturbed; then nothing is wrong any more."""
    status = scene.run(*command.arguments)
    assert status in command.heals_with, f"does not heal: {status}\n{scene.said()}"
    promise(scene, command)
    healed = Command(command.name, command.arguments, command.brings, command.removes)
    check(scene, healed)
    assert scene.run("verify", "--deep", "-q") == 0, scene.said()
