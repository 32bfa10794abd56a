"""Takes models that are on the disk already into the store, without a download and without harm to their owners."""

from modelfetch.adopt.orphans import Orphan, orphans
from modelfetch.adopt.places import Place, Tool, known_places, place_at

__all__ = ["Orphan", "Place", "Tool", "known_places", "orphans", "place_at"]
