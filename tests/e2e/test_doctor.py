"""Doctor as a process of its own: that it imports nothing heavy, dies of nothing, and tries a real torch."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelfetch.diagnosis.tables import build_capabilities, runs_on, version

REPOSITORY = Path(__file__).parents[2]

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is an extra")


def modelfetch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "modelfetch", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def findings(*arguments: str, **environment: str) -> dict[str, Any]:
    told = json.loads(modelfetch("doctor", "--json", *arguments, **environment).stdout)
    return {finding["name"]: finding for finding in told["findings"]}


def test_this_machine_is_examined_offline_without_a_crash_and_without_importing_torch() -> None:
    spy = (
        "import sys\n"
        "from modelfetch.cli import run\n"
        "run(['doctor', '--offline', '--json'])\n"
        "heavy = {'torch', 'transformers', 'huggingface_hub', 'modelscope_hub', 'modelscope', 'psutil', 'pynvml'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or None)\n"
    )
    done = subprocess.run([sys.executable, "-c", spy], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert [finding["name"] for finding in told["findings"] if finding["severity"] == "crashed"] == []


def test_doctor_works_where_nothing_but_what_it_needs_is_installed(tmp_path: Path) -> None:
    for name in ("click", "yaml", "platformdirs", "packaging"):
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        (tmp_path / name).symlink_to(Path(spec.origin).parent)
    done = subprocess.run(
        [sys.executable, "-S", "-m", "modelfetch", "doctor", "--offline", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert "torch.absent" in told
    assert "crashed" not in {finding["severity"] for finding in told.values()}


def test_a_real_environment_of_another_python_is_told_by_it_and_when_its_python_is_gone_by_its_files(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    (site / "torch-2.4.1.dist-info").mkdir()
    (site / "torch-2.4.1.dist-info/METADATA").write_text("Name: torch\nVersion: 2.4.1\nRequires-Dist: sympy\n")
    arguments = ("python", "--offline", "--python", str(folder))
    uv = tmp_path / "bin/uv"
    uv.parent.mkdir()
    uv.touch(0o755)
    told = findings(*arguments, PATH=f"{uv.parent}{os.pathsep}{os.environ['PATH']}")
    python = folder / "bin/python"
    assert f"`{python}`" in told["interpreter"]["title"]
    assert told["packages"]["evidence"]["versions"] == {"torch": "2.4.1"}
    assert told["torch.nvidia-libs"]["fix"] == [f'uv pip install --python "{python}" "sympy"']
    for link in folder.glob("bin/python*"):
        link.unlink()
    python.symlink_to(tmp_path / "gone/python3")
    broken = findings(*arguments)
    assert broken["py.broken"]["severity"] == "error"
    assert broken["packages"]["evidence"]["versions"] == {"torch": "2.4.1"}


def test_a_terminal_without_unicode_gets_plain_signs() -> None:
    done = modelfetch("doctor", "settings", "--offline", PYTHONIOENCODING="ascii")
    assert done.stdout.startswith("[+] settings ")


@pytest.mark.e2e
@needs_torch
def test_a_real_torch_is_imported_and_tried_in_a_child() -> None:
    finding = findings("--deep", "trial", "torch")["trial"]
    assert finding["severity"] == "ok"
    assert finding["title"].startswith("torch ")


@pytest.mark.e2e
@needs_torch
def test_what_a_gpu_is_tried_with_runs_on_the_cpu_of_a_real_torch() -> None:
    script = (
        "import json, torch\n"
        "from modelfetch.diagnosis.child.torch_trial import copied_per_s, product_differs\n"
        "print(json.dumps([product_differs(torch, 'cpu'), copied_per_s(torch, 'cpu', is_pinned=False)]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=300
    )
    difference, bytes_per_s = json.loads(done.stdout)
    assert difference == 0
    assert 1e6 < bytes_per_s < 1e13


@pytest.mark.e2e
@needs_torch
def test_a_torch_that_cannot_be_imported_is_told_with_its_error(tmp_path: Path) -> None:
    broken = tmp_path / "torch"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('libx.so: undefined symbol: ncclCommWindow')\n")
    (broken / "version.py").write_text("__version__ = '2.14.0'\ncuda = None\n")
    finding = findings("--deep", "trial", PYTHONPATH=f"{tmp_path}{os.pathsep}{REPOSITORY}")["torch.import"]
    assert "undefined symbol" in finding["title"]
    assert finding["advice"] == "Its parts are of different builds."


@pytest.mark.e2e
@needs_torch
def test_which_code_runs_on_which_gpu_is_what_torch_says_itself() -> None:
    """torch's own tables against ours: every pair of code and device, and what each of its builds holds."""
    script = (
        "import json, torch.cuda as c; devices = [*c.DEVICE_REQUIREMENT]\n"
        "pairs = [[a, b, b in c.DEVICE_REQUIREMENT[a]] for a in devices for b in devices]\n"
        "builds = [[x, y, sorted(z)] for x, by in c.PYTORCH_RELEASES_CODE_CC.items() for y, z in by.items()]\n"
        "print(json.dumps([pairs, builds]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pairs, builds = json.loads(done.stdout)
    assert len(pairs) > 300
    assert [(code, device) for code, device, runs in pairs if runs_on(code, device) is not runs] == []
    assert len(builds) > 5
    for cuda, architecture, capabilities in builds:
        assert build_capabilities(version(cuda), architecture) == tuple(capabilities), (cuda, architecture)
