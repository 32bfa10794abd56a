"""Any number of sources serve one file; none is trusted, and any may die, lie or slow down in the middle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from modelfetch.errors import NotFoundError
from modelfetch.planning.retry import Kind
from tests.pulling import MIB, REPO, Heard, contents, endpoint, noise, pull, settings
from tests.simulator import FakeHub, Fault, Status
from tests.simulator.exchange import Answer, Phase

WEIGHTS = noise(32 * MIB, seed=2)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
LARGE = "model.safetensors"


@dataclass(frozen=True)
class FlipEverywhere:
    """The first byte of every answer is wrong, so that whoever is asked for anything lies."""

    phase: ClassVar[Phase] = "data"

    def injure(self, answer: Answer) -> Answer:
        return replace(answer, flipped=answer.start)


def test_one_file_comes_from_two_hubs_at_once(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=4e6) as one, FakeHub({REPO: FILES}, rate=4e6) as other:
        pulled = pull(
            settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, "modelscope", name="other"))
        )
        assert contents(pulled) == FILES
        assert pulled.report is not None
        assert min(pulled.report.bytes_by_endpoint[name] for name in ("one", "other")) > len(WEIGHTS) // 5


def test_a_machine_that_speaks_both_dialects_is_one_source(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        both = settings(tmp_path, endpoint(hub.url, name="one"), endpoint(hub.url, "modelscope", name="same"))
        pulled = pull(both)
        assert contents(pulled) == FILES
        assert pulled.report is not None
        assert set(pulled.report.bytes_by_endpoint) == {"one"}


def test_a_source_that_dies_in_the_middle_is_made_up_for(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=3e6) as one, FakeHub({REPO: FILES}, rate=3e6) as other:
        dying = [Fault(Status(503), LARGE, times=None)]

        class Killer(Heard):
            def __call__(self, event: object) -> None:
                if other.bytes_sent(LARGE) > 4 * MIB and dying:
                    other.set_faults(dying.pop())
                    other.drop_connections()

        pulled = pull(
            settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, name="other")), listener=Killer()
        )
        assert not dying
        assert contents(pulled) == FILES
        assert one.bytes_sent(LARGE) + other.bytes_sent(LARGE) <= 1.3 * len(WEIGHTS)


def test_a_source_that_lies_is_found_out_and_named(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=8e6) as honest, FakeHub({REPO: FILES}, rate=8e6) as liar:
        liar.set_faults(Fault(FlipEverywhere(), LARGE, times=None))
        pulled = pull(settings(tmp_path, endpoint(honest.url, name="honest"), endpoint(liar.url, name="liar")))
        assert contents(pulled) == FILES
        assert pulled.report is not None
        assert pulled.report.wrong_senders == {LARGE: ("liar",)}


def test_one_wrong_byte_costs_no_more_than_finding_it(tmp_path: Path) -> None:
    """The liar's pieces are fetched again in order and compared; the search ends at the first that differs."""
    with FakeHub({REPO: FILES}, rate=8e6) as honest, FakeHub({REPO: FILES}, rate=8e6) as liar:
        liar.set_faults(Fault(FlipEverywhere(), LARGE))
        pulled = pull(settings(tmp_path, endpoint(honest.url, name="honest"), endpoint(liar.url, name="liar")))
        assert contents(pulled) == FILES
        assert pulled.report is not None
        assert pulled.report.wrong_senders == {LARGE: ("liar",)}
        by_liar = pulled.report.bytes_by_endpoint["liar"]
        assert pulled.report.transferred_bytes < len(WEIGHTS) + by_liar


def test_an_endpoint_that_lists_other_bytes_is_not_used_for_them(tmp_path: Path) -> None:
    other_files = {**FILES, LARGE: noise(32 * MIB, seed=3)}
    with FakeHub({REPO: FILES}) as one, FakeHub({REPO: other_files}) as other:
        pulled = pull(settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, name="other")))
        assert contents(pulled) == FILES
        assert other.bytes_sent(LARGE) == 0
        assert any("other lists other bytes" in note for note in pulled.notes)


