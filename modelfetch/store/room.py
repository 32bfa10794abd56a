"""Whether a disk has room for what is about to come, so that it is said before the first byte.

What others write meanwhile is not foreseen: a disk that fills in the middle says so itself (`diskfaults`).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from modelfetch.errors import DiskFullError
from modelfetch.units import format_bytes


def check_room(folder: Path, needed_bytes: int, what: str, chooses: str) -> None:
    """Refuse to begin with `what` where it does not fit on the disk of `folder`; `chooses` says how to name another.

    Raises:
        DiskFullError: so it is.
    """
    free = shutil.disk_usage(folder).free
    if needed_bytes > free:
        raise DiskFullError(
            f"`{folder}` has too little room for `{what}`",
            facts={
                "needed": format_bytes(needed_bytes),
                "free": format_bytes(free),
                "missing": format_bytes(needed_bytes - free),
            },
            hint=f"modelfetch ls shows what could go; {chooses} chooses another disk",
        )
