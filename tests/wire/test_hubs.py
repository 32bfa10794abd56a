"""The built-in hubs pass the contract, and what is particular to each."""

from __future__ import annotations

from importlib.metadata import entry_points

import pytest

from modelfetch.errors import ConfigError, HostileHubError
from modelfetch.hubs import hub, huggingface, modelscope
from modelfetch.hubs.huggingface import HUB as HUGGINGFACE
from modelfetch.hubs.modelscope import HUB as MODELSCOPE
from modelfetch.planning.retry import FaultError
from tests.pulling import REPO
from tests.simulator import FakeHub, Fault, NextElsewhere
from tests.simulator.exchange import Answer, Phase
from tests.wire.hub_contract import FILES, HubContract


class TestHuggingFace(HubContract):
    hub = HUGGINGFACE

    def test_the_commit_is_the_hubs(self, simulated: FakeHub) -> None:
        assert self.ask(simulated).commit == simulated.commit(REPO)

    def test_one_request_lists_a_model(self, simulated: FakeHub) -> None:
        self.ask(simulated)
        assert len(simulated.requests) == 1

    def test_the_licence_is_read_from_the_card(self) -> None:
        card = b"---\nlicense: apache-2.0\n---\n"
        with FakeHub({REPO: {**FILES, "README.md": card}}) as simulated:
            assert self.ask(simulated).facts.licence == "apache-2.0"

    def test_an_endpoint_without_digests_in_its_information_has_its_tree_read_page_by_page(self) -> None:
        with FakeHub({REPO: FILES}, page_size=2) as simulated:
            simulated.set_faults(Fault(WithoutSiblings(), "/api/models/own/name/revision/*", times=None))
            assert {entry.path for entry in self.ask(simulated).entries} == FILES.keys()
            assert sum("/tree/" in request.path for request in simulated.requests) == 2

    def test_a_tree_that_goes_on_at_another_host_is_refused(self) -> None:
        with FakeHub({REPO: FILES}) as simulated, FakeHub({REPO: FILES}) as other:
            simulated.set_faults(
                Fault(WithoutSiblings(), "/api/models/own/name/revision/*", times=None),
                Fault(NextElsewhere(f"{other.url}/api/models/{REPO}/tree/main"), times=None),
            )
            with pytest.raises(HostileHubError, match="another host"):
                self.ask(simulated)
            assert other.requests == []

    @pytest.mark.parametrize(
        ("url", "error"),
        [("", HostileHubError), ("http://[::1", FaultError), ("http://127.0.0.1:99999/", FaultError)],
        ids=["the same page", "no address", "no port"],
    )
    def test_a_next_page_that_cannot_be_ends_it(self, url: str, error: type[Exception], simulated: FakeHub) -> None:
        simulated.set_faults(
            Fault(WithoutSiblings(), "/api/models/own/name/revision/*", times=None),
            Fault(NextElsewhere(url), times=None),
        )
        with pytest.raises(error):
            self.ask(simulated)
        assert len(simulated.requests) == 2

    def test_pages_that_go_on_and_on_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(huggingface, "MAX_PAGES", 20)
        with FakeHub({REPO: {f"{n}.txt": b"x" for n in range(40)}}, page_size=1) as simulated:
            simulated.set_faults(Fault(WithoutSiblings(), "/api/models/own/name/revision/*", times=None))
            with pytest.raises(HostileHubError, match="without end"):
                self.ask(simulated)

    @pytest.mark.parametrize("licence", ["m" * 101, "mit\x1b[2J", "mit\u202e"])
    def test_a_licence_that_is_no_word_is_not_passed_on(self, licence: str) -> None:
        card = f"---\nlicense: {licence}\n---\n".encode()
        with FakeHub({REPO: {"README.md": card}}) as simulated:
            assert self.ask(simulated).facts.licence is None


class TestModelScope(HubContract):
    hub = MODELSCOPE

    def test_the_commit_is_of_the_form_that_other_tools_expect(self, simulated: FakeHub) -> None:
        commit = self.ask(simulated).commit
        assert len(commit) == 40
        assert set(commit) <= set("0123456789abcdef")

    def test_a_listing_that_is_cut_short_is_walked_folder_by_folder(
        self, simulated: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(modelscope, "LISTING_LIMIT", 2)
        assert {entry.path for entry in self.ask(simulated).entries} == FILES.keys()
        assert any("Root=folder" in request.path for request in simulated.requests)


class WithoutSiblings:
    """The model's information says nothing of its files."""

    phase: Phase = "metadata"

    def injure(self, answer: Answer) -> Answer:
        import json

        document = json.loads(b"".join(answer.body.segments(answer.start, answer.stop)))
        document.pop("siblings", None)
        return answer.with_body(json.dumps(document).encode(), "application/json")


def test_the_built_in_hubs_come_through_the_entry_point_group() -> None:
    assert {point.name: point.load() for point in entry_points(group="modelfetch.hubs")} == {
        "huggingface": HUGGINGFACE,
        "modelscope": MODELSCOPE,
    }


def test_a_hub_that_nobody_speaks_is_named() -> None:
    with pytest.raises(ConfigError, match="elsewhere"):
        hub("elsewhere")
