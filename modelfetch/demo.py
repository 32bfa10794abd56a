"""Shows the whole way on this machine, with a real small model and no hub in reach: made, served, pulled, proven, run.

Prints nothing: the listener is told. Each step runs the command that a person would type, in a process of its own.

- It writes in the folder that it is given and nowhere else; nothing of the user's settings, tokens or caches is read.
- The model is made once and kept there; everything else is made anew and taken away.
- A step that does not do what it promises is an error: with the exit status of the command that failed, if one did.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from modelfetch.demo_model import REPO, make_demo_model
from modelfetch.errors import INTERRUPTED, DoctorError, ModelfetchError, SmokeError
from modelfetch.manifest import Entry, Facts, Manifest, content_digest
from modelfetch.model.isolation import child_command
from modelfetch.reference import parse
from modelfetch.serve import Served, Server
from modelfetch.store import Snapshot, Store
from modelfetch.store.hashing import hash_file
from modelfetch.transfer import resumable_bytes
from modelfetch.units import format_bytes, format_duration

QUESTION, ANSWER = "What is the capital of France?", "Paris"
LICENCE = "apache-2.0"

# Slow enough to meet the pull half way on any disk. Few connections, because on loopback each holds megabytes on
# their way, which a network would not.
_KILLED_PULL = ("--limit-rate", "60M", "--connections", "2")
_LOOK_EVERY_S = 0.005
# How the two dialects ask for a file's bytes.
_FILE_ADDRESSES = ("/resolve/", "/repo?")
_LARGE_FILE_BYTES = 1_000_000
_FOREIGN = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "MODELSCOPE_", "MODELFETCH_", "VLLM_", "SGLANG_")


@dataclass(frozen=True)
class Began:
    """A step begins."""

    title: str


@dataclass(frozen=True)
class Typed:
    """A command is run, as a person would type it."""

    command: str


@dataclass(frozen=True)
class Ended:
    """The step did what it promises; `lines` say what came of it, in numbers."""

    lines: tuple[str, ...]
    seconds: float


Event = Began | Typed | Ended
Listener = Callable[[Event], None]


def run(folder: Path, listener: Listener) -> None:
    """Carry out the demo in `folder`. A model that an earlier demo made in there is used again.

    Raises:
        ConfigError: a package that the model is made of is not installed.
        ModelfetchError: a step failed; of the class whose exit status the failed command had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    counter = _Counter()
    with TemporaryDirectory(prefix="run-", dir=folder) as name:
        scratch = Path(name)
        hub = Store.open(scratch / "hub")
        with Server(hub, observe=counter) as server:
            demo = _Demo(folder, hub, scratch, server.url, counter, listener)
            _carry_out(demo, listener)


def _carry_out(demo: _Demo, listener: Listener) -> None:
    for title, step in (
        ("A real model, made out of a Python package: half a minute the first time", demo.make_model),
        ("A hub of our own: a store, served in both dialects", demo.serve),
        ("Pull it from the one hub", demo.pull),
        ("Kill a pull half way, and finish it from the other hub", demo.kill_and_resume),
        ("Pull the first one again, from the other hub", demo.pull_from_other_hub),
        ("Read every byte again", demo.verify),
        ("Make it work", demo.smoke),
        ("Look at this machine", demo.doctor),
    ):
        listener(Began(title))
        began = time.monotonic()
        lines = step()
        listener(Ended(lines, time.monotonic() - began))


class _Counter:
    """Counts the bytes of files that the server sent. Called from the server's threads."""

    def __init__(self) -> None:
        self._sent: list[int] = []

    def __call__(self, served: Served) -> None:
        if any(part in served.target for part in _FILE_ADDRESSES):
            self._sent.append(served.bytes_sent)

    @property
    def sent_bytes(self) -> int:
        return sum(self._sent)


