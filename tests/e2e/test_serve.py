"""`modelfetch serve` as a process of its own, fetched from by the clients that people have: none of them is changed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelfetch.store import Store
from tests import pulling
from tests.plain_http import fetch
from tests.stored import COMMIT, bring, manifest_of

pytestmark = pytest.mark.e2e

REPO = "own/name"
ADDRESSES = [f"/{REPO}/resolve/main/model.safetensors", f"/api/v1/models/{REPO}/repo?FilePath=model.safetensors"]
SCRIPTS = Path(sys.executable).parent


@dataclass(frozen=True)
class Serving:
    """A running `modelfetch serve`, and what its first lines said."""

    process: subprocess.Popen[str]
    url: str
    exports: dict[str, str]


@pytest.fixture(scope="module")
def files(model_files: dict[str, bytes]) -> dict[str, bytes]:
    return {**model_files, "original/params.json": b"{}", "tokenizer/ä b.txt": b"odd name"}


@pytest.fixture(scope="module")
def home(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that holds the model."""
    home = tmp_path_factory.mktemp("store")
    bring(Store.open(home), files, manifest_of(files, repo=REPO))
    return home


@pytest.fixture
def serving(home: Path) -> Iterator[Serving]:
    with start_server(home) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        lines = [process.stdout.readline() for _ in range(2)]
        exports = dict(re.findall(r"^export (\w+)=(\S+)$", "".join(lines), re.MULTILINE))
        yield Serving(process, url, exports)


@contextmanager
def start_server(home: Path, *options: str, stderr: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    """A server that ends with the `with`, whatever happens in it."""
    command = [sys.executable, "-m", "modelfetch", "serve", "--port", "0", *options]
    environment = {**os.environ, "MODELFETCH_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def run(serving: Serving, *command: str, cwd: Path) -> None:
    """Run a client in a clean environment whose only settings are those that `serve` printed."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "HF_HUB_DISABLE_TELEMETRY": "1", **serving.exports}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder` that is part of the model."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).as_posix().startswith((".cache/", "._"))
    }


def program(name: str) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed here")
    return name


def test_the_first_lines_are_the_url_and_the_two_settings(serving: Serving) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", serving.url)
    assert serving.exports == {"HF_ENDPOINT": serving.url, "MODELSCOPE_ENDPOINT": serving.url}


def test_hf_downloads_the_model_and_verifies_its_cache(
    serving: Serving, files: dict[str, bytes], tmp_path: Path
) -> None:
    hf = str(SCRIPTS / "hf")
    run(serving, hf, "download", REPO, "--local-dir", "folder", cwd=tmp_path)
    assert contents(tmp_path / "folder") == files
    run(serving, hf, "download", REPO, "--revision", COMMIT, cwd=tmp_path)
    run(serving, hf, "cache", "verify", REPO, "--revision", COMMIT, cwd=tmp_path)
    cached = tmp_path / f".cache/huggingface/hub/models--own--name/snapshots/{COMMIT}"
    assert contents(cached) == files


def test_hf_downloads_one_file(serving: Serving, files: dict[str, bytes], tmp_path: Path) -> None:
    run(serving, str(SCRIPTS / "hf"), "download", REPO, "model.safetensors", "--local-dir", ".", cwd=tmp_path)
    assert (tmp_path / "model.safetensors").read_bytes() == files["model.safetensors"]


def test_modelscope_downloads_the_model(serving: Serving, files: dict[str, bytes], tmp_path: Path) -> None:
    run(serving, str(SCRIPTS / "ms-hub"), "download", REPO, "--local-dir", "folder", cwd=tmp_path)
    assert contents(tmp_path / "folder") == files


@pytest.mark.parametrize("hub", ["huggingface", "modelscope"])
def test_modelfetch_pulls_from_another_modelfetch(
    serving: Serving, files: dict[str, bytes], tmp_path: Path, hub: str
) -> None:
    here = pulling.settings(tmp_path, pulling.endpoint(serving.url, hub))
    assert pulling.contents(pulling.pull(here, REPO, all_files=True)) == files


def test_modelscope_downloads_in_parallel_parts(serving: Serving, files: dict[str, bytes], tmp_path: Path) -> None:
    parts = {"MODELSCOPE_DOWNLOAD_PARALLEL_WORKERS": "4", "MODELSCOPE_DOWNLOAD_PARALLEL_THRESHOLD_MB": "1"}
    in_parts = Serving(
        serving.process, serving.url, {**serving.exports, **parts, "MODELSCOPE_DOWNLOAD_PART_SIZE_MB": "1"}
    )
    run(in_parts, str(SCRIPTS / "ms-hub"), "download", REPO, "--local-dir", "folder", cwd=tmp_path)
    assert contents(tmp_path / "folder") == files


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize(
    "command",
    [
        ["aria2c", "-x8", "-s8", "-k1M", "--min-split-size=1M", "-o", "got"],
        ["curl", "-fsS", "-o", "got"],
        ["wget", "-q", "-O", "got"],
    ],
)
def test_download_programs_fetch_a_file(
    serving: Serving, files: dict[str, bytes], tmp_path: Path, command: list[str], address: str
) -> None:
    run(serving, program(command[0]), *command[1:], serving.url + address, cwd=tmp_path)
    assert (tmp_path / "got").read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_curl_fetches_a_range_and_goes_on_from_what_it_has(
    serving: Serving, files: dict[str, bytes], tmp_path: Path, address: str
) -> None:
    expected, url = files["model.safetensors"], serving.url + address
    run(serving, program("curl"), "-fsS", "-r", "1000-1999", "-o", "range", url, cwd=tmp_path)
    (tmp_path / "resumed").write_bytes(expected[:12345])
    run(serving, program("curl"), "-fsS", "-C", "-", "-o", "resumed", url, cwd=tmp_path)
    assert (tmp_path / "range").read_bytes() == expected[1000:2000]
    assert (tmp_path / "resumed").read_bytes() == expected


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_on_purpose_it_ends_at_once_with_status_0(serving: Serving, how: signal.Signals) -> None:
    if signal.getsignal(how) == signal.SIG_IGN:
        pytest.skip("whoever runs these tests ignores this signal, and so do their children")
    serving.process.send_signal(how)
    assert serving.process.wait(timeout=30) == 0


@pytest.mark.parametrize("quiet", [True, False])
def test_beyond_loopback_it_warns_and_requests_are_told_unless_quiet(home: Path, *, quiet: bool) -> None:
    options = ["--host", "0.0.0.0", *(["--quiet"] if quiet else [])]
    with start_server(home, *options, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip().rpartition(":")[2]
        reply = fetch(f"http://127.0.0.1:{port}/{REPO}/resolve/main/config.json?token=hf_0123456789")
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert reply.status == 200
    assert "warning: anybody who reaches port" in told
    assert (f"GET /{REPO}/resolve/main/config.json" in told) is not quiet
    assert "hf_0123456789" not in told


def test_an_empty_store_is_served_and_said(tmp_path: Path) -> None:
    with start_server(tmp_path / "nothing", stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert fetch(f"{url}/api/models/{REPO}").status == 404
        process.terminate()
        _, told = process.communicate(timeout=60)
    assert "no model to serve yet" in told
    assert not (tmp_path / "nothing").exists()


def test_a_port_that_is_taken_is_a_usage_error(serving: Serving, home: Path) -> None:
    port = serving.url.rpartition(":")[2]
    command = [sys.executable, "-m", "modelfetch", "serve", "--port", port]
    environment = {**os.environ, "MODELFETCH_HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "cannot be listened on" in done.stderr
    assert "Traceback" not in done.stderr
