"""What `modelfetch inspect` prints of a model's files: what it is first, then what it is built of and what it takes.

- Every word of a model's files is a stranger's: it is shown, never sent to the terminal as it is (`_cells`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from modelfetch.cli._cells import padded, shortened, shown, table, width, wrapped
from modelfetch.units import format_bytes

if TYPE_CHECKING:
    from modelfetch.inspection import Inspection
    from modelfetch.inspection.architecture import Architecture, Part, Weight
    from modelfetch.inspection.special import SpecialToken
    from modelfetch.model.sizes import Sizes

_NAME_COLUMNS = 12
# Parts of a model that nobody needs to see one by one; the JSON document has them all.
MAX_PARTS = 40
MAX_TREE_ROWS = 400
MAX_SPECIAL = 12
_DEVICES = {"cuda": "a GPU", "cpu": "the CPU"}
_TRAINED = {"instruct": "to follow instructions", "base": "to go on with a text (a base model)"}


def render(inspection: Inspection, columns: int) -> str:
    """The report as lines of at most so many columns where words allow it."""
    return "\n".join(_lines(inspection, columns))


def _lines(inspection: Inspection, columns: int) -> Iterator[str]:
    subject = inspection.subject
    commit = f" @{subject.commit[:12]}" if subject.commit else ""
    yield shown(f"{subject.name}{commit}")
    yield ""
    yield from _rows(_facts(inspection), columns)
    if inspection.architecture:
        yield from _section("architecture", _tree(inspection.architecture, columns))
    if inspection.weights.format:
        yield from _section("memory", _memory(inspection, columns))
    if inspection.tokens.special:
        yield from _section("special tokens", _special(inspection, columns))
    if inspection.generation:
        settings = [f"{name} = {value}" for name, value in inspection.generation.items()]
        yield from _section("generation_config.json", _indented(shown(", ".join(settings)), columns))
    if inspection.problems:
        problems = [shown(f"{problem.path}: {problem.problem}") for problem in inspection.problems]
        yield from _section("problems", (line for problem in problems for line in _indented(problem, columns)))


def _facts(inspection: Inspection) -> Iterator[tuple[str, str]]:
    purpose, weights, architecture = inspection.purpose, inspection.weights, inspection.architecture
    names = ", ".join(name for name in (purpose.class_name, purpose.model_type) if name)
    yield "kind", f"{purpose.what} ({names})" if names else purpose.what
    if purpose.signs:
        because = "; ".join(sign.because for sign in purpose.signs)
        trained = _TRAINED[purpose.training] if purpose.training else "for what, its files do not agree"
        yield "trained", f"{trained}: {because}"
    if built := ", ".join(_built(inspection.sizes)):
        yield "built of", built
    if architecture:
        yield "parameters", _parameters(architecture)
    elif weights.format == "pickle":
        yield "parameters", "not told by the files: a pickle has no header, and would have to be loaded"
    yield "weights", _weights(inspection)
    if inspection.quantisation:
        details = [f"{name} {value}" for name, value in inspection.quantisation.items() if name != "method"]
        yield "quantised", ", ".join([str(inspection.quantisation["method"]), *details])
    if (context := inspection.context) is not None:
        yield "context", "; ".join([f"{context.tokens:,} tokens ({context.source})", *context.notes])
    yield "tokenizer", _tokenizer(inspection)
    yield "template", _template(inspection)
    card = inspection.card
    yield "licence", f"{card.licence} ({card.source})" if card.licence else "the files do not say"
    if card.base_models:
        yield "made from", ", ".join(card.base_models)
    yield "code", _code(inspection)


def _built(sizes: Sizes) -> Iterator[str]:
    if sizes.layers:
        yield f"{sizes.layers} layers"
    if sizes.hidden_size:
        yield f"{sizes.hidden_size:,} wide"
    if sizes.attention_heads:
        fewer = sizes.key_value_heads if sizes.key_value_heads != sizes.attention_heads else None
        yield f"{sizes.attention_heads} attention heads" + (f" sharing {fewer} for keys and values" if fewer else "")
    if sizes.experts:
        at_once = f", {sizes.experts_per_token} at a time" if sizes.experts_per_token else ""
        yield f"{sizes.experts} experts{at_once}"
    if sizes.vocabulary:
        yield f"a vocabulary of {sizes.vocabulary:,}"


def _parameters(architecture: Architecture) -> str:
    parts = [f"{short(architecture.embedding_parameters)} in embeddings"] if architecture.embedding_parameters else []
    if architecture.output_parameters:
        parts.append(f"{short(architecture.output_parameters)} in the output")
    parts.append(f"{short(architecture.other_parameters)} in the rest")
    tied = "; the output shares the embedding's weights (tied)" if architecture.tied else ""
    active = architecture.active_parameters
    chosen = f"; {short(active)} take part in one token" if active is not None else ""
    return f"{architecture.parameters:,} ({short(architecture.parameters)}): {', '.join(parts)}{chosen}{tied}"


def short(count: int) -> str:
    """`134.5 M`, `8.03 B`: three or four figures, as models are named."""
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.{2 if count < 10 * size else 1}f}\u00a0{unit}"
    return str(count)


def _weights(inspection: Inspection) -> str:
    weights, architecture = inspection.weights, inspection.architecture
    if weights.format is None:
        return "none in the folder"
    files = weights.files[0] if len(weights.files) == 1 else f"{len(weights.files)} files"
    dtypes = sorted(architecture.by_dtype.items(), key=lambda item: -item[1]) if architecture else []
    shares = [dtype for dtype, _ in dtypes[:1]] if len(dtypes) == 1 else [f"{short(n)} {dtype}" for dtype, n in dtypes]
    types = f", {' + '.join(shares)}" if shares else ""
    return f"{format_bytes(weights.stored_bytes)} of {weights.format} in {files}{types}"


def _tokenizer(inspection: Inspection) -> str:
    tokens = inspection.tokens
    if tokens.algorithm is None and tokens.pieces is None:
        return "none that can be read without loading it" if tokens.special else "none"
    pieces = f", {tokens.pieces:,} pieces" if tokens.pieces else ""
    return f"{tokens.algorithm or 'of a kind that is not named'}{pieces}"


def _template(inspection: Inspection) -> str:
    if not inspection.templates:
        return "none"
    first = inspection.templates[0]
    others = [template.name for template in inspection.templates[1:] if template.name != first.name]
    more = f"; others: {', '.join(others)}" if others else ""
    return f"{len(first.text):,} characters in {first.source}{more} (--template shows it)"


def _code(inspection: Inspection) -> str:
    code = inspection.remote_code
    if not code.classes and not code.files:
        return "none: it needs no Python of its own"
    files = f"{len(code.files)} Python file{'s' if len(code.files) != 1 else ''}"
    if not code.classes:
        return f"{files} beside it ({', '.join(list(code.files)[:3])}), which config.json does not ask for"
    return f"config.json asks for {', '.join(sorted(set(code.classes.values())))}; {files}, run only with consent"


def _tree(architecture: Architecture, columns: int) -> list[str]:
    rows = list(islice(_part_rows(architecture.tree), MAX_TREE_ROWS + 1))
    if len(rows) > MAX_TREE_ROWS:
        rows[-1] = ("… and more than is shown here (--json has it all)", "", "")
    numbers = max(width(count) for _, _, count in rows)
    names = max(width(name) for name, _, _ in rows)
    names = min(names, max(20, columns - numbers - 24))
    shapes = min(max(width(shape) for _, shape, _ in rows), max(10, columns - names - numbers - 6))
    return [
        f"  {padded(shortened(name, names), names)}  {padded(shortened(shape, shapes), shapes)}"
        f"  {padded(count, numbers, right=True)}".rstrip()
        for name, shape, count in rows
    ]


def _part_rows(parts: tuple[Part, ...], lead: str = "") -> Iterator[tuple[str, str, str]]:
    for place, part in enumerate(parts[:MAX_PARTS]):
        last = place == min(len(parts), MAX_PARTS) - 1 and len(parts) <= MAX_PARTS
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        times = f" ×{part.repeats}" if part.repeats > 1 else ""
        one = f"{part.parameters // part.repeats:,} each" if part.repeats > 1 and not part.weights else ""
        yield f"{lead}{branch}{shown(part.name)}{times}", _shapes(part.weights) or one, f"{part.parameters:,}"
        yield from _part_rows(part.parts, lead + below)
    if len(parts) > MAX_PARTS:
        rest = parts[MAX_PARTS:]
        yield f"{lead}└─ {len(rest)} more", "", f"{sum(part.parameters for part in rest):,}"


def _shapes(weights: tuple[Weight, ...]) -> str:
    """`576 × 1,536 + bias 576`: the first weight by its shape alone where it is called weight."""
    shapes = []
    for weight in weights:
        shape = " × ".join(f"{size:,}" for size in weight.shape) or "a number"
        shapes.append(shape if weight.name == "weight" else f"{shown(weight.name)} {shape}")
    return " + ".join(shapes)


def _memory(inspection: Inspection, columns: int) -> Iterator[str]:
    memory = inspection.memory
    sizes = [f"{dtype} {format_bytes(size)}" for dtype, size in memory.weights.items()]
    weights = ", ".join(sizes) or f"{format_bytes(memory.stored)} as they are stored"
    yield from _rows([("weights", weights)], columns)
    if memory.to_run:
        sizes = [f"{format_bytes(size)} on {_DEVICES[device]}" for device, size in memory.to_run.items()]
        yield from _rows([("to run", f"{', '.join(sizes)}, as smoke reckons: weights and libraries")], columns)
    if memory.cache:
        cache = memory.cache.bytes_per_1000_tokens
        tokens = inspection.context.tokens if inspection.context else 0
        full = f"; {format_bytes(cache * tokens / 1000)} for all {tokens:,}" if tokens else ""
        said = f"{format_bytes(cache)} for 1000 tokens of context{full}"
        yield from _rows([("KV cache", said), ("", f"= {memory.cache.sum}")], columns)


def _special(inspection: Inspection, columns: int) -> Iterator[str]:
    special = inspection.tokens.special
    named = [token for token in special if token.roles]
    others = [token for token in special if not token.roles]
    yield from table([_special_row(token) for token in named], right=frozenset({1})) if named else ()
    if others:
        count = inspection.tokens.special_total - len(named)
        pieces = ", ".join(shown(token.piece or str(token.id)) for token in others[:MAX_SPECIAL])
        more = ", …" if count > MAX_SPECIAL else ""
        yield from _indented(f"and {count} more: {pieces}{more}", columns)
    for disagreement in inspection.tokens.disagreements:
        yield from _indented(f"! {shown(disagreement)}", columns)


def _special_row(token: SpecialToken) -> tuple[str, str, str]:
    number = "?" if token.id is None else str(token.id)
    return ", ".join(token.roles), number, shortened(shown(token.piece), 60) if token.piece is not None else ""


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield title
    yield from lines


def _rows(rows: Iterable[tuple[str, str]], columns: int) -> Iterator[str]:
    for name, value in rows:
        first, *rest = wrapped(shown(value), columns - _NAME_COLUMNS - 3)
        yield f"  {name:<{_NAME_COLUMNS}}{first}"
        yield from (f"  {'':<{_NAME_COLUMNS}}{line}" for line in rest)


def _indented(text: str, columns: int) -> list[str]:
    return [f"  {line}" for line in wrapped(text, columns - 2)]
