"""Reads a lock file from the disk."""

from __future__ import annotations

from pathlib import Path

from modelfetch.errors import ConfigError
from modelfetch.lock.document import parse
from modelfetch.lock.values import Lock

# A file of a model takes about 300 bytes: room for 200,000 of them.
_LONGEST_BYTES = 64 << 20


def read(path: Path) -> Lock:
    """The lock in the file `path`.

    Raises:
        ConfigError: it cannot be read, is damaged, of another version, or no lock file.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_BYTES + 1)
    except FileNotFoundError as error:
        hint = f"modelfetch pull OWNER/NAME --lock {path}"
        raise ConfigError(f"there is no lock file `{path}`", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"`{path}` cannot be read", facts={"why": error.strerror or str(error)}) from error
    if len(content) > _LONGEST_BYTES:
        raise ConfigError(f"`{path}` is longer than a lock file can be", facts={"expected": f"{_LONGEST_BYTES} bytes"})
    try:
        return parse(content.decode("utf-8"), where=str(path))
    except UnicodeDecodeError as error:
        facts = {"at": f"byte {error.start}", "expected": "UTF-8", "got": error.reason}
        raise ConfigError(f"`{path}` is damaged", facts=facts) from error