def test_an_endpoint_that_cannot_be_reached_is_passed_over(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        dead = endpoint("http://127.0.0.1:9", name="dead")
        assert contents(pull(settings(tmp_path, dead, endpoint(hub.url)))) == FILES


def test_a_model_that_is_nowhere_is_an_error_that_names_every_endpoint(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as one, FakeHub({REPO: FILES}) as other:
        given = settings(tmp_path, endpoint(one.url, name="one"), endpoint(other.url, "modelscope", name="other"))
        with pytest.raises(NotFoundError) as raised:
            pull(given, "own/absent")
        assert {"one", "other"} <= raised.value.facts.keys()


def test_the_same_bytes_from_another_hub_cost_no_second_copy(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}) as hub:
        pull(settings(tmp_path, endpoint(hub.url)))
        sent = hub.bytes_sent()
        pulled = pull(settings(tmp_path, endpoint(hub.url, "modelscope")))
        assert hub.bytes_sent() == sent
        assert pulled.manifest.hub == "modelscope"
        assert contents(pulled) == FILES


def test_the_manifests_own_endpoint_may_lie_as_well(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=8e6) as liar, FakeHub({REPO: FILES}, rate=8e6) as honest:
        liar.set_faults(Fault(FlipEverywhere(), LARGE, times=None))
        pulled = pull(settings(tmp_path, endpoint(liar.url, name="liar"), endpoint(honest.url, name="honest")))
        assert contents(pulled) == FILES
        assert pulled.report is not None
        assert pulled.report.wrong_senders == {LARGE: ("liar",)}


def suspected(heard: Heard) -> list[str]:
    """Whose bytes of the large file were fetched again, one after the other."""
    return [each.endpoint for each in heard.faults if each.path == LARGE and each.what == Kind.DIGEST.value]


@pytest.mark.parametrize("listing_first", ["own", "mirror"])
def test_the_mirror_is_suspected_before_the_hub_whoever_lists_first(listing_first: str, tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, rate=8e6) as own, FakeHub({REPO: FILES}, rate=8e6) as mirror:
        mirror.set_faults(Fault(FlipEverywhere(), LARGE))
        endpoints = [endpoint(own.url, name="own", sends_token=True), endpoint(mirror.url, name="mirror")]
        endpoints.sort(key=lambda each: each.name != listing_first)
        heard = Heard()
        pulled = pull(settings(tmp_path, *endpoints), listener=heard)
        assert contents(pulled) == FILES
        assert suspected(heard) == ["mirror"]
        assert pulled.report
        assert pulled.report.wrong_senders == {LARGE: ("mirror",)}
        assert pulled.report.transferred_bytes <= len(WEIGHTS) + pulled.report.bytes_by_endpoint["mirror"]


def test_who_lied_about_another_file_is_suspected_first(tmp_path: Path) -> None:
    small = {f"small-{number}": noise(1000, seed=number) for number in range(9)}
    # So slow a mirror cannot send all of the large file before the liar, put off by then, is asked for it as well.
    with FakeHub({REPO: FILES | small}, rate=8e6) as own, FakeHub({REPO: FILES | small}, rate=2e6) as mirror:
        own.set_faults(Fault(FlipEverywhere(), "small-*", times=None), Fault(FlipEverywhere(), LARGE, times=None))
        given = settings(
            tmp_path,
            endpoint(own.url, name="own", sends_token=True),
            endpoint(mirror.url, name="mirror"),
        )
        heard = Heard()
        pulled = pull(given, listener=heard)
        assert contents(pulled) == FILES | small
        assert set(suspected(heard)) == {"own"}
        assert pulled.report
        assert pulled.report.wrong_senders == {LARGE: ("own",)}


def test_one_byte_that_went_wrong_once_is_found_before_all_comes_again_from_the_only_source(tmp_path: Path) -> None:
    with FakeHub({REPO: FILES}, faults=[Fault(FlipEverywhere(), LARGE)]) as hub:
        pulled = pull(settings(tmp_path, endpoint(hub.url), connections=2))
        assert contents(pulled) == FILES
        assert pulled.report
        # The wrong byte is in one of the first two pieces.
        assert pulled.report.transferred_bytes <= 1.75 * len(WEIGHTS)
