"""Takes models that are on the disk already into the store, without a download and without harm to their owners."""

from modelfetch.adopt.orphans import Orphan, orphans
from modelfetch.adopt.places import Place, Tool, known_places, place_at
from modelfetch.adopt.report import AdoptedModel, Adoption, Fate, State
from modelfetch.adopt.run import Hashed, adopt

__all__ = [
    "AdoptedModel",
    "Adoption",
    "Fate",
    "Hashed",
    "Orphan",
    "Place",
    "State",
    "Tool",
    "adopt",
    "known_places",
    "orphans",
    "place_at",
]
