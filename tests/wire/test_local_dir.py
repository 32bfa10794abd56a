"""`--local-dir`: a plain folder of the user's own, on the store's disk or on another."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.errors import UsageError
from modelfetch.pulling.repair import repair
from modelfetch.store import Store
from modelfetch.verification import verify
from tests.pulling import MIB, REPO, endpoint, noise, published_blobs, pull, settings
from tests.simulator import FakeHub

FILES = {"config.json": b'{"a": 1}', "model.safetensors": noise(9 * MIB, seed=5), "sub/vocab.txt": b"a\nb\n"}


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than `tmp_path`."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev or not os.access(memory, os.W_OK):
        pytest.skip("needs a second file system at /dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory))
    yield folder
    shutil.rmtree(folder)


def plain(folder: Path) -> dict[str, bytes]:
    """The user's files in `folder`."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".modelfetch" not in path.parts
    }


def test_the_folder_has_the_files(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        pull(settings(tmp_path, endpoint(hub.url)), local_dir=tmp_path / "model")
        assert plain(tmp_path / "model") == FILES


def test_an_edit_in_the_folder_does_not_reach_the_store(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pull(given, local_dir=tmp_path / "model")
        (tmp_path / "model" / "config.json").write_text('{"a": 2}')
        pulled = pull(given)
        assert pulled.bytes_reused == pulled.bytes_total
        assert pulled.folder is not None
        assert (pulled.folder / "config.json").read_bytes() == FILES["config.json"]


def test_a_folder_that_cannot_be_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with FakeHub({REPO: FILES}) as hub:
        with pytest.raises(UsageError, match="cannot be a folder"):
            pull(settings(tmp_path, endpoint(hub.url)), local_dir=tmp_path / "file" / "model")
        assert hub.requests == []


def test_on_another_disk_no_payload_passes_the_stores(tmp_path: Path, other_disk: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pulled = pull(given, local_dir=other_disk / "model")
        assert plain(other_disk / "model") == FILES
        assert published_blobs(given) == []
        assert pulled.folder == other_disk / "model"
        again = pull(given, local_dir=other_disk / "model")
        assert again.bytes_reused == again.bytes_total


def test_on_another_disk_what_the_store_has_is_copied_and_not_fetched(tmp_path: Path, other_disk: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pull(given)
        sent = hub.bytes_sent()
        pull(given, local_dir=other_disk / "model")
        assert hub.bytes_sent() == sent
        assert plain(other_disk / "model") == FILES


def test_a_pull_mends_a_file_that_verify_found_damaged_on_another_disk(tmp_path: Path, other_disk: Path) -> None:
    files = {"weights.data": noise(9 * MIB, seed=5)}
    with FakeHub({REPO: files}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pull(given, local_dir=other_disk)
        rot(other_disk / "weights.data")
        assert not verify(Store.open(given.home)).ok
        sent = hub.bytes_sent()
        pull(given, local_dir=other_disk)
        assert hub.bytes_sent() - sent == 4 * MIB
        assert plain(other_disk) == files


def rot(file: Path) -> None:
    status, content = file.stat(), bytearray(file.read_bytes())
    content[5 * MIB] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_file_that_rotted_on_another_disk_is_mended_by_piece(tmp_path: Path, other_disk: Path) -> None:
    files = {"weights.data": noise(9 * MIB, seed=5)}
    with FakeHub({REPO: files}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        pull(given, local_dir=other_disk)
        rot(other_disk / "weights.data")
        sent = hub.bytes_sent()
        report = verify(Store.open(given.home), repair=lambda snapshot, paths: repair(snapshot, paths, settings=given))
        assert report.ok
        assert [finding.where for finding in report.findings] == ["first in bytes 4194304-8388607"]
        assert hub.bytes_sent() - sent == 4 * MIB
        assert plain(other_disk) == files
