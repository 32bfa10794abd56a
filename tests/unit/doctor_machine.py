"""Made-up machines for doctor: trees of /sys, /proc and /dev, site-packages folders, and NVIDIA's libraries in C.

The libraries answer what the variables FAKE_CUDA_* and FAKE_NVML_* say, so that every failure of a driver is a line of
data in a test.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from modelfetch.diagnosis import Finding, Machine, doctor
from modelfetch.diagnosis.machine import Interpreter

LIBCUDA = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int number(const char *name, int otherwise) { char *v = getenv(name); return v ? atoi(v) : otherwise; }
int cuDriverGetVersion(int *v) { *v = number("FAKE_CUDA_API", 13000); return 0; }
int cuInit(unsigned flags) {
    char *act = getenv("FAKE_CUDA_ACT");
    (void)flags;
    if (act && !strcmp(act, "abort")) abort();
    if (act && !strcmp(act, "hang")) for (;;) sleep(1000);
    return number("FAKE_CUDA_INIT", 0);
}
int cuDeviceGetCount(int *n) { *n = number("FAKE_CUDA_COUNT", 1); return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return 0; }
int cuDeviceGetName(char *s, int n, int d) { (void)d; strncpy(s, "NVIDIA H100 80GB HBM3", n); return 0; }
int cuDeviceGetAttribute(int *v, int a, int d) {
    int c = number("FAKE_CUDA_CAPABILITY", 90);
    (void)d;
    *v = a == 75 ? c / 10 : c % 10;
    return 0;
}
int cuDeviceTotalMem_v2(size_t *b, int d) { (void)d; *b = 85000000000ul; return 0; }
"""

