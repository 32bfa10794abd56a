"""Writes docs/cli.md from the commands and docs/errors.md from the errors: `make docs`. A test holds them to it.

The text is made of the options' own words, not of click's layout, so that a newer click changes nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from modelfetch.cli import ALIASES, COMMANDS, app
from modelfetch.errors import INTERRUPTED, READER_GONE, ModelfetchError

FOLDER = Path(__file__).parent
_MADE = "<!-- Made by `make docs`. Change the source instead. -->"


def pages() -> dict[str, str]:
    """The generated pages, by file name."""
    return {"cli.md": "\n".join(_cli_page()), "errors.md": "\n".join(_errors_page())}


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


def _cli_page() -> Iterator[str]:
    yield from (_MADE, "", "# The command line", "")
    yield "Results go to stdout, everything else to stderr. [errors.md](errors.md) has every exit status,"
    yield "[json.md](json.md) every key of `--json`."
    yield ""
    yield from _table(
        ("command", "what it does"), ((f"[{name}](#modelfetch-{name})", COMMANDS[name]) for name in COMMANDS)
    )
    yield ""
    yield "; ".join(f"`{alias}` is an alias of `{name}`" for alias, name in ALIASES.items()) + "."
    yield ""
    context = click.Context(app, info_name="modelfetch")
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        yield from _command(command, f"modelfetch {name}")


def _command(command: click.Command, name: str) -> Iterator[str]:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    options = [param for param in command.params if isinstance(param, click.Option)]
    members = command.commands.items() if isinstance(command, click.Group) else ()
    usage = [name, *(_argument(argument) for argument in arguments), *(["[COMMAND]"] if members else [])]
    yield from (f"## {name}", "", f"    {' '.join(usage)}", "")
    yield from (*_paragraphs(command.help or ""), "")
    if options:
        yield from _table(("option", "meaning"), ((_option(option), _meaning(option)) for option in options))
        yield ""
    if command.epilog:
        yield from ("Examples:", "", *(f"    {line}".rstrip() for line in _examples(command.epilog)), "")
    for member, below in members:
        yield from _command(below, f"{name} {member}")


def _argument(argument: click.Argument) -> str:
    return argument.metavar or (argument.name or "").upper()


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    return names if option.is_flag else f"{names} `{_value(option)}`"


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return "|".join(option.type.choices)
    return "DIR" if isinstance(option.type, click.Path) else option.type.name.partition(" ")[0].upper()


def _meaning(option: click.Option) -> str:
    shown = option.show_default and not option.is_flag
    return f"{option.help or ''} Default: `{option.default}`." if shown else option.help or ""


def _paragraphs(help_text: str) -> list[str]:
    return inspect.cleandoc(help_text).splitlines()


def _examples(epilog: str) -> list[str]:
    lines = (line.strip() for line in epilog.replace("\b", "").splitlines())
    texts = [line for line in lines if line and line not in {"Examples:", "Example:"}]
    # An epilog of one line has its examples side by side.
    parts = (
        part.removeprefix("Examples:").removeprefix("Example:").strip() for text in texts for part in text.split("  ")
    )
    return [part for part in parts if part]


def _errors_page() -> Iterator[str]:
    yield from (_MADE, "", "# Exit statuses and errors", "")
    yield "An error is a message with the object in backticks, the facts, and a hint: one command or one sentence that"
    yield "helps. A foreseen error has no traceback; `MODELFETCH_DEBUG=1` shows it."
    yield ""
    rows = [("0", "", "Done.")]
    rows += [(str(kind.exit_status), f"`{kind.__name__}`", _sentence(kind)) for kind in _errors()]
    rows.append((str(INTERRUPTED), "`KeyboardInterrupt`", "Interrupted: the same command goes on from here."))
    rows.append((str(READER_GONE), "", "Nobody reads the results any more, as in `modelfetch ls | head -1`."))
    yield from _table(("exit status", "in Python: `modelfetch.errors`", "meaning"), rows)
    yield ""


def _errors() -> list[type[ModelfetchError]]:
    """Every class, by its exit status, and a class before its special cases."""
    found, new = [ModelfetchError], ModelfetchError.__subclasses__()
    while new:
        found += new
        new = [below for kind in new for below in kind.__subclasses__()]
    return sorted(found, key=lambda kind: kind.exit_status)


def _sentence(kind: type[ModelfetchError]) -> str:
    if kind is ModelfetchError:
        return "A bug: anything that was not foreseen."
    return " ".join((inspect.getdoc(kind) or "").split())


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for cells in (heads, ("---",) * len(heads), *rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    main()
