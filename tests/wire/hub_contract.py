"""What every hub's dialect must do. A new hub inherits `HubContract` unchanged and says how to simulate it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from modelfetch.config import Endpoint
from modelfetch.errors import HostileHubError, NotFoundError
from modelfetch.http import Client, Network
from modelfetch.hubs import Hub
from modelfetch.hubs.base import EndpointClient
from modelfetch.manifest import Manifest
from modelfetch.planning.retry import FaultError
from tests.plain_http import fetch
from tests.pulling import REPO, noise
from tests.simulator import FakeHub, Fault, HostileName, Portal, Status

FILES = {"config.json": b"{}", "folder/a name with spaces & signs+%.txt": b"x", "model.safetensors": noise(200_000)}
TOKEN = "a-token-of-this-hub"


class HubContract:
    """The tests; `hub` is the dialect under test, and the simulated endpoint speaks it."""

    hub: Hub

    @pytest.fixture
    def simulated(self) -> Iterator[FakeHub]:
        with FakeHub({REPO: FILES}) as simulated:
            yield simulated

    def ask(self, simulated: FakeHub, repo: str = REPO, revision: str | None = None, **access: Any) -> Manifest:
        """The manifest that the dialect reads from the simulated endpoint."""
        endpoint = self.endpoint(simulated)
        with Client(Network(), wait=lambda *_: None) as client:
            return self.hub.manifest(EndpointClient(client, endpoint, access.get("credential")), repo, revision)

    def endpoint(self, simulated: FakeHub) -> Endpoint:
        return Endpoint("simulated", self.hub.name, simulated.url)

    def test_the_manifest_has_every_file_with_size_and_a_true_digest(self, simulated: FakeHub) -> None:
        manifest = self.ask(simulated)
        assert {entry.path: entry.size for entry in manifest.entries} == {p: len(c) for p, c in FILES.items()}
        for entry in manifest.entries:
            content = FILES[entry.path]
            git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            assert entry.digests
            assert entry.digests.sha256 in {None, hashlib.sha256(content).hexdigest()}
            assert entry.digests.git_sha1 in {None, git}

    def test_large_files_are_known_by_sha256(self, simulated: FakeHub) -> None:
        large = self.ask(simulated).entry("model.safetensors")
        assert large is not None
        assert large.lfs
        assert large.digests.sha256

    def test_the_commit_names_the_content(self, simulated: FakeHub) -> None:
        before = self.ask(simulated)
        assert self.ask(simulated).commit == before.commit
        simulated.replace(REPO, {**FILES, "config.json": b'{"changed": true}'})
        assert self.ask(simulated).commit != before.commit

    def test_a_files_address_serves_that_file(self, simulated: FakeHub) -> None:
        manifest = self.ask(simulated)
        for path in ("config.json", "folder/a name with spaces & signs+%.txt"):
            assert fetch(self.hub.file_url(self.endpoint(simulated), manifest, path)).body == FILES[path]

    def test_a_model_that_is_not_there_is_not_found(self, simulated: FakeHub) -> None:
        with pytest.raises(NotFoundError, match="own/absent"):
            self.ask(simulated, "own/absent")

    def test_a_model_without_files_is_not_found(self) -> None:
        with FakeHub({REPO: {}}) as simulated, pytest.raises(NotFoundError, match="own/name"):
            self.ask(simulated)

    def test_a_revision_that_is_not_there_is_not_found(self, simulated: FakeHub) -> None:
        with pytest.raises(NotFoundError):
            self.ask(simulated, revision="no-such-branch")

    def test_a_credential_is_bound_to_the_endpoint_and_opens_it(self) -> None:
        with FakeHub({REPO: FILES}, token=TOKEN, gated=frozenset({REPO})) as simulated:
            credential = self.hub.credential(self.endpoint(simulated), TOKEN)
            assert credential.origin == simulated.url
            assert self.ask(simulated, credential=credential).entries
            assert TOKEN not in repr(credential)

    def test_a_hostile_name_is_refused(self, simulated: FakeHub) -> None:
        simulated.set_faults(Fault(HostileName("../escaped"), times=None))
        with pytest.raises(HostileHubError, match="refused"):
            self.ask(simulated)

    def test_a_web_page_is_a_fault_and_not_a_listing(self, simulated: FakeHub) -> None:
        simulated.set_faults(Fault(Portal(), phase="metadata", times=None))
        with pytest.raises(FaultError, match="web page"):
            self.ask(simulated)

    def test_a_listing_that_fails_for_a_moment_is_asked_for_again(self, simulated: FakeHub) -> None:
        simulated.set_faults(Fault(Status(503), phase="metadata", times=2))
        assert self.ask(simulated).entries

    def test_a_listing_that_always_fails_is_a_fault(self, simulated: FakeHub) -> None:
        simulated.set_faults(Fault(Status(500), phase="metadata", times=None))
        with pytest.raises(FaultError, match="500"):
            self.ask(simulated)
