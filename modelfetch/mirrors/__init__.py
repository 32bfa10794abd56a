"""Tries endpoints: how fast each answers and sends from here, whether what it sends is right, where it comes from."""

from modelfetch.mirrors.run import Tested, try_endpoints
from modelfetch.mirrors.trial import Trial

__all__ = ["Tested", "Trial", "try_endpoints"]
