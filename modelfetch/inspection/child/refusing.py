"""The errors of this process itself: about a question, and about a model that would answer with nonsense."""

from __future__ import annotations


class Refused(Exception):
    """This cannot be asked of this model; the message is the whole sentence."""


class Incomplete(Exception):
    """Weights are not in the files, and random numbers would answer in their place."""
