"""Moves bytes: from sources, through lanes, into partials, and hands over what has its digest.

Knows no hub and no store: it is given URLs, a folder per file, and somebody who takes what is whole and verified.
"""

from modelfetch.transfer.engine import Options, transfer
from modelfetch.transfer.job import Job, Landing, Report, Source
from modelfetch.transfer.partial import resumable_bytes

__all__ = ["Job", "Landing", "Options", "Report", "Source", "resumable_bytes", "transfer"]
