"""Which package a quantised checkpoint needs before transformers can load it. Decides only.

- A method that transformers does not know is never loaded: it would skip it with a warning and run garbage.
- A method whose package is absent is named with the package, and is no failure of the model.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelfetch.model.contents import NotExercised


@dataclass(frozen=True)
class Backend:
    """What one method needs: modules that can be imported, and what to install for them."""

    modules: tuple[str, ...]
    install: str


# As transformers 5.17 to 5.23 ask for them. Methods that are not here need nothing but accelerate, or dequantise.
BACKENDS: Mapping[str, Backend] = {
    "aqlm": Backend(("aqlm",), "aqlm[gpu,cpu]"),
    "auto-round": Backend(("auto_round",), "auto-round>=0.5"),
    "awq": Backend(("gptqmodel",), "gptqmodel"),
    "bitsandbytes": Backend(("bitsandbytes",), "bitsandbytes>=0.46.1"),
    "compressed-tensors": Backend(("compressed_tensors",), "compressed-tensors>=0.15"),
    "eetq": Backend(("kernels",), "kernels"),
    "gptq": Backend(("optimum", "gptqmodel"), "optimum gptqmodel"),
    "hqq": Backend(("hqq",), "hqq>=0.2.1"),
    "quanto": Backend(("optimum",), "optimum-quanto"),
    "spqr": Backend(("spqr_quant",), "spqr_quant[gpu]"),
    "torchao": Backend(("torchao",), "torchao"),
    "vptq": Backend(("vptq",), "vptq>=0.0.4"),
}
MODULES = frozenset(module for backend in BACKENDS.values() for module in backend.modules) | {"gguf", "accelerate"}
OTHER_ENGINES = "serve it with the engine it was made for: vLLM, SGLang, TensorRT-LLM or ExLlama"


def method_of(config: Mapping[str, Any]) -> str | None:
    """The name of the quantisation that a config.json declares, None for a plain model."""
    declared = config.get("quantization_config") or config.get("compression_config")
    if not isinstance(declared, dict):
        return None
    return str(declared.get("quant_method") or ("bitsandbytes" if "load_in_4bit" in declared else "unnamed"))


def refusal(method: str, known: frozenset[str], packages: frozenset[str]) -> NotExercised | None:
    """Why a checkpoint quantised by `method` cannot be loaded here, None where it can be tried."""
    if known and not any(each == method or each.startswith(f"{method}_") for each in known):
        return NotExercised(
            "quantisation-unknown",
            f"transformers does not know the quantisation `{method}` and would load the weights as if they were plain",
            OTHER_ENGINES,
            {"quant_method": method},
        )
    backend = BACKENDS.get(method)
    absent = [module for module in backend.modules if module not in packages] if backend else []
    if backend and absent:
        return NotExercised(
            "quantisation-backend",
            f"the weights are quantised with `{method}`, which needs a package that is not installed",
            f"pip install {shlex.join(backend.install.split())}",
            {"quant_method": method, "not installed": ", ".join(absent)},
        )
    return None
