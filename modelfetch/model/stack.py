"""What a model needs to be run at all: looked for, and not imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from modelfetch.errors import ConfigError
from modelfetch.model.quantisation import PACKAGES, Package


def require_stack(what: str) -> Path:
    """The folder of the installed transformers, without which there is no `what`; nothing of it is imported.

    Raises:
        ConfigError: torch, transformers or safetensors is not installed.
    """
    absent = [name for name in ("torch", "transformers", "safetensors") if find_spec(name) is None]
    spec = find_spec("transformers")
    if absent or spec is None or spec.origin is None:
        raise ConfigError(
            f"{what} needs {' and '.join(f'`{name}`' for name in absent)}, which this Python does not have",
            facts={"first": "install the torch that your GPU needs (on a machine without one, any torch)"},
            hint="pip install 'modelfetch[smoke]'",
        )
    return Path(spec.origin).parent


def usable_modules() -> frozenset[str]:
    """The modules that some models need beside transformers, of those that are here and new enough."""
    return frozenset(package.module for package in PACKAGES if _is_usable(package))


def _is_usable(package: Package) -> bool:
    if find_spec(package.module) is None:
        return False
    try:
        return package.is_new_enough(version(package.distribution))
    except PackageNotFoundError:
        # Put there by hand, or under another name: loading will tell.
        return True
