"""Moves bytes: from sources, through lanes, into partials, and hands over what has its digest.

Knows no hub and no store: it is given URLs, a folder per file, and somebody who takes what is whole and verified.
What does the work is `engine.transfer`, loaded by whoever has something to move.
"""

from modelfetch.transfer.job import Job, Landing, Options, Report, Source
from modelfetch.transfer.partial import resumable_bytes

__all__ = ["Job", "Landing", "Options", "Report", "Source", "resumable_bytes"]
