"""The dialects of the hubs, and asking all their endpoints at once.

A hub is found by its name through the entry-point group `modelfetch.hubs`; the two built-in ones come through the
same door.
"""

from modelfetch.hubs.base import Hub, Offer
from modelfetch.hubs.registry import hub
from modelfetch.hubs.resolve import Resolution, credential_for, resolve

__all__ = ["Hub", "Offer", "Resolution", "credential_for", "hub", "resolve"]
