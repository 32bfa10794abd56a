"""A store of another user's, and a clock that jumps: what reads works, what writes names the owner, nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.reference import parse
from modelfetch.store import FolderDestination, Store
from modelfetch.store.views import folder, huggingface
from modelfetch.transfer.needs import Needs
from modelfetch.verification import verify
from tests.other_tools import huggingface_cache
from tests.stored import bring, contents, dead_partial, deliver, digests_of, manifest_of

FILES = {"config.json": b"{}", "weights.dat": b"w" * 200_000}
YEAR_S = 365 * 24 * 60 * 60
NOBODY = 65534

# Everything is imported before the user changes: the interpreter may be where another user may not look.
SCRIPT = """
import contextlib, io, json, os, pkgutil, sys
import concurrent.futures.thread, encodings.ascii, encodings.idna, encodings.utf_8_sig, filelock, pwd
import modelfetch
from modelfetch import cli
for module in pkgutil.walk_packages(modelfetch.__path__, "modelfetch."):
    if ".child" not in module.name and not module.name.endswith("__main__"):
        __import__(module.name)
os.setgid({nobody})
os.setuid({nobody})
answers = {{}}
for line in json.loads(sys.argv[1]):
    said = io.TextIOWrapper(io.BytesIO(), write_through=True)
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        answers[" ".join(line[:1])] = (cli.run(line), said.buffer.getvalue().decode())
print(json.dumps(answers))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_in_another_users_store_what_reads_works_and_what_writes_names_him(tmp_path: Path) -> None:
    home, own = tmp_path / "store", tmp_path / "own"
    store = Store.open(home)
    bring(store, FILES)
    dead_partial(store.partials / ("d" * 64), idle_s=20 * 24 * 60 * 60)
    own.mkdir()
    huggingface_cache(own / "cache", {"config.json": b"theirs"}, repo="their/model")
    for path in (own, *own.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    for parent in (*home.parents, home):
        if parent.stat().st_mode & 0o005 != 0o005:
            parent.chmod(parent.stat().st_mode | 0o005)
    before = {path: path.lstat().st_ctime_ns for path in home.rglob("*")}
    reads = [["ls"], ["path", "owner/name"], ["verify"], ["link", "owner/name", "--to", str(own / "mine")]]
    writes = [["rm", "owner/name", "--yes"], ["prune", "--yes"], ["adopt", str(own / "cache")], ["pull", "owner/name"]]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(nobody=NOBODY), json.dumps([*reads, *writes])],
        cwd=Path(__file__).parents[2],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
            "HOME": str(own),
            "HF_HUB_CACHE": str(own / "hub"),
            "MODELFETCH_HOME": str(home),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    for command, *_ in reads:
        assert answers[command][0] == 0, answers[command]
    for command, *_ in writes:
        status, said = answers[command]
        assert status == 9, said
        assert f"owner: {home.owner()}" in said
        assert "hint: sudo chown" in said
    assert contents(own / "mine") == FILES
    assert {path: path.lstat().st_ctime_ns for path in home.rglob("*")} == before, "nothing was changed"


def set_every_time(root: Path, moment: float) -> None:
    for path in root.rglob("*"):
        os.utime(path, (moment, moment), follow_symlinks=False)


@pytest.mark.parametrize("moment", [1.0, time.time() + 10 * YEAR_S], ids=["1970", "in ten years"])
def test_whatever_time_the_files_have_they_are_there_and_right(tmp_path: Path, moment: float) -> None:
    store = Store.open(tmp_path / "store")
    snapshot = bring(store, FILES)
    views = [huggingface.link(store, snapshot, tmp_path / "hub"), folder.link(store, snapshot, tmp_path / "mine")]
    other = deliver(FolderDestination(store, tmp_path / "plain"), FILES, manifest_of(FILES, repo="owner/plain"))
    set_every_time(tmp_path, moment)
    again = Store.open(tmp_path / "store")
    assert again.find(digests_of(FILES["weights.dat"]), len(FILES["weights.dat"])) is not None
    for wishes in (Wishes(), Wishes(keep_within_s=30.0 * 24 * 60 * 60)):
        carry_out(again, look_and_plan(again, wishes), wishes)
    assert {found.manifest.repo for found in again.snapshots()} == {"owner/name", "owner/plain"}
    assert verify(again).ok
    for shown in (*(view.folder for view in views), other.folder):
        assert contents(shown) == FILES
    found = again.lookup(parse("owner/name"))
    assert found is not None
    assert contents(found.folder) == FILES
    assert bring(again, FILES).paths == snapshot.paths


@pytest.mark.parametrize("jump_s", [-YEAR_S, YEAR_S], ids=["back", "ahead"])
def test_a_clock_that_jumps_takes_nothing_from_a_pull_that_runs(tmp_path: Path, jump_s: float) -> None:
    store = Store.open(tmp_path)
    content, now = FILES["weights.dat"], time.time() + jump_s
    with Needs(store.partials) as needs:
        needs.add(str(digests_of(content).sha256))
        store.publish_bytes(content, digests_of(content))
        carry_out(store, look_and_plan(store, Wishes(), now=now), Wishes(), now=now)
        assert needs.folder.is_dir()
        assert contents(bring(store, FILES).folder) == FILES
