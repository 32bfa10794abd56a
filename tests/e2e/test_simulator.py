"""The simulated hub is believed by the hubs' own clients: what our client learns against it holds for theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulator import FakeHub

pytestmark = pytest.mark.e2e

REPO = "own/name"
SCRIPTS = Path(sys.executable).parent


@pytest.mark.parametrize("cdn", [True, False])
@pytest.mark.parametrize("client", ["hf", "ms-hub"])
def test_the_hubs_own_client_downloads_the_model(
    model_files: dict[str, bytes], tmp_path: Path, client: str, *, cdn: bool
) -> None:
    with FakeHub({REPO: model_files}, cdn=cdn, page_size=2) as hub:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_ENDPOINT": hub.url,
            "MODELSCOPE_ENDPOINT": hub.url,
        }
        command = [str(SCRIPTS / client), "download", REPO, "--local-dir", str(tmp_path / "model")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=240)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {request.origin for request in hub.requests if request.phase == "data"} == (
            {"hub", "cdn"} if cdn else {"hub"}
        )
    assert {path: (tmp_path / "model" / path).read_bytes() for path in model_files} == model_files