LIBNVML = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct memory { unsigned long long total, free, used; };
static int number(const char *name, int otherwise) { char *v = getenv(name); return v ? atoi(v) : otherwise; }
int nvmlInit_v2(void) {
    if (getenv("FAKE_NVML_ABORT")) abort();
    return number("FAKE_NVML_INIT", 0);
}
int nvmlSystemGetDriverVersion(char *s, unsigned n) {
    char *v = getenv("FAKE_DRIVER");
    strncpy(s, v ? v : "580.95.05", n);
    return 0;
}
int nvmlDeviceGetCount_v2(unsigned *n) { *n = number("FAKE_NVML_COUNT", 1); return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **h) {
    if ((int)i == number("FAKE_LOST", -1)) return number("FAKE_LOST_CODE", 15);
    *h = (void *)(size_t)(i + 1);
    return 0;
}
int nvmlDeviceGetName(void *h, char *s, unsigned n) {
    int second = (size_t)h == 2 && getenv("FAKE_SECOND_NAME");
    strncpy(s, second ? getenv("FAKE_SECOND_NAME") : "NVIDIA H100 80GB HBM3", n);
    return 0;
}
int nvmlDeviceGetMemoryInfo(void *h, struct memory *m) {
    (void)h;
    m->total = 85000000000ull;
    m->used = 1000000ull * number("FAKE_NVML_USED_MB", 0);
    m->free = m->total - m->used;
    return 0;
}
/* Absent, as in an old driver or on a GPU without the feature, unless the variable is set. */
static int told(const char *name, unsigned *value) {
    if (!getenv(name)) return 3;
    *value = number(name, 0);
    return 0;
}
int nvmlDeviceGetMigMode(void *h, unsigned *now, unsigned *later) { (void)h; *later = 0; return told("FAKE_MIG", now); }
int nvmlDeviceGetMaxMigDeviceCount(void *h, unsigned *n) { (void)h; *n = 7; return 0; }
int nvmlDeviceGetMigDeviceHandleByIndex(void *h, unsigned i, void **part) {
    (void)h;
    *part = (void *)(size_t)(1000 + i);
    return (int)i < number("FAKE_MIG_PARTS", 0) ? 0 : 6;
}
int nvmlDeviceGetTotalEccErrors(void *h, int type, int counter, unsigned long long *n) {
    unsigned found = 0;
    int code = told(counter ? "FAKE_ECC_EVER" : "FAKE_ECC", &found);
    (void)h; (void)type;
    *n = found;
    return code;
}
int nvmlDeviceGetRemappedRows(void *h, unsigned *a, unsigned *b, unsigned *pending, unsigned *failed) {
    (void)h;
    *a = *b = 0;
    *failed = number("FAKE_ROWS_FAILED", 0);
    return told("FAKE_ROWS_PENDING", pending);
}
int nvmlDeviceGetCurrentClocksThrottleReasons(void *h, unsigned long long *why) {
    unsigned found = 0;
    int code = told("FAKE_SLOWED", &found);
    (void)h;
    *why = found;
    return code;
}
int nvmlDeviceGetCurrPcieLinkWidth(void *h, unsigned *n) { (void)h; return told("FAKE_LANES", n); }
int nvmlDeviceGetMaxPcieLinkWidth(void *h, unsigned *n) { (void)h; *n = 16; return 0; }
int nvmlDeviceGetPersistenceMode(void *h, unsigned *on) { (void)h; *on = number("FAKE_PERSISTENCE", 1); return 0; }
int nvmlDeviceGetVirtualizationMode(void *h, unsigned *mode) { (void)h; return told("FAKE_VIRTUAL", mode); }
int nvmlDeviceGetGridLicensableFeatures_v4(void *h, unsigned *features) {
    (void)h;
    features[0] = features[1] = 1;
    features[2] = 2;
    return told("FAKE_LICENSED", &features[3]);
}
int nvmlDeviceGetGpuFabricInfo(void *h, unsigned char *info) {
    unsigned state = 0;
    int code = told("FAKE_FABRIC", &state);
    (void)h;
    info[24] = (unsigned char)state;
    return code;
}
/* FAKE_UUID is how the UUIDs of all GPUs begin; a part's ends in its number, too. */
int nvmlDeviceGetUUID(void *h, char *s, unsigned n) {
    size_t i = (size_t)h;
    if (!getenv("FAKE_UUID")) return 3;
    snprintf(s, n, "%s-%s-%zu", i < 1000 ? "GPU" : "MIG", getenv("FAKE_UUID"), i < 1000 ? i - 1 : i - 1000);
    return 0;
}
struct process { unsigned pid; unsigned long long used; unsigned gpu, compute; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, struct process *found) {
    (void)h;
    *n = 0;
    if (!getenv("FAKE_HOLDER_MB")) return 0;
    *n = 2;
    found[0].pid = 12;
    found[0].used = ~0ull;
    found[1].pid = 4711;
    found[1].used = 1000000ull * number("FAKE_HOLDER_MB", 0);
    return 0;
}
int nvmlSystemGetProcessName(unsigned pid, char *s, unsigned n) {
    (void)pid;
    strncpy(s, "/home/somebody/env/bin/python3 serve.py", n);
    return getenv("FAKE_OTHER_NAMESPACE") ? 6 : 0;
}
int nvmlDeviceGetComputeMode(void *h, int *mode) { (void)h; *mode = number("FAKE_NVML_MODE", 0); return 0; }
"""


def compile_library(source: str, target: Path) -> None:
    """Compile C into a shared library. The caller has made sure that there is a compiler."""
    target.parent.mkdir(parents=True, exist_ok=True)
    compiler = shutil.which("cc") or "gcc"
    command = [compiler, "-x", "c", "-shared", "-fPIC", "-O1", "-o", str(target), "-"]
    subprocess.run(command, input=source.encode(), check=True, capture_output=True)


class FakeMachine:
    """A machine under `folder`: its tree, its site-packages, and the libraries that its loader finds first."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.site = folder / "site-packages"
        self.libraries = self.root / "usr/lib/x86_64-linux-gnu"
        self.home = folder / "home"
        for made in (self.root, self.site, self.libraries, self.home):
            made.mkdir(parents=True)
        (self.site / "pip").mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "MODELFETCH_HOME": str(self.home / "store"),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "XDG_CONFIG_HOME": str(self.home / "config"),
            "LD_LIBRARY_PATH": str(self.libraries),
        }

    def write(self, path: str, text: str = "") -> Path:
        """A file of the tree."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def with_gpu(self, *, module: str | None = "580.95.05", bound: str | None = "nvidia") -> FakeMachine:
        """A GPU on the bus, with its kernel module and nodes unless `module` is None."""
        device = "sys/bus/pci/devices/0000:17:00.0"
        self.write(f"{device}/vendor", "0x10de\n")
        self.write(f"{device}/class", "0x030200\n")
        if bound:
            driver = self.root / "sys/bus/pci/drivers" / bound
            driver.mkdir(parents=True)
            (self.root / device / "driver").symlink_to(driver)
        if module:
            self.write("sys/module/nvidia/version", f"{module}\n")
            for node in ("nvidia0", "nvidiactl", "nvidia-uvm"):
                self.write(f"dev/{node}")
        return self

    def with_package(self, name: str, version: str, *requirements: str) -> FakeMachine:
        """An installed package's metadata."""
        folder = self.site / f"{name}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        return self

    def with_torch(self, release: str, *, cuda: str | None, hip: str | None = None) -> FakeMachine:
        """The files of a torch that doctor reads, and none that could be imported."""
        folder = self.site / "torch"
        (folder / "lib").mkdir(parents=True)
        (folder / "cuda").mkdir()
        (folder / "__init__.py").write_text("raise SystemExit('doctor must not import this')\n")
        (folder / "version.py").write_text(
            "from typing import Optional\n"
            f"__version__ = {release!r}\ndebug = False\ncuda: Optional[str] = {cuda!r}\nhip: Optional[str] = {hip!r}\n"
        )
        table = {"12.6": {"x86_64": {50, 60, 70, 75, 80, 86, 90}}, "13.0": {"x86_64": {75, 80, 86, 90, 100, 120}}}
        (folder / "cuda/__init__.py").write_text(f"PYTORCH_RELEASES_CODE_CC: dict = {table!r}\n")
        if cuda:
            (folder / "lib/libtorch_cuda.so").write_bytes(b"")
        return self.with_package("torch", release)

    def machine(self, **environment: str) -> Machine:
        return Machine(
            root=self.root,
            environment={**self.environment, **environment},
            import_folders=(self.site,),
            python=Path(sys.executable),
            architecture="x86_64",
            interpreter=Interpreter(platform.python_version(), Path(sys.prefix), sys.implementation.cache_tag),
        )


def found(fake: FakeMachine, *names: str, **environment: str) -> dict[str, Finding]:
    """What doctor finds on the machine, by name."""
    findings = doctor(names=names, offline=True, machine=fake.machine(**environment))
    return {finding.name: finding for finding in findings}


def errors(findings: dict[str, Finding]) -> set[str]:
    return {name for name, finding in findings.items() if finding.severity.is_error}
