"""What goes and what stays when a store is pruned: tables for each rule, and properties over whole stores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.prune.picture import Blob, Kind, Leftover, Model, Picture
from modelfetch.prune.planning import KEPT_FOR_S, UNNAMED_BLOB_KEPT_FOR_S, Plan, Wishes, make_plan
from modelfetch.store import Snapshot, ViewPlace

DAY_S = 86400.0
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
SIZES = {A: 100, B: 10, C: 1, D: 1000}
SOMEBODY = "process 7 on box"
CACHE = ViewPlace("huggingface", Path("/cache"))
MINE = ViewPlace("folder", Path("/mine"))


def model(name: str, *digests: str, idle_s: float = 0.0, plain: bool = False, shown: bool = False) -> Model:
    entries = tuple(Entry(f"{digest[0]}.bin", SIZES[digest], Digests(digest, "0" * 40)) for digest in digests)
    manifest = Manifest("huggingface", f"owner/{name}", None, "1" * 40, entries)
    paths = frozenset(entry.path for entry in entries)
    snapshot = Snapshot(manifest, paths, Path(f"/store/{name}"), MOMENT, plain=plain)
    return Model(snapshot, idle_s, (CACHE,) if shown else ())


def picture(*models: Model, besides: Mapping[str, Blob] = MappingProxyType({}), **changes: Any) -> Picture:
    """The store that has the models' blobs, all of them old, and those `besides`."""
    needed = {entry.digests.sha256 for one in models for entry in one.snapshot.entries if entry.digests.sha256}
    return Picture(models, {sha256: blob(sha256) for sha256 in sorted(needed)} | dict(besides), **changes)


def blob(sha256: str, *, age_s: float = 30 * DAY_S, foreign_links: int = 0) -> Blob:
    return Blob(Path(sha256), SIZES[sha256], age_s, foreign_links)


def gone(plan: Plan) -> tuple[set[str], set[str]]:
    """The names of the models and the first letters of the blobs that go."""
    return {one.manifest.repo.removeprefix("owner/") for one in plan.snapshots}, {sha256[0] for sha256 in plan.blobs}


def why(plan: Plan, path: str) -> str:
    (item,) = [item for item in (*plan.goes, *plan.stays) if str(item.path) == path]
    return item.why


@pytest.mark.parametrize(
    ("given_picture", "goes", "reason"),
    [
        (picture(model("one", A), besides={B: blob(B)}), True, "no snapshot needs it"),
        (picture(model("one", A, B)), False, "a snapshot that stays needs it"),
        (picture(besides={B: blob(B)}, needed={B: SOMEBODY}), False, f"a pull that runs counts on it: {SOMEBODY}"),
        (picture(besides={B: blob(B)}, unreadable_records=2), False, "2 record(s) that cannot be read may need it"),
        (
            picture(besides={B: blob(B, foreign_links=1)}),
            False,
            "1 other hard link(s) hold it: removing it would free nothing",
        ),
        (
            picture(besides={B: blob(B, age_s=UNNAMED_BLOB_KEPT_FOR_S)}),
            False,
            "no snapshot names it yet, and it came within the last day",
        ),
        (picture(besides={B: blob(B, age_s=UNNAMED_BLOB_KEPT_FOR_S + 1)}), True, "no snapshot needs it"),
    ],
)
def test_a_blob_goes_when_nobody_needs_it(given_picture: Picture, goes: bool, reason: str) -> None:
    plan = make_plan(given_picture, Wishes())
    assert gone(plan) == (set(), {"b"} if goes else set())
    assert why(plan, B) == reason


@pytest.mark.parametrize(("kind", "kept_for_s"), KEPT_FOR_S.items())
def test_what_was_left_over_is_left_for_a_time_of_its_own(kind: Kind, kept_for_s: float) -> None:
    young = Leftover(kind, Path("young"), 5, kept_for_s)
    old = Leftover(kind, Path("old"), 7, kept_for_s + 1)
    used = replace(old, path=Path("used"), user=SOMEBODY)
    plan = make_plan(picture(leftovers=(young, old, used)), Wishes())
    assert old in plan.leftovers
    assert (young in plan.leftovers) == (kept_for_s == 0)
    assert used not in plan.leftovers
    assert why(plan, "used") == f"in use: {SOMEBODY}"


