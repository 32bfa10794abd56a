"""Which pieces mean something to a model beside text, and where its files do not agree on them. Decides only.

- Every file that names a role has a say. Where a file names another id than the tokenizer, that is said: a model that
  stops at another token than its tokenizer writes does not stop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelfetch.inspection.reading import Papers
from modelfetch.model.contents import ModelFolder
from modelfetch.model.gguf import GgufHeader
from modelfetch.model.sizes import text_config

ROLES = ("bos", "eos", "pad", "unk", "mask", "cls", "sep")
MAX_SPECIAL = 1000
_GGUF_NAMES = {
    "bos": "bos_token_id", "eos": "eos_token_id", "pad": "padding_token_id", "unk": "unknown_token_id",
    "sep": "seperator_token_id", "cls": "cls_token_id", "mask": "mask_token_id",
}  # fmt: skip


@dataclass(frozen=True)
class SpecialToken:
    """A piece with its id, and the roles it has; without a role it is one that the tokenizer never takes apart."""

    id: int | None
    piece: str | None
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Tokens:
    """The tokenizer as its files describe it. `pieces` is None where no file that was read lists them."""

    algorithm: str | None
    pieces: int | None
    special: tuple[SpecialToken, ...]
    special_total: int
    disagreements: tuple[str, ...]


def read_tokens(folder: ModelFolder, papers: Papers) -> Tokens:
    """What the files say of tokens."""
    vocabulary = _Vocabulary(folder, papers)
    named = dict(_named(folder, papers, vocabulary))
    special = _rows(named, vocabulary)
    return Tokens(
        algorithm=vocabulary.algorithm,
        pieces=len(vocabulary.ids) or None,
        special=tuple(special[:MAX_SPECIAL]),
        special_total=len(special),
        disagreements=tuple(_disagreements(named, vocabulary)),
    )


def read_gguf_tokens(header: GgufHeader) -> Tokens:
    """What the header of a GGUF file says of tokens."""
    metadata = header.metadata
    roles: dict[int, list[str]] = {}
    for role, name in _GGUF_NAMES.items():
        number = metadata.get(f"tokenizer.ggml.{name}")
        if type(number) is int:
            roles.setdefault(number, []).append(role)
    special = tuple(
        SpecialToken(number, header.pieces.get(number), tuple(names)) for number, names in sorted(roles.items())
    )
    algorithm = metadata.get("tokenizer.ggml.model")
    return Tokens(str(algorithm) if algorithm else None, header.vocabulary, special, len(special), ())


class _Vocabulary:
    """Pieces and ids, as tokenizer.json and tokenizer_config.json list them."""

    def __init__(self, folder: ModelFolder, papers: Papers) -> None:
        self.ids: dict[str, int] = {}
        self.special: set[str] = set()
        model = papers.tokenizer.get("model")
        model = model if isinstance(model, dict) else {}
        self.algorithm = str(model["type"]) if isinstance(model.get("type"), str) else None
        listed = model.get("vocab")
        if isinstance(listed, dict):
            self.ids |= {piece: number for piece, number in listed.items() if type(number) is int}
        elif isinstance(listed, list):
            # Of a unigram model: pairs of a piece and its score, in the order of their ids.
            pieces = [each[0] if isinstance(each, list) and each else None for each in listed]
            self.ids |= {piece: number for number, piece in enumerate(pieces) if isinstance(piece, str)}
        added = papers.tokenizer.get("added_tokens")
        for each in added if isinstance(added, list) else []:
            self._add(each, each.get("id") if isinstance(each, dict) else None)
        decoder = folder.document("tokenizer_config.json").get("added_tokens_decoder")
        for number, each in decoder.items() if isinstance(decoder, dict) else ():
            self._add(each, int(number) if number.isascii() and number.isdigit() and len(number) < 12 else None)
        self.pieces = {number: piece for piece, number in self.ids.items()}

    def _add(self, token: Any, number: Any) -> None:
        if isinstance(token, dict) and isinstance(token.get("content"), str) and type(number) is int:
            self.ids[token["content"]] = number
            if token.get("special") is True:
                self.special.add(token["content"])


def _named(
    folder: ModelFolder, papers: Papers, vocabulary: _Vocabulary
) -> Iterator[tuple[tuple[str, str], tuple[SpecialToken, ...]]]:
    """(role, file) -> the tokens that the file gives the role."""
    for source in ("tokenizer_config.json", "special_tokens_map.json"):
        document = papers.special_tokens if source == "special_tokens_map.json" else folder.document(source)
        for role in ROLES:
            declared = document.get(f"{role}_token")
            piece = declared.get("content") if isinstance(declared, dict) else declared
            if isinstance(piece, str):
                yield (role, source), (SpecialToken(vocabulary.ids.get(piece), piece, (role,)),)
    for source in ("config.json", "generation_config.json"):
        document = folder.document(source)
        for role in ROLES:
            declared = document.get(f"{role}_token_id", text_config(document).get(f"{role}_token_id"))
            numbers = declared if isinstance(declared, list) else [declared]
            known = [number for number in numbers[:MAX_SPECIAL] if type(number) is int]
            if known:
                yield (role, source), tuple(SpecialToken(each, vocabulary.pieces.get(each), (role,)) for each in known)


def _rows(named: Mapping[tuple[str, str], tuple[SpecialToken, ...]], vocabulary: _Vocabulary) -> list[SpecialToken]:
    """Each token once: those with a role first, in the order of the roles, then the others by their id."""
    roles: dict[tuple[int | None, str | None], list[str]] = {}
    for tokens in named.values():
        for token in tokens:
            its = roles.setdefault((token.id, token.piece), [])
            its += [role for role in token.roles if role not in its]
    first = sorted(roles.items(), key=lambda item: min(ROLES.index(role) for role in item[1]))
    rows = [SpecialToken(number, piece, tuple(sorted(its, key=ROLES.index))) for (number, piece), its in first]
    others = sorted((vocabulary.ids[piece], piece) for piece in vocabulary.special)
    return rows + [SpecialToken(number, piece, ()) for number, piece in others if (number, piece) not in roles]


def _disagreements(named: Mapping[tuple[str, str], tuple[SpecialToken, ...]], vocabulary: _Vocabulary) -> Iterator[str]:
    for role in ROLES:
        said = {source: tokens for (each, source), tokens in named.items() if each == role}
        own = said.get("tokenizer_config.json") or said.get("special_tokens_map.json")
        for source, tokens in said.items():
            if own and own[0].id is not None and own[0].id not in {token.id for token in tokens} and tokens is not own:
                yield f"{role}: the tokenizer has {_shown(own)}, {source} has {_shown(tokens)}"
        if own and vocabulary.ids and own[0].id is None:
            yield f"{role}: the tokenizer names `{own[0].piece}`, which is not in its vocabulary"


def _shown(tokens: tuple[SpecialToken, ...]) -> str:
    shown = [f"{token.id}" + (f" `{token.piece}`" if token.piece is not None else "") for token in tokens[:5]]
    return " and ".join(shown)
