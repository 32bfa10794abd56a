"""How far a smoke test goes. Each level finds what the one before cannot, and costs more."""

from __future__ import annotations

from enum import StrEnum


class Level(StrEnum):
    """In their order: what is known of the bytes, what the files say of themselves, whether the class and the weights
    fit each other, the weights' values, and what the model does.
    """

    BYTES = "bytes"
    HEADERS = "headers"
    STRUCTURE = "structure"
    LOAD = "load"
    EXERCISE = "exercise"

    def reaches(self, other: Level) -> bool:
        """Whether a test to this level does what `other` asks."""
        order = list(Level)
        return order.index(self) >= order.index(other)
