"""What every test stands on: a home of its own, no setting from outside, loopback only, a small model's files."""

from __future__ import annotations

import ipaddress
import json
import os
import random
import signal
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

_FOREIGN_PREFIXES = ("HF_", "HUGGINGFACE_", "HUGGING_FACE_", "MODELSCOPE_", "MODELFETCH_", "XDG_", "TRANSFORMERS_")
_FOREIGN_NAMES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "VLLM_USE_MODELSCOPE", "SGLANG_USE_MODELSCOPE"}
_FOREIGN_NAMES |= {"COLUMNS", "LINES"}  # of the terminal that the tests were started from

# A busy machine takes longer over an example than hypothesis allows, and no test is one of speed.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A shell has what it starts in the background ignore Ctrl-C, and so does all that this starts: no test of it would end.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of the test's own, which is returned; every variable that steers modelfetch or a hub's client is gone."""
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.upper() in _FOREIGN_NAMES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / ".local/share"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".local/state"))
    monkeypatch.setenv("MODELFETCH_HOME", str(home / "modelfetch"))
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    return home


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection or a look-up of a name that leaves this machine fails the test at once."""
    real_connect, real_look_up = socket.socket.connect, socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(address[0]):
            raise AssertionError(f"a test tried to connect to {address}")
        real_connect(self, address)

    def look_up(host: Any, *args: Any, **options: Any) -> Any:
        if not _is_loopback(host):
            raise socket.gaierror(socket.EAI_NONAME, f"a test tried to look up {host!r}")
        return real_look_up(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def _is_loopback(host: Any) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost", "0.0.0.0", "::"}:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def model_files() -> dict[str, bytes]:
    """A small plausible model: weights of a few MiB as safetensors, the same again as `.bin`, and small files."""
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "vocab_size": 256}
    tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}
    card = "---\nlicense: apache-2.0\nlanguage: en\n---\n\n# Tiny\n\nA model that nobody trained.\n"
    weights = random.Random(20260731).randbytes(3 * 1024 * 1024)
    return {
        ".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n",
        "README.md": card.encode(),
        "config.json": json.dumps(config, indent=2).encode(),
        "model.safetensors": safetensors_bytes({"model.embed_tokens.weight": weights}),
        "pytorch_model.bin": weights,
        "tokenizer.json": json.dumps(tokenizer).encode(),
    }


def safetensors_bytes(tensors: dict[str, bytes]) -> bytes:
    """A safetensors file of one-dimensional tensors of bytes: length of the header, header, data."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, data in tensors.items():
        header[name] = {"dtype": "U8", "shape": [len(data)], "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + b"".join(tensors.values())
