"""Which endpoints may send a file's bytes: those whose own listing names the same digest and size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.planning.sources import Sources, sources_of

A, B = "a" * 64, "b" * 64
C, D = "c" * 40, "d" * 40
PATH = "model.safetensors"


def manifest(*entries: Entry) -> Manifest:
    return Manifest("huggingface", "owner/name", None, "0" * 40, entries)


def found(own: Entry, *others: Entry) -> Sources:
    """What is said of `own`, listed by `own`, and one other endpoint for each of `others`."""
    offers = [("own", manifest(own)), *((f"other{n}", manifest(entry)) for n, entry in enumerate(others))]
    return sources_of([own], offers)


@pytest.mark.parametrize(
    ("own", "other", "outcome"),
    [
        (Digests(sha256=A), Digests(sha256=A), "source"),
        (Digests(sha256=A), Digests(sha256=B), "contradiction"),
        (Digests(git_sha1=C), Digests(git_sha1=C), "source"),
        (Digests(git_sha1=C), Digests(git_sha1=D), "contradiction"),
        (Digests(A, C), Digests(sha256=A), "source"),
        (Digests(A, C), Digests(git_sha1=C), "source"),
        (Digests(A, C), Digests(B, C), "contradiction"),
        (Digests(sha256=A), Digests(git_sha1=C), "nothing"),
        (Digests(sha256=A), Digests(), "nothing"),
        (Digests(), Digests(sha256=A), "nothing"),
        (Digests(), Digests(), "nothing"),
    ],
)
def test_the_same_digest_makes_a_source_and_another_a_contradiction(own: Digests, other: Digests, outcome: str) -> None:
    sources = found(Entry(PATH, 9, own), Entry(PATH, 9, other))
    assert sources.by_path == {PATH: ("own", "other0") if outcome == "source" else ("own",)}
    assert sources.contradictions == ({"other0": (PATH,)} if outcome == "contradiction" else {})


@pytest.mark.parametrize("digests", [Digests(sha256=A), Digests()])
def test_another_size_is_a_contradiction_whatever_the_digest_says(digests: Digests) -> None:
    sources = found(Entry(PATH, 9, digests), Entry(PATH, 8, digests))
    assert sources == Sources({PATH: ("own",)}, {"other0": (PATH,)})


def test_an_endpoint_that_does_not_list_the_file_is_no_source_and_no_contradiction() -> None:
    assert found(Entry(PATH, 9, Digests(A)), Entry("other", 9, Digests(A))) == Sources({PATH: ("own",)}, {})


def test_sources_are_in_the_order_of_the_offers_and_the_manifests_own_is_first() -> None:
    same = Entry(PATH, 9, Digests(A))
    assert found(same, same, same).by_path[PATH] == ("own", "other0", "other1")


def test_only_the_files_that_are_wanted_are_matched() -> None:
    wanted, unwanted = Entry("a", 1, Digests(A)), Entry("b", 1, Digests(A))
    other = manifest(wanted, Entry("b", 1, Digests(B)))
    assert sources_of([wanted], [("own", manifest(wanted, unwanted)), ("other", other)]) == Sources(
        {"a": ("own", "other")}, {}
    )


DIGESTS = st.builds(Digests, st.sampled_from([None, A, B]), st.sampled_from([None, C, D]))


@given(DIGESTS, DIGESTS)
def test_agreement_is_mutual_and_needs_a_digest_of_the_same_kind(one: Digests, other: Digests) -> None:
    assert one.agree(other) == other.agree(one)
    comparable = (one.sha256 and other.sha256) or (one.git_sha1 and other.git_sha1)
    assert (one.agree(other) is None) == (not comparable)
