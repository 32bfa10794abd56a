"""The views before the real clients, online: what we brought is not fetched again by them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.store import Store
from modelfetch.store.views import huggingface, modelscope
from tests.pulling import endpoint, pull, settings
from tests.simulator import FakeHub
from tests.stored import contents

pytestmark = pytest.mark.e2e

REPO = "own/name"
SCRIPTS = Path(sys.executable).parent


@pytest.fixture
def hub(model_files: dict[str, bytes]) -> Iterator[FakeHub]:
    with FakeHub({REPO: model_files}) as running:
        yield running


def download(client: str, hub: FakeHub, **variables: Path) -> str:
    done = subprocess.run(
        [str(SCRIPTS / client), "download", REPO],
        env={
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "MODELSCOPE_ENDPOINT": hub.url,
            **{name: str(path) for name, path in variables.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_hf_download_fetches_nothing_that_we_linked(
    hub: FakeHub, model_files: dict[str, bytes], tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url))
    pulled = pull(given, all_files=True)
    assert pulled.snapshot is not None
    huggingface.link(Store.open(given.home), pulled.snapshot, given.hf_cache)
    before = hub.bytes_sent()
    printed = download("hf", hub, HF_HUB_CACHE=given.hf_cache)
    assert hub.bytes_sent() == before
    folder = given.hf_cache / "models--own--name/snapshots" / hub.commit(REPO)
    assert str(folder) in printed
    assert contents(folder) == model_files


def test_hf_download_fetches_only_what_a_pull_left_out(
    hub: FakeHub, model_files: dict[str, bytes], tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url))
    pulled = pull(given, include=("*.safetensors",))
    assert pulled.snapshot is not None
    huggingface.link(Store.open(given.home), pulled.snapshot, given.hf_cache)
    before = hub.bytes_sent("*.safetensors")
    download("hf", hub, HF_HUB_CACHE=given.hf_cache)
    assert hub.bytes_sent("*.safetensors") == before
    assert contents(given.hf_cache / "models--own--name/snapshots" / hub.commit(REPO)) == model_files
    assert contents(pulled.snapshot.folder) == {"model.safetensors": model_files["model.safetensors"]}


def test_ms_hub_download_fetches_nothing_that_we_linked(
    hub: FakeHub, model_files: dict[str, bytes], tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url, "modelscope"))
    pulled = pull(given, all_files=True)
    assert pulled.snapshot is not None
    view = modelscope.link(Store.open(given.home), pulled.snapshot, given.modelscope_cache)
    before = hub.bytes_sent()
    download("ms-hub", hub, MODELSCOPE_CACHE=given.modelscope_cache)
    assert hub.bytes_sent() == before
    assert contents(view.folder) == model_files


OFFLINE = """
import sys
from pathlib import Path
from modelscope_hub import HubApi
from modelscope_hub._cache_manager import scan_cache, verify_cache
cache = Path(sys.argv[1])
api = HubApi(endpoint="http://127.0.0.1:9")
folder = api.download_repo("own/name", "model", local_files_only=True, cache_dir=cache)
found = scan_cache(cache)
assert [(repo.repo_id, repo.revision) for repo in found.repos] == [("own/name", "master")], found
expected = dict(argument.split("=") for argument in sys.argv[2:])
result = verify_cache("own/name", "model", expected, cache_dir=cache)
assert (result.mismatches, result.extra_paths, result.checked_count) == ([], [], len(expected)), result
print(folder)
"""


def test_the_modelscope_client_reads_our_view_offline(
    hub: FakeHub, model_files: dict[str, bytes], tmp_path: Path
) -> None:
    given = settings(tmp_path, endpoint(hub.url, "modelscope"))
    pulled = pull(given, all_files=True)
    assert pulled.snapshot is not None
    view = modelscope.link(Store.open(given.home), pulled.snapshot, given.modelscope_cache)
    # That verification leaves dot files out on its own side only.
    digests = [f"{entry.path}={entry.digests.sha256}" for entry in pulled.snapshot.entries if entry.path[0] != "."]
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, str(given.modelscope_cache), *digests],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(view.folder)
