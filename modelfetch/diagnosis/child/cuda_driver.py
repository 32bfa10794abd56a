"""Asks the CUDA driver what it is and whether it starts. Run as a script in a process of its own: it may die.

Writes a line of JSON for each thing as soon as it is known, so that what was learned survives an abort.
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def loaded_file(name: str) -> str | None:
    """The file that the loader took for `name`."""
    try:
        mapped = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    paths = (line.split(maxsplit=5)[5] for line in mapped.splitlines() if name in line)
    return next(paths, None)


def device(cuda: ctypes.CDLL, index: int) -> dict[str, object]:
    handle = ctypes.c_int()
    cuda.cuDeviceGet(ctypes.byref(handle), index)
    name = ctypes.create_string_buffer(256)
    cuda.cuDeviceGetName(name, 256, handle)
    major, minor = ctypes.c_int(), ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, handle)
    cuda.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, handle)
    size = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(size), handle)
    return {
        "name": name.value.decode(errors="replace"),
        "capability": major.value * 10 + minor.value,
        "memory_bytes": size.value,
    }


def main() -> None:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        tell(library_error=str(error))
        return
    tell(library=loaded_file("libcuda.so"))
    driver_api = ctypes.c_int()
    if cuda.cuDriverGetVersion(ctypes.byref(driver_api)) == 0:
        tell(driver_api=driver_api.value)
    code = cuda.cuInit(0)
    tell(init_code=code)
    if code:
        return
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    tell(devices=[device(cuda, index) for index in range(count.value)])


if __name__ == "__main__":
    main()
