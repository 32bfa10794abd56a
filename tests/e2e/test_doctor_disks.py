"""Doctor on real file systems that are full, read-only or out of inodes: small ones in memory, made for one child."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False)
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(not _may_mount(), reason="nobody may mount anything here")


def told(folder: Path, *steps: str) -> dict[str, Any]:
    """What doctor says of a store in `folder` after these steps of a shell that may mount there."""
    folder.mkdir()
    command = shlex.join([sys.executable, "-m", "modelfetch", "doctor", "disk", "--offline", "--json"])
    script = " && ".join([*(step.replace("DIR", shlex.quote(str(folder))) for step in steps), f"exec {command}"])
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script],
        cwd=REPOSITORY,
        env={**os.environ, "MODELFETCH_HOME": str(folder / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, 11}, done.stderr
    document = json.loads(done.stdout)
    findings = [each for each in document["findings"] if str(folder) in str(each["evidence"]) or each["effect"]]
    return {"primary": document["primary"], **{finding["name"]: finding for finding in findings}}


def test_a_disk_that_is_too_small_for_any_model_is_the_cause(tmp_path: Path) -> None:
    findings = told(tmp_path / "disk", "mount -t tmpfs -o size=4m none DIR")
    assert (findings["primary"], findings["disk.low"]["severity"]) == ("disk.low", "error")
    assert findings["file-system"]["evidence"]["file_system"] == "tmpfs"


def test_a_disk_that_may_not_be_written_is_the_cause_in_the_systems_own_words(tmp_path: Path) -> None:
    findings = told(
        tmp_path / "disk", "mount -t tmpfs -o size=8g none DIR", "mkdir DIR/store", "mount -o remount,ro DIR"
    )
    assert findings["primary"] == "fs.writable"
    assert "Read-only file system" in findings["fs.writable"]["title"]


def test_a_disk_without_inodes_for_another_model_is_a_warning(tmp_path: Path) -> None:
    findings = told(tmp_path / "disk", "mount -t tmpfs -o size=8g,nr_inodes=500 none DIR")
    assert findings["primary"] is None
    assert findings["disk.inodes"]["severity"] == "warning"


def test_a_disk_on_which_nothing_more_can_be_made_is_no_disk_to_pull_to(tmp_path: Path) -> None:
    findings = told(tmp_path / "disk", "mount -t tmpfs -o size=8g,nr_inodes=2 none DIR", "mkdir DIR/store")
    assert findings["primary"] == "disk.inodes"
    assert findings["disk.inodes"]["severity"] == "error"
