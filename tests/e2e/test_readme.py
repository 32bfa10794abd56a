"""README.md is executed, word by word, with the installed wheel; the hubs in it are simulated ones."""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelfetch.config.load import load_built_in
from modelfetch.errors import DoctorError
from tests.installed import scripts
from tests.meta.readme import READMES, Step, commands, masked, steps
from tests.models import smollm2_folder
from tests.simulator import FakeHub

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

# Version 3, no tensors, no values: `verify` opens it.
_EMPTY_GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + bytes(8)

# What vllm is told to serve must be a folder with a model in it.
_VLLM = '#!/bin/sh\n[ "$1" = serve ] && [ -f "$2/config.json" ]\n'


@dataclass
class Reader:
    """Somebody who types what the README says, in a home of their own, where the world's addresses are simulated."""

    home: Path
    environment: dict[str, str]
    world: dict[str, str]
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    def do(self, step: Step) -> str:
        """Carry out one step and return all that it printed."""
        text = step.command
        for address, here in self.world.items():
            text = text.replace(address, here)
        if step.language == "python":
            return self._run("env", "HF_HUB_OFFLINE=1", "python", "-W", "ignore", "-c", text)
        if re.match(r"modelfetch serve\b", text):
            return self._serve(text)
        return self._run("bash", "-euo", "pipefail", "-c", text)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        accepted = {0, DoctorError.exit_status} if "doctor" in command[-1] else {0}
        assert done.returncode in accepted, f"{command[-1]}\n{done.stdout}"
        return done.stdout

    def _serve(self, command: str) -> str:
        server = subprocess.Popen(
            command.split(),
            cwd=self.home,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.servers.append(server)
        assert server.stdout is not None
        return server.stdout.readline()


@pytest.fixture
def reader(own_environment: Path, tmp_path: Path) -> Iterator[Reader]:
    (tmp_path / "vllm").write_text(_VLLM, encoding="utf-8")
    (tmp_path / "vllm").chmod(0o755)
    port = str(_free_port())
    repos = _repos(smollm2_folder(tmp_path / "smollm2"))
    with FakeHub(repos) as hub, FakeHub(repos) as other:
        environment = _environment(own_environment, tmp_path, {"huggingface": hub.url, "modelscope": other.url})
        world = {"https://hf-mirror.com": hub.url, "192.168.1.7:8090": f"127.0.0.1:{port}", "8090": port}
        reader = Reader(own_environment, environment, world)
        try:
            yield reader
        finally:
            for server in reader.servers:
                server.terminate()
                server.communicate()


def test_the_readme_does_what_it_says(reader: Reader) -> None:
    for step in steps("README.md"):
        printed = reader.do(step)
        if step.shown is not None:
            assert masked(printed, reader.home) == masked(step.shown, reader.home), step.command


def test_both_readmes_tell_to_type_the_same() -> None:
    first, *others = map(commands, READMES)
    assert all(other == first for other in others)


def _repos(smollm2: Path) -> dict[str, dict[str, bytes | Path]]:
    card = b"---\nlicense: apache-2.0\nlibrary_name: transformers\n---\n"
    small: dict[str, bytes | Path] = {"README.md": card}
    small |= {path.name: path.read_bytes() for path in smollm2.iterdir() if path.suffix != ".safetensors"}
    return {
        "HuggingFaceTB/SmolLM2-135M-Instruct": {**small, "model.safetensors": smollm2 / "model.safetensors"},
        "Qwen/Qwen3-0.6B": small,
        "bartowski/Qwen2.5-7B-Instruct-GGUF": {
            "Qwen2.5-7B-Instruct-Q4_K_M.gguf": _EMPTY_GGUF,
            "Qwen2.5-7B-Instruct-Q8_0.gguf": _EMPTY_GGUF,
        },
    }


def _environment(home: Path, programs: Path, urls: Mapping[str, str]) -> dict[str, str]:
    """PATH and HOME, and every built-in endpoint at the simulated hub that speaks as it does."""
    mirrors = home / ".config/modelfetch/mirrors.yaml"
    mirrors.parent.mkdir(parents=True)
    built_in = load_built_in({"HOME": str(home)}).endpoints
    entries = [f"  {endpoint.name}: {{hub: {endpoint.hub}, url: '{urls[endpoint.hub]}'}}" for endpoint in built_in]
    mirrors.write_text("\n".join(["version: 1", "endpoints:", *entries, ""]), encoding="utf-8")
    path = [str(scripts()), str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {"PATH": os.pathsep.join(path), "HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
