"""Get a model onto a machine fast, whole and proven.

The library API is the same as the command line, without the printing: `pull`, `verify`, `smoke` and `doctor` return
values and raise `modelfetch.errors.ModelfetchError`. The names are loaded when first used, so that `import
modelfetch` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["doctor", "pull", "smoke", "verify"]

if TYPE_CHECKING:
    from modelfetch.doctor import doctor
    from modelfetch.pull import pull
    from modelfetch.smoke import smoke
    from modelfetch.verify import verify


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module(f"modelfetch.{name}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
