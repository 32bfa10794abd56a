"""Which files are taken and how, decided over made-up disks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from modelfetch.adopt.candidate import Candidate, Found
from modelfetch.adopt.foreseeing import foreseen
from modelfetch.adopt.report import State
from modelfetch.adopt.work import Inode, Means, inode_of, plan
from modelfetch.manifest import Digests
from modelfetch.store.links import Method

OURS, ELSEWHERE = 1, 2
NOBODY = 65534
LINK, COPY, REFLINK = Method.HARD_LINK, Method.COPY, Method.REFLINK


def found(
    path: str, *, inode: int, device: int = OURS, owner: int = 0, claim: str | None = None, size: int = 9
) -> Found:
    """A file with this status; the claim is one letter."""
    status = os.stat_result((0o100644, inode, device, 1, owner, 0, size, 0, 0, 0))
    return Found(path, Path(f"/{device}/{inode}"), status, Digests(claim * 64 if claim else None))


def means(*, copy: bool = False) -> Means:
    return Means(
        OURS,
        may_hard_link=lambda file: file.status.st_uid != NOBODY,
        is_edited=lambda file: file.path.endswith(".json"),
        copy=copy,
    )


def model(*files: Found, repo: str | None = "own/name") -> Candidate:
    return Candidate("name", Path("/"), files, repo=repo)


def nothing(digests: Digests, size: int) -> None:
    return None


@pytest.mark.parametrize(
    ("file", "without_copy", "with_copy"),
    [
        (found("w.bin", inode=1), (REFLINK, LINK), (REFLINK, LINK, COPY)),
        (found("w.json", inode=1), (REFLINK, COPY), (REFLINK, COPY)),
        (found("w.bin", inode=1, owner=NOBODY), (REFLINK,), (REFLINK, COPY)),
        (found("w.json", inode=1, owner=NOBODY), (REFLINK, COPY), (REFLINK, COPY)),
        (found("w.bin", inode=1, device=ELSEWHERE), (), (COPY,)),
        (found("w.json", inode=1, device=ELSEWHERE), (), (COPY,)),
    ],
)
def test_what_is_linked_and_what_is_copied(
    file: Found, without_copy: tuple[Method, ...], with_copy: tuple[Method, ...]
) -> None:
    for copy, expected in ((False, without_copy), (True, with_copy)):
        ((item,),) = plan([model(file)], means(copy=copy), {}, nothing).groups
        assert item.methods == expected
        assert item.why_not or COPY in item.methods


def test_of_files_with_the_same_claim_one_that_can_be_taken_goes_first() -> None:
    far, near = found("a.bin", inode=1, device=ELSEWHERE, claim="a"), found("b.bin", inode=2, claim="a")
    (group,) = plan([model(far, near)], means(), {}, nothing).groups
    assert [item.found for item in group] == [near, far]


def test_the_same_claim_of_another_size_is_another_group() -> None:
    one, other = found("a.bin", inode=1, claim="a", size=1), found("b.bin", inode=2, claim="a", size=2)
    assert len(plan([model(one, other)], means(), {}, nothing).groups) == 2


def test_a_claim_of_one_name_holds_for_the_file_under_its_other_names() -> None:
    unclaimed, claimed = found("a.bin", inode=1), found("b.bin", inode=1, claim="a")
    ((item,),) = plan([model(unclaimed), model(claimed)], means(), {}, nothing).groups
    assert item.claim == claimed.claim


def test_the_biggest_is_begun_first() -> None:
    files = [found("a.bin", inode=1, size=1), found("b.bin", inode=2, size=3), found("c.bin", inode=3, size=2)]
    groups = plan([model(*files)], means(), {}, nothing).groups
    assert [group[0].found.size for group in groups] == [3, 2, 1]


def test_what_is_by_its_inode_in_the_store_is_not_read_and_not_repeated() -> None:
    file = found("a.bin", inode=1)
    work = plan([model(file)], means(), {inode_of(file): "a" * 64}, lambda digests, _: digests)
    assert (work.groups, work.here, work.repeated) == ((), {inode_of(file): Digests("a" * 64)}, frozenset())


def test_what_is_by_its_claim_in_the_store_takes_room_again_unless_people_edit_it() -> None:
    files = [found("a.bin", inode=1, claim="a"), found("b.json", inode=2, claim="b")]
    work = plan([model(*files)], means(), {}, lambda digests, _: digests)
    assert work.repeated == {inode_of(files[0])}
    assert work.groups == ()


def test_a_payload_of_ours_that_is_damaged_by_now_is_looked_at_as_any_file() -> None:
    file = found("a.bin", inode=1, claim="a")
    assert len(plan([model(file)], means(), {inode_of(file): "a" * 64}, nothing).groups) == 1


FILES = some.builds(
    found,
    some.sampled_from(["w.bin", "w.json"]),
    inode=some.integers(1, 6),
    device=some.sampled_from([OURS, ELSEWHERE]),
    owner=some.sampled_from([0, NOBODY]),
    claim=some.sampled_from([None, "a", "b"]),
)
MODELS = some.lists(
    some.builds(lambda files, repo: model(*files, repo=repo), some.lists(FILES), some.sampled_from([None, "own/name"]))
)


@given(MODELS, some.sets(some.sampled_from(["a", "b"])), some.booleans())
def test_every_file_that_is_wanted_has_one_fate(models: list[Candidate], known: set[str], copy: bool) -> None:
    def find(digests: Digests, size: int) -> Digests | None:
        return digests if digests.sha256 and digests.sha256[0] in known else None

    work = plan(models, means(copy=copy), {}, find)
    grouped = [item.inode for group in work.groups for item in group]
    wanted: set[Inode] = {
        inode_of(file) for each in models for file in each.files if each.repo or file.path != "w.json"
    }
    assert sorted([*grouped, *work.here]) == sorted(wanted)
    assert work.repeated <= work.here.keys()
    fates = foreseen(work)
    assert sorted(fate.path for fate in fates) == sorted(item.found.file for group in work.groups for item in group)
    assert all(fate.why for fate in fates if fate.state is State.LEFT)
    if copy:
        assert all(fate.state is not State.LEFT for fate in fates)


@pytest.mark.parametrize(
    ("file", "copy", "without_reflinks", "with_reflinks"),
    [
        (found("w.bin", inode=1), True, 0, 0),
        (found("w.json", inode=1), False, 9, 0),
        (found("w.bin", inode=1, owner=NOBODY), True, 9, 0),
        (found("w.bin", inode=1, owner=NOBODY), False, 0, 0),
        (found("w.bin", inode=1, device=ELSEWHERE), True, 9, 9),
        (found("w.bin", inode=1, device=ELSEWHERE), False, 0, 0),
    ],
)
def test_room_is_needed_for_what_is_sure_to_be_copied(
    file: Found, copy: bool, without_reflinks: int, with_reflinks: int
) -> None:
    work = plan([model(file)], means(copy=copy), {}, nothing)
    assert work.copied_bytes(reflinks=False) == without_reflinks
    assert work.copied_bytes(reflinks=True) == with_reflinks


def test_room_is_needed_once_for_what_lies_in_two_places() -> None:
    twice = [found(f"{inode}.bin", inode=inode, device=ELSEWHERE, claim="a") for inode in (1, 2)]
    assert plan([model(*twice)], means(copy=True), {}, nothing).copied_bytes(reflinks=True) == 9
