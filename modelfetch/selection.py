"""Which files of a model a pull brings: what transformers and vLLM would load, once.

Decides only, from names and sizes.

- One format of the weights is enough: safetensors where they are, PyTorch's own where not, folder by folder. Only what
  holds the same weights is left, so that other pickles come (`embeddings.safetensors` stands for no model).
- Copies for other runtimes (`original/`, consolidated, flax, tf, onnx, openvino, coreml) are left, but only beside
  weights that load.
- Of many GGUF files one is brought, whole if it is split: the one that was asked for, or the first of
  `PREFERRED_QUANTS` that is there, or else the one with the fewest bits from four on, or the most below. Of many
  projectors (mmproj) one comes with it.
- `--include` names exactly what comes, `--all-files` brings everything. `--exclude` comes first: what it takes away
  is not there to choose.
- What is left is told, with what that saved.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from modelfetch.errors import NotFoundError, UsageError
from modelfetch.manifest import Entry
from modelfetch.units import format_bytes, format_names

PREFERRED_QUANTS = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q5_K_M", "Q4_0", "Q4_1", "Q8_0", "F16", "BF16")
# A projector is small and made to be used as it is.
PREFERRED_PROJECTORS = ("F16", "BF16", "Q8_0", "F32")
_GOOD_BITS = 4

_TORCH_BIN = re.compile(r"(?:pytorch_model|model|diffusion_pytorch_model|adapter_model)[^/]*\.bin(?:\.index\.json)?")
_OTHER_FORMATS = re.compile(
    r"(?:^|/)(?:original|metal|onnx|openvino|coreml|flax|tf)/"
    r"|(?:^|/)consolidated[^/]*\.(?:safetensors|pth)(?:\.index\.json)?$|(?:^|/)consolidated\.[^/]*$"
    r"|\.(?:h5|msgpack|onnx|onnx[._]data(?:_\d+)?|ot|tflite|mlmodel)$|\.ml(?:package|modelc)/"
    r"|\.ckpt\.(?:index|meta|data-\d{5}-of-\d{5})$"
    r"|(?:^|/)openvino[^/]*\.(?:bin|xml)$|(?:^|/)(?:tf_model|flax_model)[^/]*$"
)
_PICKLED = re.compile(r"\.(?:bin|pt|pth|ckpt|pkl|pickle)$")
_PICKLED_WEIGHTS = re.compile(r"\.(?:bin|pt|pth|ckpt)(?:\.index\.json)?$")
_SHARD = re.compile(r"-\d{5}-of-\d{5}")
# Besides shards, which any reader joins, some are cut into parts that have to be joined by hand.
_GGUF = re.compile(r"\.gguf(?:\.part\d+of\d+|-split-[a-z])?$")
_QUANT_IN_NAME = re.compile(
    r"(?i)(?:^|[-._/])((?:UD-)?(?:I?Q\d[A-Z0-9_]*|TQ\d_\d|B?F16|FP16|FP?32|MXFP4[A-Z0-9_]*))(?=[-._/]|$)"
)


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
            files = "1 file that repeats" if len(self.left) == 1 else f"{len(self.left)} files that repeat"
            notes.append(f"left {files} the weights: {saved} saved (--all-files brings all)")
        if self.quant:
            notes.append(f"took the {self.quant} of several GGUF files (name another as OWNER/NAME:QUANT)")
        code = [entry.path for entry in self.chosen if entry.path.endswith(".py")]
        if code:
            notes.append(f"comes with code ({format_names(code)}); it runs only if you say --trust-remote-code")
        pickled = [entry.path for entry in self.chosen if _PICKLED.search(entry.path)]
        if pickled:
            notes.append(f"pickled files can run code when loaded: {format_names(pickled)}")
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
        NotFoundError: a pattern of `include` or the `quant` matches nothing, or nothing is left.
        UsageError: a `quant` together with `include` or `all_files`.
    """
    if quant and (include or all_files):
        raise UsageError(
            f"`:{quant}` chooses the files, and so does {'--include' if include else '--all-files'}",
            hint="leave one of the two away",
        )
    there = [entry for entry in entries if not _matches_any(entry.path, exclude)]
    if include:
        asked = {entry.path for entry in _included(entries, include)}
        selection = Selection(tuple(entry for entry in there if entry.path in asked))
    elif all_files:
        selection = Selection(tuple(there))
    else:
        selection = _default(there, quant)
    if not selection.chosen:
        facts = {"include": ", ".join(include), "exclude": ", ".join(exclude), "files": len(entries)}
        raise NotFoundError("nothing is left to pull", facts={name: value for name, value in facts.items() if value})
    return selection


