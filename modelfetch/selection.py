"""Which files of a model a pull brings: what transformers and vLLM would load, once.

Decides only, from names and sizes.

- One format of the weights is enough: safetensors where they are, PyTorch's own where not. The others are left, and
  so are copies for other runtimes (`original/`, consolidated, flax, tf, onnx, openvino, coreml), but only beside
  weights that load.
- Of many GGUF files one is brought: the one that was asked for, or the first of `PREFERRED_QUANTS` that is there.
- `--include` names exactly what comes, `--all-files` brings everything, `--exclude` takes away from any of these.
- What is left is told, with what that saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from modelfetch.errors import NotFoundError
from modelfetch.manifest import Entry
from modelfetch.units import format_bytes

PREFERRED_QUANTS = ("Q4_K_M", "Q4_K_S", "Q5_K_M", "Q4_0", "Q4_1", "Q8_0", "F16", "BF16")

_TORCH_BIN = re.compile(r"(pytorch_model|model|diffusion_pytorch_model|adapter_model)[^/]*\.bin(\.index\.json)?")
_OTHER_FORMATS = re.compile(
    r"(?:^|/)(?:original|metal|onnx|openvino|coreml|flax|tf)/"
    r"|(?:^|/)consolidated[^/]*\.(?:safetensors|pth)(?:\.index\.json)?$|(?:^|/)consolidated\.[^/]*$"
    r"|\.(?:h5|msgpack|onnx|onnx_data|ot|tflite|mlmodel|ckpt\.index)$|\.mlpackage/|(?:^|/)openvino[^/]*\.(?:bin|xml)$"
    r"|(?:^|/)(?:tf_model|flax_model)[^/]*$"
)
_PICKLED = re.compile(r"\.(?:bin|pt|pth|ckpt|pkl|pickle)$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")
_QUANT_IN_NAME = re.compile(r"(?i)(?:^|[-._/])((?:I?Q\d[A-Z0-9_]*|TQ\d_\d|B?F16|F32|MXFP4[A-Z0-9_]*))(?=[-._/]|$)")


@dataclass(frozen=True)
class Selection:
    """`chosen` comes, `left` stays at the hub because it repeats something that comes. `quant` is what GGUF was
    chosen.
    """

    chosen: tuple[Entry, ...]
    left: tuple[Entry, ...] = ()
    quant: str | None = None

    def notes(self) -> tuple[str, ...]:
        """What a user should know before the first byte, a sentence each."""
        notes = []
        if self.left:
            saved = format_bytes(sum(entry.size for entry in self.left))
            notes.append(
                f"left {len(self.left)} files that repeat the weights: {saved} saved (--all-files brings them)"
            )
        if self.quant:
            notes.append(f"took the {self.quant} of several GGUF files (name another as OWNER/NAME:QUANT)")
        code = [entry.path for entry in self.chosen if entry.path.endswith(".py")]
        if code:
            notes.append(f"comes with code ({_some(code)}); it runs only if you say --trust-remote-code")
        pickled = [entry.path for entry in self.chosen if _PICKLED.search(entry.path)]
        if pickled:
            notes.append(f"pickled files can run code when loaded: {_some(pickled)}")
        return tuple(notes)


def select(
    entries: Sequence[Entry],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    all_files: bool = False,
    quant: str | None = None,
) -> Selection:
    """Choose from a manifest's entries. A pattern is a shell glob over the whole path; one that ends in `/` is a
    folder.

    Raises:
        NotFoundError: a pattern of `include` or the `quant` matches nothing.
    """
    left: list[Entry] = []
    taken = None
    if include:
        chosen = _included(entries, include)
    elif all_files:
        chosen = list(entries)
    else:
        chosen, left, taken = _default(entries, quant)
    kept = tuple(entry for entry in chosen if not _matches_any(entry.path, exclude))
    if not kept:
        raise NotFoundError("nothing is left to pull", facts={"include": list(include), "exclude": list(exclude)})
    return Selection(kept, tuple(left), taken)


def _included(entries: Sequence[Entry], include: Sequence[str]) -> list[Entry]:
    for pattern in include:
        if not any(_matches(entry.path, pattern) for entry in entries):
            raise NotFoundError(
                f"no file matches `{pattern}`",
                facts={"files": f"{len(entries)}, such as {_some([entry.path for entry in entries])}"},
                hint="list them with --dry-run --all-files --json",
            )
    return [entry for entry in entries if _matches_any(entry.path, include)]


def _default(entries: Sequence[Entry], quant: str | None) -> tuple[list[Entry], list[Entry], str | None]:
    left, taken = set[str](), None
    gguf = [entry for entry in entries if entry.path.endswith(".gguf") and "mmproj" not in entry.path.lower()]
    native = {entry.path for entry in entries if _is_native(entry.path)}
    if quant is not None:
        keep = _with_quant(gguf, quant)
        left |= {entry.path for entry in gguf} - keep | {path for path in native if not path.endswith(".gguf")}
    elif native and gguf:
        left |= {entry.path for entry in gguf}
    elif len({_SHARD.sub("", entry.path) for entry in gguf}) > 1:
        taken, keep = _preferred(gguf)
        left |= {entry.path for entry in gguf} - keep
    if native:
        left |= {entry.path for entry in entries if _OTHER_FORMATS.search(entry.path)}
        folders = {_folder(path) for path in native if path.endswith(".safetensors")}
        left |= {e.path for e in entries if _TORCH_BIN.fullmatch(_name(e.path)) and _folder(e.path) in folders}
    chosen = [entry for entry in entries if entry.path not in left]
    return chosen, [entry for entry in entries if entry.path in left], taken


def _is_native(path: str) -> bool:
    """Whether transformers or vLLM load these weights as they are."""
    if _OTHER_FORMATS.search(path):
        return False
    return path.endswith(".safetensors") or (path.endswith(".bin") and bool(_TORCH_BIN.fullmatch(_name(path))))


def _with_quant(gguf: Sequence[Entry], quant: str) -> set[str]:
    keep = {entry.path for entry in gguf if (_quant_of(entry.path) or "").lower() == quant.lower()}
    if not keep:
        quants = sorted({found for entry in gguf if (found := _quant_of(entry.path))})
        raise NotFoundError(
            f"no GGUF file of the quantisation `{quant}`",
            facts={"there are": ", ".join(quants) or "no GGUF files"},
            hint=f"write OWNER/NAME:{quants[0]}" if quants else "leave the :QUANT away",
        )
    return keep


def _preferred(gguf: Sequence[Entry]) -> tuple[str | None, set[str]]:
    for quant in PREFERRED_QUANTS:
        keep = {entry.path for entry in gguf if (_quant_of(entry.path) or "").upper() == quant}
        if keep:
            return quant, keep
    return None, {entry.path for entry in gguf}


def _quant_of(path: str) -> str | None:
    found = _QUANT_IN_NAME.findall(_SHARD.sub("", path).removesuffix(".gguf"))
    return found[-1] if found else None


def _matches_any(path: str, patterns: Iterable[str]) -> bool:
    return any(_matches(path, pattern) for pattern in patterns)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
