"""Names and bytes on disk: the store, the places that a pull can deliver to, and the views that other tools read."""

from modelfetch.store.destination import Destination, StoreDestination
from modelfetch.store.folder import FolderDestination
from modelfetch.store.removal import Removal
from modelfetch.store.snapshot import Snapshot, ViewPlace
from modelfetch.store.store import Store, Usage

__all__ = ["Destination", "FolderDestination", "Removal", "Snapshot", "Store", "StoreDestination", "Usage", "ViewPlace"]
