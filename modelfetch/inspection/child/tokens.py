"""How a tokenizer takes a text apart, piece by piece and byte by byte, and what is in its vocabulary."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from modelfetch.inspection.answers import Token, Tokenized, Vocabulary

MAX_MATCHES = 1000
_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Pieces:
    """The pieces of one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self._added = {number: str(token) for token, number in tokenizer.get_added_vocab().items()}
        self._special = frozenset(tokenizer.all_special_ids)
        self._decoder = _decoder(tokenizer)

    def token(self, number: int) -> Token:
        """The piece with this id."""
        piece = self.tokenizer.convert_ids_to_tokens(number)
        piece = "" if piece is None else str(piece)
        data = self._bytes(number, piece)
        return Token(number, piece, data.decode("utf-8", "replace"), data.hex(), number in self._special)

    def tokenize(self, text: str) -> Tokenized:
        """The text as the model would be given it, markers included, and put together again without them."""
        ids = self.tokenizer(text)["input_ids"]
        decoded = str(self.tokenizer.decode(ids, skip_special_tokens=True))
        return Tokenized(text, tuple(self.token(number) for number in ids), decoded, decoded == text)

    def search(self, pattern: str) -> Vocabulary:
        """The pieces that fit `pattern`, as they are written in the vocabulary or as they read."""
        vocabulary = self.tokenizer.get_vocab()
        found = []
        for piece, number in vocabulary.items():
            reads = self._bytes(number, piece).decode("utf-8", "replace")
            if fnmatchcase(piece, pattern) or fnmatchcase(reads, pattern) or fnmatchcase(reads.strip(), pattern):
                found.append(number)
        shown = tuple(self.token(number) for number in sorted(found)[:MAX_MATCHES])
        return Vocabulary(pattern, len(vocabulary), len(found), shown)

    def _bytes(self, number: int, piece: str) -> bytes:
        if number in self._added:
            return piece.encode("utf-8", "replace")
        if b"ByteLevel" in self._decoder:
            # Each sign of a piece stands for a byte, as in GPT-2's vocabulary.
            table = _byte_of_sign()
            if all(sign in table for sign in piece):
                return bytes(table[sign] for sign in piece)
        if match := _BYTE_PIECE.fullmatch(piece):
            return bytes([int(match.group(1), 16)])
        if b"WordPiece" in self._decoder:
            # So it marks a piece that goes on with the word.
            return piece.removeprefix("##").encode("utf-8", "replace")
        # So sentencepiece writes a space.
        return piece.replace("\u2581", " ").encode("utf-8", "replace")


def _decoder(tokenizer: Any) -> bytes:
    """How the tokenizer describes the way in which it puts pieces together; a tokenizer in Python does not."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    return b"" if decoder is None else bytes(decoder.__getstate__())


@cache
def _byte_of_sign() -> dict[str, int]:
    """Bytes that can be seen stand for themselves; the others are moved, in order, behind the first 256 signs."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(seen)]
    return {chr(byte): byte for byte in seen} | {chr(256 + place): byte for place, byte in enumerate(hidden)}
