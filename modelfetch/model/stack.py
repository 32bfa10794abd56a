"""What a model needs to be run at all: looked for, and not imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from modelfetch.errors import ConfigError


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
