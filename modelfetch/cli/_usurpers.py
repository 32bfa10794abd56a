"""Modules that stand before Python's own, told by the error that they cause. Needs little of Python's own to work.

- A file `random.py` in a folder of PYTHONPATH is imported by whoever wants Python's `random`, this program too.
- Only what the error says of itself is looked at: a module's name, and the file that it was imported from.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

from modelfetch.errors import ConfigError


def usurped(error: Exception) -> ConfigError | None:
    """What stands in the place of a module of Python's own, where that is why `error` came up."""
    name, file = _module_of(error)
    if name not in sys.stdlib_module_names or file is None or Path(file).is_relative_to(Path(os.__file__).parent):
        return None
    return ConfigError(f"`{file}` stands in the place of Python's own `{name}`", hint="unset PYTHONPATH")


def _module_of(error: Exception) -> tuple[str, str | None]:
    if isinstance(error, ImportError):
        return error.name or "", error.path
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
        return error.obj.__name__, getattr(error.obj, "__file__", None)
    return "", None
