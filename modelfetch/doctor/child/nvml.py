"""Asks NVIDIA's management library about the driver and the GPUs. Run as a script in a process of its own.

Writes a line of JSON for each thing as soon as it is known, so that what was learned survives an abort.
"""

from __future__ import annotations

import ctypes
import json
import sys


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def device(nvml: ctypes.CDLL, index: int) -> dict[str, object]:
    handle = ctypes.c_void_p()
    nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    name = ctypes.create_string_buffer(96)
    nvml.nvmlDeviceGetName(handle, name, 96)
    memory = Memory()
    nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    mode = ctypes.c_int()
    nvml.nvmlDeviceGetComputeMode(handle, ctypes.byref(mode))
    return {
        "name": name.value.decode(errors="replace"),
        "memory_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "compute_mode": mode.value,
    }


def main() -> None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError as error:
        tell(library_error=str(error))
        return
    code = nvml.nvmlInit_v2()
    tell(init_code=code)
    if code:
        return
    version = ctypes.create_string_buffer(96)
    if nvml.nvmlSystemGetDriverVersion(version, 96) == 0:
        tell(driver=version.value.decode(errors="replace"))
    count = ctypes.c_uint()
    nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
    tell(devices=[device(nvml, index) for index in range(count.value)])


if __name__ == "__main__":
    main()
