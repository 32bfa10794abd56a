"""What a pickle of weights names, read without running any of it.

Unpickling calls whatever a pickle names, so it is scanned by an allow-list before it is loaded: a list of what is
forbidden never ends.

- Only the archive that torch has written since 1.6 is scanned: a zip with one `data.pkl`. The bare pickles of before
  hold several programs, one after another, and are not scanned at all.
- A name counts as foreign unless weights need it; one that is put together while the pickle runs is foreign, too.
- What torch would take for a program (TorchScript) is foreign.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelfetch.model.headers import BrokenHeader, what_it_is_instead

# A hundred thousand tensors take fifteen megabytes; real models have some hundred.
MAX_PROGRAM_BYTES = 32 << 20
_STORAGES = frozenset(
    f"torch {kind}Storage"
    for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
)
ALLOWED = _STORAGES | {
    "collections OrderedDict",
    "torch Size",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor",
    "torch._utils _rebuild_tensor_v2",
    "torch.storage UntypedStorage",
}
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80"
_MADE_UP = frozenset({"STACK_GLOBAL", "EXT1", "EXT2", "EXT4"})


@dataclass(frozen=True)
class PickleScan:
    """`foreign` are names that weights do not need; `bare` is a pickle without its archive, which was not scanned."""

    foreign: tuple[str, ...] = ()
    bare: bool = False


def scan_pickle(path: Path) -> PickleScan:
    """What is named in the weights that torch saved at `path`.

    Raises:
        BrokenHeader: the file is cut short, is something else, or its archive contradicts itself.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(_PICKLE):
        return PickleScan(bare=True)
    if not start.startswith(_ZIP):
        raise BrokenHeader(what_it_is_instead(start) or "neither a zip file nor a pickle")
    try:
        with zipfile.ZipFile(path) as archive:
            return PickleScan(tuple(dict.fromkeys(_foreign(archive))))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BrokenHeader(f"its archive is cut short or garbled: {error}") from error


def _foreign(archive: zipfile.ZipFile) -> Iterator[str]:
    names = [entry.filename.rpartition("/")[2].lower() for entry in archive.infolist()]
    if "constants.pkl" in names:
        yield "a TorchScript program"
    programs = [entry for entry, name in zip(archive.infolist(), names, strict=True) if name == "data.pkl"]
    if len(programs) != 1:
        raise BrokenHeader(f"{len(programs)} files of the name data.pkl are in its archive, expected one")
    with archive.open(programs[0]) as file:
        program = file.read(MAX_PROGRAM_BYTES + 1)
    if len(program) > MAX_PROGRAM_BYTES:
        raise BrokenHeader(f"its data.pkl is longer than {MAX_PROGRAM_BYTES} bytes")
    yield from _foreign_names(program)


def _foreign_names(program: bytes) -> Iterator[str]:
    try:
        for opcode, argument, _ in pickletools.genops(program):
            if opcode.name in _MADE_UP:
                yield f"a name that is put together while it is read ({opcode.name})"
            elif opcode.name in {"GLOBAL", "INST"} and argument not in ALLOWED:
                yield str(argument).replace(" ", ".")[:200]
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise BrokenHeader(f"its data.pkl is no pickle: {error}") from error
