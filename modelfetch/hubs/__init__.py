"""The dialects of the hubs, and asking all their endpoints at once.

A hub is found by its name through the entry-point group `modelfetch.hubs`; the two built-in ones come through the
same door.
"""

from modelfetch.hubs.base import Hub, Offer, one_for_each_address
from modelfetch.hubs.registry import hub
from modelfetch.hubs.resolve import (
    Answers,
    Question,
    Resolution,
    ask_each,
    credential_for,
    nobody,
    refuse_access,
    resolve,
)

__all__ = [
    "Answers",
    "Hub",
    "Offer",
    "Question",
    "Resolution",
    "ask_each",
    "credential_for",
    "hub",
    "nobody",
    "one_for_each_address",
    "refuse_access",
    "resolve",
]