def test_without_wishes_no_model_goes() -> None:
    plan = make_plan(picture(model("old", A, idle_s=1e9)), Wishes())
    assert gone(plan) == (set(), set())


def test_models_that_were_not_used_for_so_long_go_and_leave_what_others_need() -> None:
    models = (model("old", A, B, idle_s=31 * DAY_S), model("new", B, C, idle_s=29 * DAY_S))
    plan = make_plan(picture(*models), Wishes(keep_within_s=30 * DAY_S))
    assert gone(plan) == ({"old"}, {"a"})
    assert why(plan, "/store/old") == "not used for 31 days"
    assert why(plan, "/store/new") == "used within 30 days"
    assert why(plan, B) == "needed by huggingface:owner/new (11111111)"


@pytest.mark.parametrize("wishes", [Wishes(keep_within_s=DAY_S), Wishes(max_bytes=1)])
@pytest.mark.parametrize(
    ("given_picture", "reason"),
    [
        (picture(model("one", A, idle_s=1e9, plain=True)), "the files in a plain folder are yours"),
        (picture(replace(model("one", A, idle_s=1e9), shown_in=(CACHE, MINE))), "its files are yours in /mine; "),
        (picture(model("one", A, idle_s=1e9), opened={A: "process 7"}), "process 7 has it open"),
        (picture(model("one", A, idle_s=1e9), needed={A: SOMEBODY}), f"counts on its files: {SOMEBODY}"),
    ],
)
def test_a_model_that_may_not_go_stays_whatever_is_asked(given_picture: Picture, reason: str, wishes: Wishes) -> None:
    plan = make_plan(given_picture, wishes)
    assert plan.snapshots == ()
    assert reason in why(plan, "/store/one")


def test_what_another_tools_cache_shows_goes_with_that_view_unless_views_are_kept() -> None:
    shown = picture(model("one", A, idle_s=1e9, shown=True))
    plan = make_plan(shown, Wishes(keep_within_s=1.0))
    assert gone(plan) == ({"one"}, {"a"})
    assert why(plan, "/cache") == "its model goes"
    plan = make_plan(shown, Wishes(keep_within_s=1.0, keep_views=True))
    assert gone(plan) == (set(), set())
    assert why(plan, "/store/one") == "still shown in /cache, which --keep-views keeps"


@pytest.mark.parametrize(
    ("max_bytes", "models", "blobs"),
    [
        (1111, set(), set()),
        (1110, {"oldest"}, {"c"}),
        (1100, {"oldest", "older"}, {"b", "c"}),
        # The big one alone makes room enough: the small ones before it stay after all.
        (999, {"old"}, {"d"}),
        (110, {"old", "oldest"}, {"d", "c"}),
        (0, {"oldest", "older", "old", "new"}, {"a", "b", "c", "d"}),
    ],
)
def test_for_a_budget_the_models_used_longest_ago_go_and_no_more_than_must(
    max_bytes: int, models: set[str], blobs: set[str]
) -> None:
    store = picture(
        model("new", A, idle_s=1), model("old", D, idle_s=2), model("older", B, idle_s=3), model("oldest", C, idle_s=4)
    )
    plan = make_plan(store, Wishes(max_bytes=max_bytes))
    assert gone(plan) == (models, blobs)
    assert plan.over_bytes == 0


def test_a_model_whose_going_frees_nothing_stays() -> None:
    store = picture(model("twin", A, idle_s=2), model("new", A, B, shown=True), model("other", D, idle_s=1))
    plan = make_plan(store, Wishes(max_bytes=110))
    assert gone(plan) == ({"other"}, {"d"})
    assert why(plan, "/store/twin") == "it fits"


def test_a_budget_that_cannot_be_kept_is_said_with_by_how_much() -> None:
    partial = Leftover(Kind.PARTIAL, Path("p"), 50, 0.0)
    store = picture(model("shown", A, shown=True), model("free", B, idle_s=1), leftovers=(partial,))
    plan = make_plan(store, Wishes(max_bytes=60, keep_views=True))
    assert gone(plan) == ({"free"}, {"b"})
    assert (plan.bytes_before, plan.bytes_after, plan.over_bytes) == (160, 150, 90)


