"""`store_worker HOME SEED`: pulls, links, verifies and removes on a store that others work on, until it is killed.

Says `ready` when it begins, and what it did not expect before it ends with status 1.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from modelfetch.errors import StoreError
from modelfetch.store import Store
from modelfetch.store.views import huggingface
from modelfetch.verify import verify
from tests.stored import bring, manifest_of

# The same few bytes in many commits: everything is shared, and somebody is always removing it.
CONTENTS = {f"{size}.dat": bytes([size % 251]) * size for size in (0, 1, 1000, 150_000)}
COMMITS = [digit * 40 for digit in "abcd"]


def main() -> None:
    home, chance = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    store = Store.open(home / "store")
    print("ready", flush=True)
    while True:
        work(store, home, chance)


def work(store: Store, home: Path, chance: random.Random) -> None:
    """One random thing. Another process may remove what this one counts on: that is said by StoreError, and no bug."""
    commit = chance.choice(COMMITS)
    listing = {path: CONTENTS[path] for path in CONTENTS if path[0] in "01" or commit in COMMITS[:2]}
    chosen = {path: listing[path] for path in chance.sample(sorted(listing), chance.randint(1, len(listing)))}
    try:
        match chance.randrange(5):
            case 0 | 1:
                bring(store, chosen, manifest_of(listing, commit=commit, revision=chance.choice([None, "v1"])))
            case 2:
                for snapshot in store.snapshots()[:1]:
                    huggingface.link(store, snapshot, home / "hub")
            case 3:
                verify(store, jobs=1)
            case _:
                snapshots = store.snapshots()
                if snapshots:
                    store.remove(chance.choice(snapshots), dry_run=False)
    except StoreError:
        return


if __name__ == "__main__":
    main()
