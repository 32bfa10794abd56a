"""`verify --repair` fetches what is damaged, from any source that has the digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelfetch.errors import NoSourceError
from modelfetch.pull.repair import repair
from modelfetch.store import Store
from modelfetch.verify import verify
from tests.pulling import MIB, REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub

FILES = {"config.json": b'{"a": 1}', "weights.data": noise(9 * MIB, seed=8)}
LARGE = "weights.data"


def damage(path: Path) -> None:
    real = path.resolve()
    real.chmod(0o644)
    with real.open("r+b") as stream:
        stream.seek(5 * MIB)
        byte = stream.read(1)
        stream.seek(5 * MIB)
        stream.write(bytes([byte[0] ^ 1]))


@pytest.mark.parametrize("hub_name", ["huggingface", "modelscope"])
def test_a_damaged_blob_is_found_and_mended(hub_name: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url, hub_name))
        pulled = pull(given)
        assert pulled.folder
        damage(pulled.folder / LARGE)
        store = Store.open(given.home)
        assert not verify(store).ok
        sent = hub.bytes_sent()
        report = verify(store, repair=lambda snapshot, paths: repair(snapshot, paths, settings=given))
        assert report.ok, report
        assert hub.bytes_sent() - sent == len(FILES[LARGE])
        assert contents(pulled) == FILES


def test_another_hub_that_has_the_digest_mends_it_too(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as first:
        pulled = pull(settings(tmp_path, endpoint(first.url)))
    assert pulled.folder
    damage(pulled.folder / LARGE)
    with FakeHub({REPO: FILES}) as second:
        given = settings(tmp_path, endpoint(second.url, "modelscope"))
        store = Store.open(given.home)
        assert verify(store, repair=lambda snapshot, paths: repair(snapshot, paths, settings=given)).ok
        assert contents(pulled) == FILES


def test_bytes_that_nobody_has_any_more_are_an_error_and_other_bytes_are_not_taken(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url, "modelscope"))
        pulled = pull(given)
        assert pulled.snapshot
        hub.replace(REPO, {**FILES, LARGE: noise(9 * MIB, seed=9)})
        with pytest.raises(NoSourceError, match="any more"):
            repair(pulled.snapshot, frozenset({LARGE}), settings=given)
