"""A transfer on a disk that refuses: nothing of it is left that the next transfer would have to wait for."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelfetch.errors import StoreError
from modelfetch.planning.scheduler import PIECE
from tests.pulling import REPO, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub
from tests.stored import digests_of

FILES = {"weights.data": noise(PIECE + 1000, seed=9)}


def test_a_partial_that_cannot_be_opened_is_released(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        given = settings(tmp_path, endpoint(hub.url))
        partial = given.home / "partial-v1" / str(digests_of(FILES["weights.data"]).sha256)
        (partial / "data").mkdir(parents=True)
        with pytest.raises(StoreError, match="written"):
            pull(given)
        assert [path.name for path in partial.iterdir()] == ["data"]
        (partial / "data").rmdir()
        # In the same process, which lives: it would wait for itself.
        assert contents(pull(given)) == FILES
