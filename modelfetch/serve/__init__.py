"""The store, served read-only to any client of either hub: hf, ms-hub, transformers, curl, aria2, modelfetch itself."""

from modelfetch.serve.catalogue import Catalogue, Snapshot
from modelfetch.serve.connection import Served
from modelfetch.serve.server import Server, ignore

__all__ = ["Catalogue", "Served", "Server", "Snapshot", "ignore"]
