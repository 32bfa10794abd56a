"""Looks up what a smoke test would run on, without importing any of it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from modelfetch import __version__
from modelfetch.model.hardware import cpu_name, driver, gpu_names
from modelfetch.smoketest.kept import Circumstances, asked_of, digest_of
from modelfetch.smoketest.options import SmokeOptions
from modelfetch.store import Snapshot

_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "numpy")


def circumstances_of(snapshot: Snapshot, options: SmokeOptions) -> Circumstances:
    """What the result of a test now would depend on."""
    hardware = (cpu_name(), driver(), *gpu_names(), _visible())
    asked = asked_of(options) | {"quant": str(snapshot.quant)}
    return Circumstances(digest_of(snapshot), _software(), tuple(name for name in hardware if name), asked)


def _software() -> dict[str, str]:
    found = {"python": platform.python_version(), "modelfetch": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _visible() -> str | None:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if visible is None else f"CUDA_VISIBLE_DEVICES={visible}"
