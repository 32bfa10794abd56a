"""Tries endpoints and package indexes: how fast each answers and sends from here, and whether that is right."""

from modelfetch.mirrors.run import Tested, TestedIndexes, try_endpoints, try_indexes
from modelfetch.mirrors.trial import IndexTrial, Trial

__all__ = ["IndexTrial", "Tested", "TestedIndexes", "Trial", "try_endpoints", "try_indexes"]
