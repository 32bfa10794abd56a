"""`python -m bench.listing`: how long `modelfetch ls` takes over a store of many models.

The store has records and no payloads: a list reads none. The first run reads every record and leaves the summaries
behind; the others are what a user waits for. Beside them is a process that only starts Python and the command line.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.store import Snapshot, Store

# So many fine-tunes of a model have its tokenizer and most of its shards in common.
_ALIKE = 10
_SHARD_BYTES = 5_000_000_000
_PULLED_AT = datetime(2026, 1, 1, tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the store, list it, print the times."""
    parser = argparse.ArgumentParser(prog="python -m bench.listing", description=__doc__)
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--files", type=int, default=50, help="of each model")
    parser.add_argument("-n", dest="runs", type=int, default=5)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="modelfetch-bench-") as folder:
        home = Path(folder) / "store"
        make_store(home, options.models, options.files)
        print(f"{options.models} models, {options.models * options.files} files, median of {options.runs}")
        print(f"  ls, the first time     {_wall_s(home, 'ls'):.3f} s")
        for name, command in (("ls", "ls"), ("ls --json", "ls --json"), ("--version", "--version")):
            times = [_wall_s(home, *command.split()) for _ in range(options.runs)]
            print(f"  {name:<22} {statistics.median(times):.3f} s")
    return 0


def make_store(home: Path, models: int, files: int) -> None:
    """A store with the records of so many models, of which every ten have the same files but for one."""
    store = Store.open(home)
    for number in range(models):
        manifest = _manifest(number, files)
        folder = store.records.links(manifest)
        snapshot = Snapshot(
            manifest,
            frozenset(entry.path for entry in manifest.entries),
            folder,
            _PULLED_AT + timedelta(seconds=number),
        )
        folder.mkdir(parents=True)
        store.records.write(snapshot)


def _manifest(number: int, files: int) -> Manifest:
    entries = []
    for place in range(files):
        content = f"{number if place == 0 else number // _ALIKE} {place}".encode()
        digests = Digests(hashlib.sha256(content).hexdigest(), hashlib.sha1(content).hexdigest())
        entries.append(Entry(f"model-{place:05d}-of-{files:05d}.safetensors", _SHARD_BYTES, digests, lfs=True))
    commit = hashlib.sha1(str(number).encode()).hexdigest()
    return Manifest("huggingface", f"owner/model-{number}", None, commit, tuple(entries))


def _wall_s(home: Path, *command: str) -> float:
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "modelfetch", *command],
        env={**os.environ, "MODELFETCH_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
