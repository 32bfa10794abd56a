"""`store_worker HOME SEED`: pulls, links, verifies, prunes, removes on a store that others work on, until it is killed.

Says `ready` when it begins, and what it did not expect before it ends with status 1.
"""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from pathlib import Path

from modelfetch.errors import StoreError
from modelfetch.prune import Wishes, carry_out, look_and_plan
from modelfetch.pulling.announced import Announced
from modelfetch.store import Store, StoreDestination
from modelfetch.store.views import huggingface
from modelfetch.transfer.needs import Needs, needed
from modelfetch.verification import verify
from tests.stored import deliver, manifest_of

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
        match chance.randrange(6):
            case 0 | 1:
                manifest = manifest_of(listing, commit=commit, revision=chance.choice([None, "v1"]))
                with Needs(store.partials) as needs:
                    deliver(Announced(StoreDestination(store), needs), chosen, manifest)
            case 2:
                for snapshot in store.snapshots()[:1]:
                    huggingface.link(store, snapshot, home / "hub")
            case 3:
                verify(store, jobs=1)
            case 4:
                wishes = Wishes(keep_within_s=0.0)
                carry_out(store, look_and_plan(store, wishes), wishes)
            case _:
                snapshots = store.snapshots()
                if snapshots:
                    in_use = partial(needed, store.partials, time.time())
                    store.remove(chance.choice(snapshots), dry_run=False, in_use=in_use)
    except StoreError:
        return


if __name__ == "__main__":
    main()
