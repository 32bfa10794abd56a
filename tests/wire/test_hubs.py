"""The built-in hubs pass the contract, and what is particular to each."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from typing import ClassVar

import pytest

from modelfetch.config import Endpoint
from modelfetch.errors import (
    AccessError,
    ConfigError,
    HostileHubError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
)
from modelfetch.events import ignore
from modelfetch.http import Network
from modelfetch.hubs import hub, huggingface, modelscope
from modelfetch.hubs.huggingface import HUB as HUGGINGFACE
from modelfetch.hubs.modelscope import HUB as MODELSCOPE
from modelfetch.hubs.resolve import Question, ask_each
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


@dataclass(frozen=True)
class Saying:
    """The hub answers with this document of its own."""

    phase: ClassVar[Phase] = "listing"
    said: dict[str, object]
    status: int = 200

    def injure(self, answer: Answer) -> Answer:
        return replace(answer.with_body(json.dumps(self.said).encode(), "application/json"), status=self.status)


class TestModelScopeRefusing:
    """The hub says no with codes of its own, often under status 200."""

    def refusal(self, said: dict[str, object], status: int = 200, revision: str | None = None) -> ModelfetchError:
        with FakeHub({REPO: FILES}) as simulated:
            simulated.set_faults(Fault(Saying(said, status), times=None))
            given = Endpoint("simulated", "modelscope", simulated.url)
            question = Question(given, REPO, revision)
            answers = ask_each([question], tokens={}, network=Network(), listener=ignore, enough=lambda _: True)
            return answers.refusals["simulated"]

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            (10010205001, NotFoundError),
            (404, NotFoundError),
            ("ResourceNotFound", NotFoundError),
            (10010205002, AccessError),
            (10010103009, AccessError),
            (401, AccessError),
            ("OperationNotAllowed", AccessError),
            ("RateLimitExceed", NoSourceError),
            (429, NoSourceError),
            (10019999999, NoSourceError),
        ],
    )
    def test_a_code_ends_as_what_it_means_and_is_shown(self, code: object, error: type[ModelfetchError]) -> None:
        refusal = self.refusal({"Code": code, "Message": "record not found", "Success": False})
        assert type(refusal) is error
        assert f"record not found (code {code})" in refusal.render()

    def test_a_code_counts_for_more_than_the_status(self) -> None:
        said = {"Code": 10010103009, "Message": "AccessToken is invalid"}
        assert isinstance(self.refusal(said, status=400), AccessError)
        assert isinstance(self.refusal({"Message": "no"}, status=400), NotFoundError)

    def test_a_revision_that_is_not_there_is_named(self) -> None:
        refusal = self.refusal({"Code": 10010205001, "Message": "revision v9 not found"}, revision="v9")
        assert "no revision `v9`" in refusal.message

    @pytest.mark.parametrize(
        "said",
        [
            {"Code": [1], "Message": {"a": 1}},
            {"Code": True, "Success": False},
            {"Code": 200, "Success": False, "Data": {"Files": None}},
            {"Code": "9" * 3000, "Message": "x" * 100_000},
            {"Code": 200, "Data": 7},
        ],
        ids=["no code", "truth", "no success", "long", "no data"],
    )
    def test_what_nobody_understands_is_no_source(self, said: dict[str, object]) -> None:
        refusal = self.refusal(said)
        assert isinstance(refusal, NoSourceError)
        assert len(refusal.render()) < 1500

    def test_a_secret_in_a_message_is_not_shown(self) -> None:
        assert "hf_abcdefgh12345" not in self.refusal({"Code": 1, "Message": "no hf_abcdefgh12345"}).render()


class WithoutSiblings:
    """The model's information says nothing of its files."""

    phase: Phase = "metadata"

    def injure(self, answer: Answer) -> Answer:
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
