"""The report that may be shown to anybody: it holds what helps, and nothing of whose machine it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelfetch.cli import run
from modelfetch.config import load
from modelfetch.diagnosis import Finding, Severity, doctor
from modelfetch.diagnosis.anonymous import Private, anonymous
from modelfetch.diagnosis.report import report
from modelfetch.store import Store
from tests.conftest import safetensors_bytes
from tests.other_tools import huggingface_cache, write
from tests.stored import bring, manifest_of
from tests.unit.doctor_machine import FakeMachine

PRIVATE = Private(("maria", "box-17"), frozenset({"huggingface.co"}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the token hf_abcdefghijkl is", "the token [redacted] is"),
        ("in `/home/maria/My Models/x`", "in `PATH`"),
        ("in /home/maria/x, and ~/y", "in PATH, and PATH"),
        ("export LD_LIBRARY_PATH=/opt/lab/a:/opt/lab/b", "export LD_LIBRARY_PATH=PATH:PATH"),
        ("`C:\\Users\\maria\\x`", "`PATH`"),
        ('sudo chown -R "$(id -un)" "/data/own lab"', 'sudo chown -R "$(id -un)" "PATH"'),
        ("`/usr/lib/x86_64-linux-gnu/libcuda.so.1`", "`/usr/lib/x86_64-linux-gnu/libcuda.so.1`"),
        ("no `/dev/nvidia-uvm`", "no `/dev/nvidia-uvm`"),
        ("from https://huggingface.co/api", "from https://huggingface.co/api"),
        ("from https://me:pw@hub.lab.example:8443/x?y=1", "from URL"),
        ("https://pypi.lab.example/simple, which is set (by https://a.lab.example/b).", "URL, which is set (by URL)."),
        ("no name (hub.lab.example: unknown)", "no name (HOST: unknown)"),
        ("no name (huggingface.co: unknown)", "no name (huggingface.co: unknown)"),
        ("`hub.lab.example` refuses", "`NAME` refuses"),
        ("`lab/secret-7b` cannot be run", "`NAME` cannot be run"),
        ("process 7 of maria on box-17", "process 7 of NAME on NAME"),
        ("maria@lab.example at 10.1.2.3 and fe80::1:2:3", "MAIL at ADDRESS and ADDRESS"),
        ("`MIG-0f8fad5b-d9cb-469f-a165-70867728950e`", "`MIG-UUID`"),
        ("CUDA_VISIBLE_DEVICES=`GPU-0f8fad5b`", "CUDA_VISIBLE_DEVICES=`GPU-UUID`"),
        ("torch 2.14.0+cu130 needs driver 580.95.05", "torch 2.14.0+cu130 needs driver 580.95.05"),
        ("`libcuda.so.1` and `config.json`", "`libcuda.so.1` and `config.json`"),
    ],
)
def test_what_tells_whose_machine_it_is_goes_and_the_rest_stays(text: str, shown: str) -> None:
    assert anonymous(text, PRIVATE) == shown


@given(
    st.text(alphabet="abc/ .:`~"), st.sampled_from(["/home/maria/x", "https://hub.lab.example/x", "hf_abcdefghijkl"])
)
def test_no_text_around_it_saves_a_secret(text: str, secret: str) -> None:
    shown = anonymous(f"{text} {secret} {text}", PRIVATE)
    assert not re.search("maria|lab.example|abcdefghijkl", shown)


def test_a_report_of_a_machine_full_of_secrets_holds_none(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path).with_gpu(module=None).with_torch("2.14.0+cu130", cuda="13.0")
    fake.write("etc/hostname", "box-17\n")
    transformers = fake.site / "transformers"
    write(transformers / "__init__.py", b"")
    write(transformers / "models/auto/auto_mappings.py", b'CONFIG_MAPPING_NAMES = {"llama": "LlamaConfig"}\n')
    weights = {"model.safetensors": safetensors_bytes({"a.weight": bytes(400)}), "tokenizer.json": b"{}"}
    for number, config in enumerate((b"<!DOCTYPE html>", b'{"model_type": "new", "transformers_version": "9.9"}')):
        files = {**weights, "config.json": config}
        huggingface_cache(tmp_path / "hub", files, repo=f"ourlab/secret-{number}")
        bring(Store.open(fake.home / "store"), files, manifest_of(files, repo=f"ourlab/stored-{number}"))
    environment = {
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "VIRTUAL_ENV": "/home/maria/venv",
        "PYTHONPATH": "/home/maria/code",
        "CUDA_VISIBLE_DEVICES": "GPU-0f8fad5b",
        "ALL_PROXY": "socks5h://10.1.2.3:1080",
        "MODELSCOPE_API_TOKEN": "ms-01234567-89ab-cdef-0123-456789abcdef",
        "USER": "maria",
        "HF_TOKEN": "hf_secretsecret",
        "HF_ENDPOINT": "https://hub.lab.example",
        "HTTPS_PROXY": "http://maria:hunter2@proxy.lab.example:3128",
        "http_proxy": "http://[inner.lab.example",
        "SSL_CERT_FILE": "/home/maria/lab-ca.pem",
        "PIP_INDEX_URL": "https://maria:hunter2@pypi.lab.example/simple",
        "CUDA_HOME": "/home/maria/cuda",
    }
    machine = fake.machine(**environment)
    settings = load(machine.environment)
    written = report(doctor(offline=True, machine=machine), machine, settings, ["modelfetch 1 on box-17"])
    secrets = f"maria|box-17|lab.example|lab-ca|hunter2|secretsecret|ourlab|0f8fad|01234567|10.1.2|{tmp_path.name}"
    assert not re.search(secrets, written)
    assert written.count("- mend: `modelfetch verify NAME --repair`") == 1
    assert written.count("- mend: `modelfetch pull NAME`") == 1
    assert "## error: gpu.pci-no-driver" in written
    assert "- mend: `sudo ubuntu-drivers install && sudo reboot`" in written
    assert "SSL_CERT_FILE names `PATH`, which is not there" in written


def test_only_figures_and_versions_of_the_evidence_are_told(tmp_path: Path) -> None:
    fake = FakeMachine(tmp_path)
    finding = Finding("a", Severity.WARNING, "it is", {"free_bytes": 7, "path": "/x", "made_up": "secret"})
    machine = fake.machine()
    written = report([finding], machine, load(machine.environment), [])
    assert "- free_bytes: 7" in written
    assert "secret" not in written


def test_the_command_writes_it_and_keeps_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    file = tmp_path / "doctor.md"
    assert run(["doctor", "settings", "--offline", "--report", str(file)]) == 11
    assert "## error: net.ca" in file.read_text()
    assert "the report is in" in capsys.readouterr().err
    assert run(["doctor", "settings", "--offline", "--report", str(tmp_path / "no/such/file")]) == 3
