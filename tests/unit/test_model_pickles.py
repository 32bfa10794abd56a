"""What a pickle of weights names, read without running any of it."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest

from modelfetch.model import pickles
from modelfetch.model.headers import BrokenHeader
from modelfetch.model.pickles import PickleScan, scan_pickle


class Calls:
    """Unpickling it calls `function` with `arguments`."""

    def __init__(self, function: object, *arguments: object) -> None:
        self._called = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self._called


def archive(path: Path, program: bytes, **others: bytes) -> Path:
    """A file as torch saves it, with `program` as its pickle."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", program)
        for name, content in others.items():
            file.writestr(f"archive/{name.replace('_', '.')}", content)
    return path


def of_weights(names: bytes = b"ctorch._utils\n_rebuild_tensor_v2\n") -> bytes:
    """The beginning of a program that weights have: a storage, a function that makes a tensor of it."""
    return b"\x80\x02ccollections\nOrderedDict\n0" + names + b"0ctorch\nBFloat16Storage\n."


def test_weights_name_nothing_foreign(tmp_path: Path) -> None:
    assert scan_pickle(archive(tmp_path / "a.bin", of_weights())) == PickleScan()


@pytest.mark.parametrize(
    ("program", "named"),
    [
        (pickle.dumps(Calls(os.system, "true"), 2), "posix.system"),
        (pickle.dumps(Calls(eval, "1"), 2), "__builtin__.eval"),
        (pickle.dumps(Calls(getattr, OrderedDict, "x"), 2), "__builtin__.getattr"),
        (of_weights(b"ccode\nInteractiveInterpreter\n"), "code.InteractiveInterpreter"),
        (of_weights(b"ctorch\nload\n"), "torch.load"),
        (of_weights(b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n"), "torch._utils._rebuild_tensor_v2.__globals__"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (pickle.dumps(Calls(os.system, "true"), 4), "a name that is put together while it is read (STACK_GLOBAL)"),
        (b"\x80\x02\x82\x01.", "a name that is put together while it is read (EXT1)"),
    ],
)
def test_every_other_name_is_foreign(program: bytes, named: str, tmp_path: Path) -> None:
    assert scan_pickle(archive(tmp_path / "a.bin", program)).foreign == (named,)


def test_a_program_of_torchscript_is_foreign(tmp_path: Path) -> None:
    scan = scan_pickle(archive(tmp_path / "a.bin", of_weights(), constants_pkl=b""))
    assert scan.foreign == ("a TorchScript program",)


def test_a_bare_pickle_is_not_scanned(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(of_weights())
    assert scan_pickle(tmp_path / "a.bin") == PickleScan(bare=True)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_with_two_programs_is_broken(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.bin", of_weights())
    for name in ("archive/data.pkl", "other/DATA.PKL"):
        with zipfile.ZipFile(path, "a") as file:
            file.writestr(name, b".")
        with pytest.raises(BrokenHeader, match=r"of the name data\.pkl"):
            scan_pickle(path)


def test_what_is_no_archive_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bin"
    archive(path, of_weights())
    whole = path.read_bytes()
    for content, problem in (
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"hello", "neither a zip file nor a pickle"),
        (whole[: len(whole) // 2], "cut short"),
    ):
        path.write_bytes(content)
        with pytest.raises(BrokenHeader, match=problem):
            scan_pickle(path)
    with pytest.raises(BrokenHeader, match="no pickle"):
        scan_pickle(archive(path, b"\xff\xff"))
    monkeypatch.setattr(pickles, "MAX_PROGRAM_BYTES", 10)
    with pytest.raises(BrokenHeader, match="longer than 10 bytes"):
        scan_pickle(archive(path, of_weights()))
