"""Asks NVIDIA's management library about the driver and the GPUs. Run as a script in a process of its own.

Writes a line of JSON for each thing as soon as it is known, so that what was learned survives an abort. What an older
library has no function for, or a GPU does not support, is left out.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys
from typing import Any

_UNCORRECTED = 1  # NVML_MEMORY_ERROR_TYPE_UNCORRECTED
_VOLATILE, _AGGREGATE = 0, 1  # since the driver was loaded; since the GPU was made

# nvmlGpuFabricInfo_t: 16 bytes of identity, a status, a clique, and one byte of state.
_FABRIC_STATE_AT = 24
# nvmlGridLicensableFeatures_t: whether there are any, how many, then the first one's code and state.
_LICENCES = "=iIII"
# More than any of these structures, so that a library which knows a longer one writes into nothing else.
_ROOM = 4096
_MOST_PROCESSES = 256
# What is known of a GPU that does not answer.
_NOTHING = {"name": "", "memory_bytes": 0, "memory_used_bytes": 0, "compute_mode": 0, "parts": [], "holders": []}
_NOT_KNOWN = (1 << 64) - 1  # NVML_VALUE_NOT_AVAILABLE, as Windows' driver says


class Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class Process(ctypes.Structure):
    """nvmlProcessInfo_t, since driver 510."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def tell(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def did(nvml: ctypes.CDLL, function: str, *arguments: object) -> bool:
    """Whether the library has this function and it succeeded."""
    call = getattr(nvml, function, None)
    return call is not None and call(*arguments) == 0


def number(nvml: ctypes.CDLL, function: str, *arguments: object) -> int | None:
    """What a function that fills one number says."""
    value = ctypes.c_ulonglong()
    return value.value if did(nvml, function, *arguments, ctypes.byref(value)) else None


def device(nvml: ctypes.CDLL, index: int) -> dict[str, object]:
    handle = ctypes.c_void_p()
    code = nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle))
    if code:
        return {**_NOTHING, "health": {"unreachable": code}}
    name = ctypes.create_string_buffer(96)
    nvml.nvmlDeviceGetName(handle, name, 96)
    memory = Memory()
    nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
    return {
        "name": name.value.decode(errors="replace"),
        "memory_bytes": memory.total,
        "memory_used_bytes": memory.used,
        "compute_mode": number(nvml, "nvmlDeviceGetComputeMode", handle) or 0,
        "uuid": uuid(nvml, handle),
        "parts": [uuid(nvml, part) for part in parts(nvml, handle)],
        "holders": sorted(holders(nvml, handle), key=lambda holder: -holder["memory_bytes"]),
        "health": {name: value for name, value in health(nvml, handle).items() if value is not None},
    }


def health(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> dict[str, int | None]:
    """What wears out, what slows down, and what is divided."""
    mig, pending = ctypes.c_uint(), ctypes.c_uint()
    has_mig = did(nvml, "nvmlDeviceGetMigMode", handle, ctypes.byref(mig), ctypes.byref(pending))
    rows = [ctypes.c_uint() for _ in range(4)]
    has_rows = did(nvml, "nvmlDeviceGetRemappedRows", handle, *map(ctypes.byref, rows))
    return {
        "mig": mig.value if has_mig else None,
        "mig_instances": len(parts(nvml, handle)) if has_mig and mig.value else None,
        "ecc_volatile": number(nvml, "nvmlDeviceGetTotalEccErrors", handle, _UNCORRECTED, _VOLATILE),
        "ecc_aggregate": number(nvml, "nvmlDeviceGetTotalEccErrors", handle, _UNCORRECTED, _AGGREGATE),
        "remap_pending": rows[2].value if has_rows else None,
        "remap_failed": rows[3].value if has_rows else None,
        "throttle": number(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", handle),
        "pcie_width": number(nvml, "nvmlDeviceGetCurrPcieLinkWidth", handle),
        "pcie_width_max": number(nvml, "nvmlDeviceGetMaxPcieLinkWidth", handle),
        "persistence": number(nvml, "nvmlDeviceGetPersistenceMode", handle),
        "virtualisation": number(nvml, "nvmlDeviceGetVirtualizationMode", handle),
        "licensed": licensed(nvml, handle),
        "fabric": fabric(nvml, handle),
    }


def parts(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> list[ctypes.c_void_p]:
    """The MIG instances that this GPU is divided into."""
    most = number(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0
    places = [ctypes.c_void_p() for _ in range(min(most, 64))]
    function = "nvmlDeviceGetMigDeviceHandleByIndex"
    return [part for index, part in enumerate(places) if did(nvml, function, handle, index, ctypes.byref(part))]


def uuid(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> str:
    text = ctypes.create_string_buffer(96)
    return text.value.decode(errors="replace") if did(nvml, "nvmlDeviceGetUUID", handle, text, 96) else ""


def holders(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> list[dict[str, Any]]:
    """The processes that compute or draw on this GPU, and hold memory of a size that is known."""
    found: dict[int, dict[str, Any]] = {}
    for function in ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"):
        count, processes = ctypes.c_uint(_MOST_PROCESSES), (Process * _MOST_PROCESSES)()
        if did(nvml, function, handle, ctypes.byref(count), processes):
            for process in processes[: count.value]:
                if process.memory != _NOT_KNOWN:
                    name = process_name(nvml, process.pid)
                    found[process.pid] = {"pid": process.pid, "name": name, "memory_bytes": process.memory}
    return list(found.values())


def process_name(nvml: ctypes.CDLL, pid: int) -> str:
    """The program's name without its folder, which is its user's."""
    text = ctypes.create_string_buffer(1024)
    if not did(nvml, "nvmlSystemGetProcessName", pid, text, 1024):
        return ""
    words = text.value.decode(errors="replace").split()
    return words[0].rpartition("/")[2] if words else ""


def fabric(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> int | None:
    room = ctypes.create_string_buffer(_ROOM)
    return room.raw[_FABRIC_STATE_AT] if did(nvml, "nvmlDeviceGetGpuFabricInfo", handle, room) else None


def licensed(nvml: ctypes.CDLL, handle: ctypes.c_void_p) -> int | None:
    """Whether a virtual GPU has its licence; None for one that needs none."""
    room = ctypes.create_string_buffer(_ROOM)
    if not did(nvml, "nvmlDeviceGetGridLicensableFeatures_v4", handle, room):
        return None
    is_supported, _count, _code, state = struct.unpack_from(_LICENCES, room)
    return int(state > 0) if is_supported else None


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