def test_a_models_age_counts_before_the_budget_does() -> None:
    store = picture(model("old", C, idle_s=40 * DAY_S), model("young", A, idle_s=1), model("younger", B))
    plan = make_plan(store, Wishes(keep_within_s=30 * DAY_S, max_bytes=110))
    assert gone(plan) == ({"old"}, {"c"})


def test_what_goes_for_its_age_is_not_counted_again_for_the_budget() -> None:
    store = picture(model("old", A, C, idle_s=40 * DAY_S), model("young", A, idle_s=1))
    plan = make_plan(store, Wishes(keep_within_s=30 * DAY_S, max_bytes=50))
    assert gone(plan) == ({"old", "young"}, {"a", "c"})
    assert plan.bytes_after == 0


def test_an_orphan_of_another_tool_is_not_on_the_stores_account() -> None:
    orphan = Leftover(Kind.ORPHAN, Path("o"), 10**9, 2 * DAY_S, note="huggingface: no snapshot leads to it")
    plan = make_plan(picture(model("one", A), leftovers=(orphan,)), Wishes(max_bytes=100))
    assert (plan.bytes_before, plan.bytes_after, plan.freed_bytes) == (100, 100, 10**9)
    assert gone(plan) == (set(), set())
    assert why(plan, "o") == "huggingface: no snapshot leads to it; not touched for 2 days"


DIGESTS = st.sampled_from([A, B, C, D])
MODELS = st.lists(
    st.builds(
        lambda digests, idle_s, plain, shown: (digests, idle_s, plain, shown),
        st.sets(DIGESTS),
        st.floats(0, 100 * DAY_S),
        st.booleans(),
        st.booleans(),
    ),
    max_size=6,
)
WISHES = st.builds(
    Wishes, st.none() | st.floats(0, 100 * DAY_S), st.none() | st.integers(0, 2000), keep_views=st.booleans()
)


@st.composite
def pictures(draw: st.DrawFn) -> Picture:
    models = [
        model(f"m{number}", *sorted(digests), idle_s=idle_s, plain=plain, shown=shown)
        for number, (digests, idle_s, plain, shown) in enumerate(draw(MODELS))
    ]
    here = draw(st.sets(DIGESTS))
    blobs = {
        sha256: blob(sha256, age_s=draw(st.sampled_from([0.0, 9 * DAY_S])), foreign_links=draw(st.integers(0, 1)))
        for sha256 in sorted(here)
    }
    needed = dict.fromkeys(sorted(draw(st.sets(DIGESTS, max_size=1))), SOMEBODY)
    return Picture(tuple(models), blobs, needed=needed, unreadable_records=draw(st.sampled_from([0, 0, 0, 1])))


@given(pictures(), WISHES)
def test_what_stays_has_all_its_bytes_and_what_runs_has_what_it_counts_on(store: Picture, wishes: Wishes) -> None:
    plan = make_plan(store, wishes)
    staying = [one.snapshot for one in store.models if one.snapshot not in plan.snapshots]
    kept = {entry.digests.sha256 for one in staying if not one.plain for entry in one.entries} | store.needed.keys()
    assert not kept & set(plan.blobs)
    assert all(not one.plain for one in plan.snapshots)
    things = [item for item in (*plan.goes, *plan.stays) if item.what in {"snapshot", "blob"}]
    assert len(things) == len(store.models) + len(store.blobs)
    assert plan.bytes_before - plan.bytes_after == plan.freed_bytes


@given(pictures(), st.integers(0, 2000))
def test_a_budget_is_kept_or_nothing_more_could_go_and_none_went_for_nothing(store: Picture, max_bytes: int) -> None:
    plan = make_plan(store, Wishes(max_bytes=max_bytes))
    everything = make_plan(store, Wishes(keep_within_s=-1.0))
    assert plan.bytes_after <= max_bytes or plan.bytes_after == everything.bytes_after
    for kept in plan.snapshots:
        with_it = tuple(
            replace(one, shown_in=(MINE,)) if one.snapshot is kept or one.snapshot not in plan.snapshots else one
            for one in store.models
        )
        again = make_plan(replace(store, models=with_it), Wishes(keep_within_s=-1.0))
        assert again.bytes_after > max(max_bytes, everything.bytes_after)
