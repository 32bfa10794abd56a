"""What `modelfetch inspect` prints of what was asked: tokens, vocabulary, template, next tokens, cosines.

- Every piece and every template is a stranger's: it is shown, never sent to the terminal as it is (`_cells`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from modelfetch.cli._cells import shortened, shown, shown_lines, table, wrapped

if TYPE_CHECKING:
    from modelfetch.inspection import Answers, Inspection
    from modelfetch.inspection.answers import Next, Rendered, Token, Tokenized, Vectors, Vocabulary

MAX_ROWS = 50
MAX_PIECE = 40
_BAR = 24


def render(inspection: Inspection, answers: Answers, columns: int, *, template: bool) -> str:
    """The answers as lines, one part after another."""
    parts: list[Iterable[str]] = []
    if template:
        parts.append(_template(inspection, answers.rendered))
    parts += [_tokenized(each, columns) for each in answers.tokenized]
    if answers.vocabulary:
        parts.append(_vocabulary(answers.vocabulary, columns))
    if answers.next:
        parts.append(_next(answers.next, columns))
    if answers.vectors:
        parts.append(_vectors(answers.vectors, columns))
    if answers.ran_on:
        ran_on = answers.ran_on
        said = f"on {ran_on.device} ({ran_on.device_reason}), in {ran_on.dtype} ({ran_on.dtype_reason})"
        parts.append(wrapped(shown(said), columns))
    return "\n\n".join("\n".join(part) for part in parts)


def _template(inspection: Inspection, rendered: Rendered | None) -> Iterator[str]:
    for number, template in enumerate(inspection.templates):
        yield from [""] if number else []
        yield f"template {shown(template.name)!r} in {shown(template.source)}"
        yield from (f"  {line}".rstrip() for line in shown_lines(template.text.removesuffix("\n")))
    if rendered is None:
        return
    yield ""
    if rendered.error:
        yield f"it cannot be rendered: {shown(rendered.error)}"
        return
    for title, text in (
        ("a sample conversation, rendered", rendered.default),
        ("with thinking on (enable_thinking=True)", _changed(rendered.thinking_on, rendered.default)),
        ("with thinking off (enable_thinking=False)", _changed(rendered.thinking_off, rendered.default)),
    ):
        if text is not None:
            yield title
            yield from (f"  {line}".rstrip() for line in shown_lines(text))
    if rendered.thinking_on is None:
        yield "enable_thinking changes nothing in it"
    else:
        same = "on" if rendered.thinking_on == rendered.default else "off"
        yield f"without a word about it, thinking is {same}"


def _changed(text: str | None, default: str | None) -> str | None:
    return None if text == default else text


def _tokenized(tokenized: Tokenized, columns: int) -> Iterator[str]:
    count = len(tokenized.tokens)
    characters = len(tokenized.text)
    yield f"{count} token{_s(count)} for {characters} character{_s(characters)}"
    if count:
        yield from _token_table(tokenized.tokens, columns, _shared(tokenized.tokens))
    if tokenized.same:
        yield "  put together again, they give the same text"
    else:
        yield f"  put together again, they give: {shown(tokenized.decoded)}"


def _vocabulary(vocabulary: Vocabulary, columns: int) -> Iterator[str]:
    said = f"{vocabulary.matches:,} of {vocabulary.size:,} pieces fit `{shown(vocabulary.pattern)}`"
    shown_tokens = vocabulary.tokens[:MAX_ROWS]
    yield said + (f"; the first {len(shown_tokens)}:" if vocabulary.matches > len(shown_tokens) else "")
    if shown_tokens:
        yield from _token_table(shown_tokens, columns)


def _token_table(tokens: Sequence[Token], columns: int, shared: Mapping[int, str] = MappingProxyType({})) -> list[str]:
    rows = [_token_row(token, shared.get(place)) for place, token in enumerate(tokens)]
    lines = table([("id", "piece", "text", "bytes"), *rows], right=frozenset({0}))
    return [shortened(line, columns) for line in lines]


def _shared(tokens: Sequence[Token]) -> dict[int, str]:
    """The characters that several tokens make together, for each of these tokens by its place."""
    owners = [place for place, token in enumerate(tokens) for _ in bytes.fromhex(token.bytes)]
    text = b"".join(bytes.fromhex(token.bytes) for token in tokens).decode("utf-8", "surrogateescape")
    shared: dict[int, str] = {}
    start = 0
    for character in text:
        end = start + len(character.encode("utf-8", "surrogateescape"))
        if owners[start] != owners[end - 1]:
            shared |= {place: shared.get(place, "") + character for place in owners[start:end]}
        start = end
    return shared


def _token_row(token: Token, shared: str | None) -> tuple[str, str, str, str]:
    text = "(special)" if token.special else _partly(token, shared) if shared else _quoted(token)
    data = bytes.fromhex(token.bytes).hex(" ")
    return str(token.id), shortened(shown(token.piece), MAX_PIECE), text, data


def _partly(token: Token, shared: str) -> str:
    """What of the text is the token's alone, and the characters that it has a part of."""
    whole = bytes.fromhex(token.bytes).decode("utf-8", "ignore")
    alone = f'"{shown(whole)}" and ' if whole else ""
    return f"({alone}a part of {shown(shared)})"


def _quoted(token: Token) -> str:
    """The text in quotation marks, so that its spaces are seen; half a character is no text."""
    data = bytes.fromhex(token.bytes)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "(a part of a character)"
    return f'"{shortened(shown(text), MAX_PIECE)}"'


def _next(following: Next, columns: int) -> Iterator[str]:
    count = following.prompt_tokens
    yield from wrapped(f"next at {following.position}, of {count} token{_s(count)}: {shown(following.text)}", columns)
    best = max((likely.probability for likely in following.likeliest), default=1.0)
    rows = []
    for likely in following.likeliest:
        bar = "█" * round(_BAR * likely.probability / best) if best else ""
        token = likely.token
        text = shortened(shown(token.piece), MAX_PIECE) if token.special else _quoted(token)
        rows.append((f"{likely.probability:.2%}", text, str(token.id), bar))
    yield from table([("probability", "token", "id", ""), *rows], right=frozenset({0, 2}))
    rest = 1 - sum(likely.probability for likely in following.likeliest)
    yield f"  {max(rest, 0.0):.2%} for all others"


def _vectors(vectors: Vectors, columns: int) -> Iterator[str]:
    if vectors.word is None:
        yield f"cosines of {len(vectors.texts)} texts ({vectors.pooling} pooling, {vectors.dimension} numbers each)"
        names = [shown(text) for text in vectors.texts]
    else:
        yield f"cosines of the places of `{shown(vectors.word)}` ({vectors.dimension} numbers each, last layer)"
        names = [shown(vectors.texts[each.text]) for each in vectors.occurrences]
    rows: list[tuple[str, ...]] = [("", *(str(number + 1) for number in range(len(names))), "")]
    left = max(16, columns - 8 - 8 * len(names))
    for number, (name, cosines) in enumerate(zip(names, vectors.cosines, strict=True)):
        rows.append((str(number + 1), *(f"{cosine:.3f}" for cosine in cosines), shortened(name, left)))
    yield from table(rows, right=frozenset(range(len(names) + 1)))
    for note in vectors.notes:
        yield from (f"  {line}" for line in wrapped(shown(note), columns - 2))


def _s(count: int) -> str:
    return "" if count == 1 else "s"
