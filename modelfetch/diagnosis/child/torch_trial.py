"""Imports torch, multiplies on every GPU and copies to it. Run as a script by the interpreter that is to be tried.

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

# Long enough that a copy takes milliseconds on the widest link, short enough for a GPU that is nearly full.
_COPY_BYTES = 128 << 20
_COPIES = 4


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


def copied_per_s(torch: Any, device: str, *, is_pinned: bool) -> float:
    """Bytes in a second from this machine's memory to `device`: the best of a few, as the first wakes the link."""
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, pin_memory=is_pinned)
    target = torch.ones(_COPY_BYTES, dtype=torch.uint8, device=device)
    shortest = float("inf")
    for _ in range(_COPIES):
        started = time.perf_counter()
        # It waits for its end, as `non_blocking` is not asked for.
        target.copy_(source)
        shortest = min(shortest, time.perf_counter() - started)
    return _COPY_BYTES / max(shortest, 1e-9)


def trial(torch: Any, device: str) -> dict[str, object]:
    """What `device` made of a product, and how fast it is reached from memory that is pinned and that is not."""
    try:
        difference = product_differs(torch, device)
    except BaseException as error:  # a GPU that cannot multiply is a result
        return {"device": device, "error": f"{type(error).__name__}: {error}"[:500]}
    result: dict[str, object] = {"device": device, "difference": difference}
    for name, is_pinned in (("pinned", True), ("pageable", False)):
        try:
            result[f"{name}_bytes_per_s"] = round(copied_per_s(torch, device, is_pinned=is_pinned))
        except RuntimeError as error:  # no memory for it, on either side: others hold it, which is no fault of the link
            result[f"{name}_error"] = str(error)[:500]
    return result


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
        trials.append(trial(torch, f"cuda:{index}"))
        tell(trials=trials)


if __name__ == "__main__":
    main()