def _included(entries: Sequence[Entry], include: Sequence[str]) -> list[Entry]:
    for pattern in include:
        if not any(_matches(entry.path, pattern) for entry in entries):
            raise NotFoundError(
                f"no file matches `{pattern}`",
                facts={"files": f"{len(entries)}, such as {format_names([entry.path for entry in entries])}"},
                hint="list them with --dry-run --all-files --json",
            )
    return [entry for entry in entries if _matches_any(entry.path, include)]


def _default(entries: Sequence[Entry], quant: str | None) -> Selection:
    paths = [entry.path for entry in entries]
    all_gguf = [path for path in paths if _GGUF.search(path)]
    projectors = [path for path in all_gguf if "mmproj" in _name(path).lower()]
    gguf = [path for path in all_gguf if path not in projectors]
    native = [path for path in paths if _is_native(path)]
    left, taken = set[str](), None
    if quant is not None:
        left |= {*gguf, *native} - of_quantisation(gguf, quant)
    elif native:
        left |= {*all_gguf}
    elif len({_stem(path) for path in gguf}) > 1:
        taken, keep = _preferred(entries, gguf)
        left |= {*gguf} - keep
    left |= {*projectors} - _one_projector(projectors)
    if native:
        left |= {path for path in paths if _OTHER_FORMATS.search(path)}
        safe = {_stem(path) for path in native if path.endswith(".safetensors")}
        left |= {path for path in paths if _PICKLED_WEIGHTS.search(path) and _stem(path) in safe}
    chosen = tuple(entry for entry in entries if entry.path not in left)
    return Selection(chosen, tuple(entry for entry in entries if entry.path in left), taken)


def _is_native(path: str) -> bool:
    """Whether transformers or vLLM load these weights as they are."""
    if _OTHER_FORMATS.search(path):
        return False
    return path.endswith(".safetensors") or (path.endswith(".bin") and bool(_TORCH_BIN.fullmatch(_name(path))))


def _stem(path: str) -> str:
    """What a file of weights holds, whatever its format and however it is split: equal for the same weights."""
    folder, slash, name = path.rpartition("/")
    name = _GGUF.sub("", _PICKLED_WEIGHTS.sub("", name)).removesuffix(".safetensors")
    name = _SHARD.sub("", name)
    return folder + slash + (name.removeprefix("pytorch_") if name.startswith("pytorch_model") else name)


def of_quantisation(gguf: Sequence[str], quant: str) -> set[str]:
    """Those of the `gguf` files whose names say that they are of this quantisation.

    Raises:
        NotFoundError: none is.
    """
    quants = {path: found for path in gguf if (found := _quant_of(path))}
    exact = {path for path, found in quants.items() if found.upper() == quant.upper()}
    keep = exact or {path for path, found in quants.items() if found.upper() == f"UD-{quant.upper()}"}
    if not keep:
        known = sorted(set(quants.values()))
        raise NotFoundError(
            f"no GGUF file of the quantisation `{quant}`",
            facts={"there are": ", ".join(known) or "no GGUF files"},
            hint=f"write OWNER/NAME:{known[0]}" if known else "leave the :QUANT away",
        )
    return keep


def _preferred(entries: Sequence[Entry], gguf: Sequence[str]) -> tuple[str | None, set[str]]:
    """The quantisation to take, and its files; all files where no name tells one."""
    files: dict[str, set[str]] = {}
    for path in gguf:
        if found := _quant_of(path):
            files.setdefault(found.upper(), set()).add(path)
    for quant in PREFERRED_QUANTS:
        if quant in files:
            return quant, files[quant]
    if not files:
        return None, {*gguf}
    sizes = {quant: sum(entry.size for entry in entries if entry.path in paths) for quant, paths in files.items()}
    # As few bits as are good, or as many as there are; among equals the largest loses least.
    quant = min(files, key=lambda quant: (_bits(quant) < _GOOD_BITS, abs(_bits(quant) - _GOOD_BITS), -sizes[quant]))
    return quant, files[quant]


def _one_projector(projectors: Sequence[str]) -> set[str]:
    for quant in PREFERRED_PROJECTORS:
        if keep := {path for path in projectors if (_quant_of(path) or "").upper() == quant}:
            return keep
    return {*projectors}


def _quant_of(path: str) -> str | None:
    found = _QUANT_IN_NAME.findall(_stem(path))
    return found[-1] if found else None


def _bits(quant: str) -> int:
    """`Q4_K_M` has 4, `BF16` 16."""
    digits = re.search(r"\d+", quant)
    assert digits, "a quantisation's name has a number"
    return int(digits.group())


def _matches_any(path: str, patterns: Iterable[str]) -> bool:
    return any(_matches(path, pattern) for pattern in patterns)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