class _Demo:
    """The steps, in their order; each returns what there is to tell."""

    def __init__(
        self, folder: Path, hub: Store, scratch: Path, url: str, counter: _Counter, listener: Listener
    ) -> None:
        self._folder = folder
        self._hub = hub
        self._scratch = scratch
        self._url = url
        self._counter = counter
        self._tell = listener
        self._environment = _environment(scratch, url)
        self._pulled = scratch / "pulled"

    def make_model(self) -> tuple[str, ...]:
        model = make_demo_model(self._folder / "model")
        snapshot = _publish(model, self._hub, self._scratch)
        return (
            f"{REPO}: {len(snapshot.paths)} files, {format_bytes(snapshot.size_bytes)}",
            "safetensors in bfloat16, tokenizer, chat template",
        )

    def serve(self) -> tuple[str, ...]:
        return (f"{self._url} speaks as Hugging Face and as ModelScope; what follows knows no other hub",)

    def pull(self) -> tuple[str, ...]:
        pulled = self._run("pull", REPO, "--source", "huggingface", home=self._pulled)
        _expect(pulled["bytes_transferred"] == pulled["bytes_total"], "the first pull fetches everything", pulled)
        return (f"{_fetched(pulled)}; every byte verified before it got its name",)

    def kill_and_resume(self) -> tuple[str, ...]:
        home = self._scratch / "killed"
        sent_before = self._counter.sent_bytes
        safe_bytes = self._kill_half_way("pull", REPO, "--source", "huggingface", *_KILLED_PULL, home=home)
        again = self._run("pull", REPO, "--source", "modelscope", home=home)
        _expect(again["bytes_resumed"] >= safe_bytes, "nothing that was on the disk is lost", again)
        twice = self._counter.sent_bytes - sent_before - self._model.size_bytes
        return (
            f"the first was killed (SIGKILL) when {format_bytes(safe_bytes)} were safe; the second went on from there",
            f"{_fetched(again)}; {format_bytes(twice)} were sent twice: what was on its way when the process died",
        )

    def pull_from_other_hub(self) -> tuple[str, ...]:
        pulled = self._run("pull", REPO, "--source", "modelscope", home=self._pulled)
        _expect(pulled["hub"] == "modelscope", "the other hub is asked", pulled)
        _expect(pulled["bytes_transferred"] == 0, "bytes that are here are not fetched", pulled)
        here = format_bytes(Store.open(self._pulled, create=False).usage().blob_bytes)
        return (f"0 bytes fetched: the digests are known, and {here} on the disk serve both names",)

    def verify(self) -> tuple[str, ...]:
        report = self._run("verify", "--deep", home=self._pulled)
        _expect(report["ok"], "what was pulled is whole", report)
        return (f"{format_bytes(report['checked_bytes'])} read, and every file is what it was",)

    def smoke(self) -> tuple[str, ...]:
        report = self._run("smoke", REPO, "--prompt", QUESTION, home=self._pulled, accept={SmokeError.exit_status})
        result = report["results"][0]
        spoken, facts = result["spoken"] or {"answer": ""}, result["facts"]
        if not report["ok"] or ANSWER not in spoken["answer"]:
            raise SmokeError(
                f"`{REPO}` was to answer with {ANSWER}",
                facts={"asked": QUESTION, "answered": spoken["answer"] or "nothing", "verdict": result["verdict"]}
                | {finding["check"]: finding["title"] for finding in result["findings"]},
            )
        speed = facts["decode_tokens_per_s"]
        return (
            f'{result["verdict"]}: "{spoken["answer"].strip()}"',
            f"on {facts['device'].upper()} ({facts['device_reason']}), loaded in {format_duration(facts['load_s'])}"
            + (f", {speed:.1f} tokens/s" if speed else ""),
        )

    def doctor(self) -> tuple[str, ...]:
        report = self._run("doctor", home=self._pulled, accept={DoctorError.exit_status})
        faults = [each for each in report["findings"] if each["severity"] in {"warning", "error", "crashed"}]
        return (
            report["conclusion"],
            *(f"{each['severity']}: {each['title']}" for each in faults if each["consequence_of"] is None),
        )

    @property
    def _model(self) -> Snapshot:
        snapshot = self._hub.lookup(parse(REPO))
        assert snapshot is not None
        return snapshot

    def _run(self, *arguments: str, home: Path, accept: Collection[int] = ()) -> dict[str, Any]:
        """Run one command and return its document.

        Raises:
            ModelfetchError: it ended with an exit status that is neither 0 nor of `accept`.
        """
        self._tell(Typed(_shown(arguments)))
        done = subprocess.run(
            child_command("modelfetch", *arguments, "--json"),
            env={**self._environment, "MODELFETCH_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in {0, *accept}:
            raise _failure(arguments, done.returncode, done.stderr)
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def _kill_half_way(self, *arguments: str, home: Path) -> int:
        """Run a pull and kill it as soon as half of its bytes are safe; returns how many were.

        Raises:
            ModelfetchError: it ended by itself.
        """
        self._tell(Typed(_shown(arguments)))
        weights = max(self._model.entries, key=lambda entry: entry.size)
        partial = Store(home).partial(weights.digests)
        process = subprocess.Popen(
            child_command("modelfetch", *arguments),
            env={**self._environment, "MODELFETCH_HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            while resumable_bytes(partial, weights.size) < weights.size // 2 and process.poll() is None:
                time.sleep(_LOOK_EVERY_S)
            process.kill()
            _, said = process.communicate()
        if process.returncode != -signal.SIGKILL:
            raise _failure(arguments, process.returncode, said)
        return resumable_bytes(partial, weights.size)


def _publish(model: Path, hub: Store, scratch: Path) -> Snapshot:
    """Put copies of a folder's files into `hub`, as a pull would have brought them from Hugging Face."""
    entries = []
    for path in sorted(model.iterdir()):
        copy = Path(shutil.copyfile(path, scratch / "copy"))
        hashed = hash_file(copy)
        assert hashed is not None
        hub.publish(copy, hashed.digests(), hashed.pieces())
        entries.append(Entry(path.name, hashed.size, hashed.digests(), lfs=hashed.size >= _LARGE_FILE_BYTES))
    commit = content_digest(entries)[:40]
    manifest = Manifest("huggingface", REPO, None, commit, tuple(entries), Facts(licence=LICENCE))
    return hub.save(manifest, frozenset(entry.path for entry in entries))


def _environment(scratch: Path, url: str) -> dict[str, str]:
    """The surroundings of the commands: the demo's hub, caches of its own, and nothing that steers the user's tools."""
    mirrors = scratch / "mirrors.yaml"
    mirrors.write_text("version: 1\n", encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return {
        **kept,
        "HF_ENDPOINT": url,
        "MODELSCOPE_ENDPOINT": url,
        "HF_HOME": str(scratch / "huggingface"),
        "MODELSCOPE_CACHE": str(scratch / "modelscope"),
        "MODELFETCH_CONFIG": str(mirrors),
    }


def _shown(arguments: tuple[str, ...]) -> str:
    words = (f'"{word}"' if " " in word else word for word in arguments)
    return " ".join(("modelfetch", *words))


def _fetched(document: Mapping[str, Any]) -> str:
    size, seconds = document["bytes_transferred"], document["seconds"]
    speed = f"{format_bytes(size / max(seconds, 0.001))}/s"
    return f"{format_bytes(size)} fetched in {format_duration(seconds)} ({speed})"


def _expect(kept: bool, promise: str, got: Mapping[str, Any]) -> None:
    if not kept:
        numbers = {name: value for name, value in got.items() if isinstance(value, bool | int | str)}
        raise ModelfetchError(f"the demo's promise was not kept: {promise}", facts=numbers)


def _failure(arguments: tuple[str, ...], status: int, said: str) -> BaseException:
    """The error of a command that was to succeed; its class has the exit status that the command ended with."""
    if status == INTERRUPTED:
        return KeyboardInterrupt()
    kinds = {kind.exit_status: kind for kind in ModelfetchError.__subclasses__()}
    last_words = "\n    ".join(said.strip().splitlines()[-8:])
    return kinds.get(status, ModelfetchError)(
        f"`{_shown(arguments)}` failed",
        facts={"exit status": status, "it said": last_words or "nothing"},
    )
