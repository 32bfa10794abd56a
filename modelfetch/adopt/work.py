"""Which files are to be taken, by what means, and which of them are the same: a list of work. Decides only.

- A file that several names lead to is one file. Of files that are said to hold the same bytes one is enough; the others
  are there in case it does not hold them.
- What is in the store already, by its inode or by its claim, is not read.
- Small files and texts are copied, because people edit them where they are; weights are linked, never copied unasked.
- Another user's file is never hard-linked: whoever owns it may make it writable again and write.
- A copy is sure where no link is tried first that works: so much room there must be.
- Of a model without a name only the weights are taken: a later pull may want those bytes, and nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from modelfetch.adopt.candidate import Candidate, Found
from modelfetch.manifest import Digests
from modelfetch.store.links import Method

Inode = tuple[int, int]


@dataclass(frozen=True)
class Item:
    """One file on the disk, however many names it has."""

    found: Found
    is_edited: bool
    methods: tuple[Method, ...]
    why_not: str

    @property
    def inode(self) -> Inode:
        return inode_of(self.found)

    @property
    def claim(self) -> Digests:
        return self.found.claim


@dataclass(frozen=True)
class Means:
    """What the machine allows: which disk the store is on, whose files may be linked, whether the user wants copies."""

    device: int
    may_hard_link: Callable[[Found], bool]
    is_edited: Callable[[Found], bool]
    copy: bool


@dataclass(frozen=True)
class Work:
    """What is `here` needs nothing; of each group one file must be taken, the first that can be."""

    here: Mapping[Inode, Digests]
    repeated: frozenset[Inode]
    groups: tuple[tuple[Item, ...], ...]
    items: Mapping[Inode, Item]

    @property
    def total_bytes(self) -> int:
        """What must be read when every file holds what is claimed."""
        return sum(group[0].found.size for group in self.groups if group[0].methods)

    def copied_bytes(self, *, reflinks: bool) -> int:
        """What is sure to take room of its own, where the disk makes `reflinks` or does not."""
        no_room = {Method.HARD_LINK, Method.REFLINK} if reflinks else {Method.HARD_LINK}
        firsts = (group[0] for group in self.groups)
        return sum(
            item.found.size for item in firsts if Method.COPY in item.methods and no_room.isdisjoint(item.methods)
        )


def inode_of(found: Found) -> Inode:
    """What makes two names the same file."""
    return found.status.st_dev, found.status.st_ino


def plan(
    candidates: Iterable[Candidate],
    means: Means,
    payloads: Mapping[Inode, str],
    find: Callable[[Digests, int], Digests | None],
) -> Work:
    """The work. `payloads` are the store's own files, `find` says whether the store has bytes whole."""
    items = _items(candidates, means)
    here: dict[Inode, Digests] = {}
    repeated = set()
    groups: dict[object, list[Item]] = {}
    for inode, item in items.items():
        size = item.found.size
        own = payloads.get(inode)
        if own is not None and (digests := find(Digests(sha256=own), size)):
            here[inode] = digests
        elif item.claim and (digests := find(item.claim, size)):
            here[inode] = digests
            if not item.is_edited:
                repeated.add(inode)
        else:
            key = (item.claim.strongest, size) if item.claim else inode
            groups.setdefault(key, []).append(item)
    ordered = (tuple(sorted(group, key=lambda item: not item.methods)) for group in groups.values())
    # The biggest first: the last core to finish is then not the one that just began a big one.
    biggest_first = sorted(ordered, key=lambda group: -group[0].found.size)
    return Work(here, frozenset(repeated), tuple(biggest_first), items)


def _items(candidates: Iterable[Candidate], means: Means) -> dict[Inode, Item]:
    items: dict[Inode, Item] = {}
    for candidate in candidates:
        for found in candidate.files:
            if candidate.repo is None and means.is_edited(found):
                continue
            item = items.get(inode_of(found))
            if item is None:
                items[inode_of(found)] = _item(found, means)
            elif not item.claim and found.claim:
                items[inode_of(found)] = replace(item, found=replace(item.found, claim=found.claim))
    return items


def _item(found: Found, means: Means) -> Item:
    is_edited = means.is_edited(found)
    copy = (Method.COPY,) if means.copy else ()
    if found.status.st_dev != means.device:
        return Item(found, is_edited, copy, "it is on another file system than the store")
    if is_edited:
        return Item(found, is_edited, (Method.REFLINK, Method.COPY), "")
    if not means.may_hard_link(found):
        return Item(found, is_edited, (Method.REFLINK, *copy), "it belongs to another user, who may write to it")
    why_not = "its file system makes no second name for it"
    return Item(found, is_edited, (Method.REFLINK, Method.HARD_LINK, *copy), why_not)
