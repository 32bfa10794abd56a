"""Imports torch and multiplies matrices on every device. Run as a script by the interpreter that is to be tried.

Writes a line of JSON for each thing as soon as it is known, so that what was learned survives an abort.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

# Large enough that wrong kernels show, small enough for a CPU that is busy.
_SIZE = 512


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def product_differs(torch: Any, device: str) -> float:
    """How far a product on `device` is from the CPU's, relative to its largest value."""
    generator = torch.Generator().manual_seed(20260731)
    left, right = (torch.rand(_SIZE, _SIZE, generator=generator) for _ in range(2))
    expected = left @ right
    got = (left.to(device) @ right.to(device)).cpu()
    return float((got - expected).abs().max() / expected.abs().max())


def main() -> None:
    if not getattr(sys.flags, "safe_path", False):
        # A script's own folder stands first in the path; the other scripts here are nobody's modules.
        del sys.path[0]
    started = time.monotonic()
    try:
        import torch
    except BaseException as error:  # whatever it is, it is what this script was started to find out
        tell(import_error=f"{type(error).__name__}: {error}"[:500])
        return
    tell(version=str(torch.__version__), import_s=round(time.monotonic() - started, 2))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        available = torch.cuda.is_available()
    tell(cuda_available=available, warnings=[str(warning.message).strip()[:500] for warning in caught])
    trials: list[dict[str, object]] = []
    for index in range(torch.cuda.device_count() if available else 0):
        try:
            trials.append({"device": f"cuda:{index}", "difference": product_differs(torch, f"cuda:{index}")})
        except BaseException as error:  # a GPU that cannot multiply is a result
            trials.append({"device": f"cuda:{index}", "error": f"{type(error).__name__}: {error}"[:500]})
    tell(trials=trials)


if __name__ == "__main__":
    main()
