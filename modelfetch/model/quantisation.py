"""Which package a quantised checkpoint needs before transformers can load it. Decides only.

- A method that transformers does not know is never loaded: it would skip it with a warning and run garbage.
- A method whose package is absent or too old is named with the package, and is no failure of the model.
- What transformers makes plain weights of, where there is no GPU for it, takes the memory of plain weights.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modelfetch.model.contents import NotExercised
from modelfetch.model.headers import Tensor
from modelfetch.model.sizes import text_config

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?.*")


@dataclass(frozen=True)
class Package:
    """One that a method needs: the module that can be imported, and what pip is asked for."""

    module: str
    requirement: str

    @property
    def distribution(self) -> str:
        """The name it is installed under."""
        matched = _REQUIREMENT.fullmatch(self.requirement)
        assert matched is not None
        return matched.group(1)

    def is_new_enough(self, version: str) -> bool:
        """Whether `version` will do. Letters, as in `2.1rc1`, are passed over."""
        matched = _REQUIREMENT.fullmatch(self.requirement)
        wanted = matched.group(2) if matched else None
        return wanted is None or _numbers(version) >= _numbers(wanted)


_ACCELERATE = Package("accelerate", "accelerate>=1.1")
_KERNELS = Package("kernels", "kernels>=0.18.2,<0.19")
_GGUF = Package("gguf", "gguf>=0.10")
# As transformers 5.17 to 5.23 ask for them.
BACKENDS: Mapping[str, tuple[Package, ...]] = {
    "aqlm": (Package("aqlm", "aqlm[gpu,cpu]"), _ACCELERATE),
    "auto-round": (Package("auto_round", "auto-round>=0.5"),),
    "awq": (Package("gptqmodel", "gptqmodel"), _ACCELERATE),
    "bitnet": (_ACCELERATE,),
    "bitsandbytes": (Package("bitsandbytes", "bitsandbytes>=0.46.1"), _ACCELERATE),
    "compressed-tensors": (Package("compressed_tensors", "compressed-tensors>=0.15"),),
    "eetq": (_KERNELS, _ACCELERATE),
    "fbgemm_fp8": (Package("fbgemm_gpu", "fbgemm-gpu"), _ACCELERATE),
    "fouroversix": (Package("fouroversix", "fouroversix"),),
    "fp8": (_ACCELERATE,),
    "fp_quant": (Package("fp_quant", "fp_quant>=0.3.2"),),
    "gptq": (Package("optimum", "optimum>=1.24"), Package("gptqmodel", "gptqmodel>=1.4.3")),
    "higgs": (
        Package("flute", "flute-kernel>=0.4.1"),
        Package("fast_hadamard_transform", "fast_hadamard_transform"),
        _ACCELERATE,
    ),
    "hqq": (Package("hqq", "hqq>=0.2.1"),),
    "mxfp4": (_ACCELERATE,),
    "mxfp8": (_ACCELERATE,),
    "quanto": (Package("optimum", "optimum-quanto"), _ACCELERATE),
    "quark": (Package("quark", "amd-quark>=0.12"),),
    "sinq": (Package("sinq", "sinq"),),
    "spqr": (Package("spqr_quant", "spqr_quant[gpu]"), _ACCELERATE),
    "torchao": (Package("torchao", "torchao>=0.15"),),
    "vptq": (Package("vptq", "vptq>=0.0.4"), _ACCELERATE),
}
PACKAGES = frozenset(package for each in BACKENDS.values() for package in each) | {_GGUF, _ACCELERATE}
MODULES = frozenset(package.module for package in PACKAGES)
OTHER_ENGINES = "serve it with the engine it was made for: vLLM, SGLang, TensorRT-LLM or ExLlama"
# transformers makes these by itself, and reads none that were made before.
_NEVER_READ = frozenset({"nvfp4"})


def method_of(config: Mapping[str, Any]) -> str | None:
    """The name of the quantisation that a config.json declares, None for a plain model."""
    parts = (config, text_config(config))
    names = ("quantization_config", "compression_config")
    declared = next((part[name] for part in parts for name in names if isinstance(part.get(name), dict)), None)
    if isinstance(config.get("quantization"), dict) and "quant_method" not in (declared or {}):
        # mlx-lm writes it under this name, and under the other as well.
        return "mlx"
    if declared is None:
        return None
    is_bitsandbytes = "load_in_4bit" in declared or "load_in_8bit" in declared
    return str(declared.get("quant_method") or ("bitsandbytes" if is_bitsandbytes else "unnamed"))


def refusal(method: str, known: frozenset[str], packages: frozenset[str]) -> NotExercised | None:
    """Why a checkpoint quantised by `method` cannot be loaded here, None where it can be tried."""
    if method == "mlx":
        return _unknown(method, "the weights are quantised for MLX", "run it with mlx-lm, on an Apple machine")
    if method in _NEVER_READ:
        return _unknown(method, f"transformers reads no weights that are quantised with `{method}` already")
    if known and not any(each == method or each.startswith(f"{method}_") for each in known):
        return _unknown(
            method,
            f"transformers does not know the quantisation `{method}` and would load the weights as if they were plain",
        )
    absent = [package for package in BACKENDS.get(method, ()) if package.module not in packages]
    if not absent:
        return None
    wanted = [package.requirement for package in absent]
    return NotExercised(
        "quantisation-backend",
        f"the weights are quantised with `{method}`, which needs {' and '.join(f'`{each}`' for each in wanted)}",
        f"pip install {shlex.join(wanted)}",
        {"quant_method": method, "not installed, or too old": ", ".join(package.module for package in absent)},
    )


def plain_bytes(method: str, tensors: Iterable[Tensor]) -> int | None:
    """What the weights take where transformers makes bfloat16 of them: it does so on a CPU. None where it does not."""
    if method not in {"fp8", "mxfp8", "mxfp4"}:
        return None
    return sum(_plain_bytes(tensor) for tensor in tensors)


def _plain_bytes(tensor: Tensor) -> int:
    if tensor.dtype.startswith("F8_E"):
        return 2 * tensor.elements
    # Two weights of four bits are in a byte of a block.
    return 4 * tensor.elements if tensor.name.endswith("_blocks") else tensor.size_bytes


def _unknown(method: str, reason: str, hint: str = OTHER_ENGINES) -> NotExercised:
    return NotExercised("quantisation-unknown", reason, hint, {"quant_method": method})


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])
