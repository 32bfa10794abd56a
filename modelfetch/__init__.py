"""Get a model onto a machine fast, whole and proven.

The library is the command line without the printing:

    snapshot = modelfetch.pull("Qwen/Qwen3-0.6B")
    result = modelfetch.smoke(snapshot)
    findings = modelfetch.doctor()

`verify` and `inspect` are the others. Each returns values, prints nothing, asks nothing, and raises
`modelfetch.errors.ModelfetchError`. What it needs is imported when it is first named: importing this package imports
nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelfetch.diagnosis import doctor
    from modelfetch.inspection import inspect
    from modelfetch.pulling import pull
    from modelfetch.smoketest import smoke
    from modelfetch.verification import verify

__all__ = ["__version__", "doctor", "inspect", "pull", "smoke", "verify"]

__version__ = "0.1.0"

_HOMES = {
    "doctor": "modelfetch.diagnosis",
    "inspect": "modelfetch.inspection",
    "pull": "modelfetch.pulling",
    "smoke": "modelfetch.smoketest",
    "verify": "modelfetch.verification",
}


if not TYPE_CHECKING:
    # Not told to a type checker, which would take every name for one of ours.
    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
