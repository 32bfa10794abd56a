"""Packages that are there in parts, stand before others, or were built for others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelfetch.diagnosis import Severity
from tests.unit.doctor_machine import FakeMachine, errors, found


@pytest.fixture
def fake(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


def metadata_of(fake: FakeMachine, name: str) -> Path:
    return next(fake.site.glob(f"{name}-*.dist-info"))


def test_a_package_that_is_whole_or_not_there_at_all_is_well(fake: FakeMachine) -> None:
    assert set(found(fake, "wholeness")) == {"wholeness"}
    fake.with_torch("2.13.0+cpu", cuda=None)
    assert set(found(fake, "wholeness")) == {"wholeness"}


def test_files_that_are_gone_are_an_error_and_bring_back_the_same_build(fake: FakeMachine) -> None:
    (metadata_of(fake.with_package("torch", "2.13.0+cu130"), "torch") / "RECORD").write_text("torch/__init__.py,,1\n")
    told = found(fake, "wholeness", "torch")
    assert errors(told) == set(told) == {"py.half"}
    assert told["py.half"].title == "torch 2.13.0+cu130 is listed as installed, and its files are not there"
    (fix,) = told["py.half"].fix
    assert fix.startswith('python -m pip install --force-reinstall --no-deps "torch==2.13.0" --index-url https://')
    assert fix.endswith("/whl/cu130")


def test_a_package_whose_metadata_names_no_files_is_somewhere_else(fake: FakeMachine) -> None:
    (metadata_of(fake.with_package("torch", "2.13.0"), "torch") / "RECORD").write_text("__editable__torch.pth,,1\n")
    assert set(found(fake, "wholeness")) == {"wholeness"}


def test_a_removal_that_was_cut_short_is_an_error(fake: FakeMachine) -> None:
    (metadata_of(fake.with_torch("2.13.0+cpu", cuda=None), "torch") / "METADATA").unlink()
    finding = found(fake, "wholeness")["py.half"]
    assert finding.title == f"torch in `{fake.site}/torch` is no longer listed as installed"
    assert '"torch==2.13.0" --index-url https://download.pytorch.org/whl/cpu' in finding.fix[0]


def test_a_package_that_this_user_may_not_read_is_an_error(fake: FakeMachine) -> None:
    package = fake.with_torch("2.13.0+cpu", cuda=None).site / "torch"
    package.chmod(0)
    try:
        if os.access(package, os.X_OK):
            pytest.skip("nothing can be closed to this user")
        told = found(fake, "python")
    finally:
        package.chmod(0o700)
    assert errors(told) == {"py.closed"}
    assert told["py.closed"].fix == (f'sudo chmod -R a+rX "{fake.site}"',)


def test_packages_in_condas_older_form_are_installed_packages(fake: FakeMachine) -> None:
    folder = fake.site / "torch-2.5.1-py3.11.egg-info"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1\n")
    fake.with_package("torchvision", "0.20.1", "torch==2.5.1")
    assert set(found(fake, "requirements")) == {"requirements"}
    assert found(fake, "packages")["packages"].evidence["versions"] == {"torch": "2.5.1"}


@pytest.mark.parametrize(("torch", "numpy", "is_told"), [("2.2.2", "2.4.6", True), ("2.2.2", "1.26.4", False)])
def test_a_torch_that_was_built_for_another_numpy_is_a_warning(
    fake: FakeMachine, torch: str, numpy: str, *, is_told: bool
) -> None:
    told = found(fake.with_package("torch", torch).with_package("numpy", numpy), "packages")
    assert ("py.numpy" in told) is is_told
    if is_told:
        assert told["py.numpy"].severity is Severity.WARNING
        assert told["py.numpy"].fix == ('python -m pip install "numpy<2"',)


@pytest.mark.parametrize("name", ["torch", "random", "json"])
def test_a_single_file_on_pythonpath_stands_before_packages_and_pythons_own(fake: FakeMachine, name: str) -> None:
    folder = fake.home / "scripts"
    folder.mkdir()
    assert "py.pythonpath" not in found(fake, "interpreter", PYTHONPATH=str(folder))
    (folder / f"{name}.py").write_text("")
    finding = found(fake, "interpreter", PYTHONPATH=f"{folder}:/{'x' * 300}")["py.pythonpath"]
    assert finding.title == f"PYTHONPATH puts the {name} in `{folder}` before the one that is meant"
