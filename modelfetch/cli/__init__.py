"""The command line: a skin over the library. click only here; the only place that prints, prompts or exits.

- A file without an underscore is a command; it holds `command`. The table below lets `--help` list them all without
  importing one.
- A foreseen failure is printed as its message, facts and hint and ends with its class's exit status; never with a
  traceback, unless MODELFETCH_DEBUG=1 asks for one.
- Results go to stdout, everything else to stderr.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click

from modelfetch import __version__
from modelfetch.cli._streams import ReaderGoneError, open_standard_streams
from modelfetch.cli._usurpers import usurped
from modelfetch.diskfaults import unexpected
from modelfetch.errors import INTERRUPTED, READER_GONE, ConfigError, ModelfetchError, UsageError
from modelfetch.limits import refused

COMMANDS = {
    "pull": "Bring a model: fast, whole, verified, kept once.",
    "ls": "List the models in the store.",
    "path": "Print the folder of a model, and nothing else.",
    "verify": "Find what is damaged, or not as it is locked; mend it.",
    "rm": "Remove models from the store.",
    "prune": "Make room in the store.",
    "link": "Make a view of a model for another tool, or in a folder.",
    "adopt": "Take in models that are on this disk already, without a download.",
    "smoke": "Load a model and make it work: PASS or FAIL, and why.",
    "chat": "Talk with a model, in a terminal or in a pipe.",
    "inspect": "Say what a model is: built of what, reading how, saying what next.",
    "doctor": "Say what is wrong on this machine and what mends it.",
    "serve": "Serve the store to other machines, in both hubs' dialects.",
    "mirrors": "List the endpoints that can be pulled from.",
    "config": "Show every setting and where it came from.",
    "demo": "Try the whole way with a real small model and no hub.",
}
ALIASES = {"download": "pull", "list": "ls"}


class _Commands(click.Group):
    """Loads a command's module when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        command = import_module(f"modelfetch.cli.{name}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"modelfetch.cli.{name}.command is not a command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return (ALIASES.get(name, name) if name else None), command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="""\b
Start with:
  modelfetch pull Qwen/Qwen3-0.6B
  modelfetch smoke Qwen/Qwen3-0.6B
  modelfetch doctor
""",
)
@click.version_option(__version__, message="modelfetch %(version)s")
def app() -> None:
    """Get a model onto this machine fast, whole and proven."""


def main() -> NoReturn:
    """The console script: run the command and exit with the contract's status."""
    open_standard_streams()
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit status."""
    if os.environ.get("MODELFETCH_DEBUG") == "1":
        return _run(arguments)
    try:
        return _run(arguments)
    except ModelfetchError as error:
        _print_error(error.render())
        return error.exit_status
    except ReaderGoneError:
        return READER_GONE
    except Exception as error:  # noqa: BLE001 - the outermost edge: a bug is reported as one
        if foreseen := _of_the_machine(error):
            _print_error(foreseen.render())
            return foreseen.exit_status
        _print_error(f"this is a bug in modelfetch: {type(error).__name__}: {error}")
        _print_error("hint: run it again with MODELFETCH_DEBUG=1 and report what it prints", prefix="")
        return 1


def _of_the_machine(error: Exception) -> ModelfetchError | None:
    """What `error` says of the machine, where that can come up anywhere; None where it says something of this code."""
    if isinstance(error, FileNotFoundError) and not _is_somewhere():
        return UsageError("the folder that this was started in is not there any more", hint='cd "$HOME", or elsewhere')
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding():
        return ConfigError(
            f"`{error.object}` cannot be a file's name where names are written in {error.encoding}",
            hint="PYTHONUTF8=1, set before the command, has names written in UTF-8 whatever the locale says",
        )
    return usurped(error) or refused(error) or (unexpected(error) if isinstance(error, OSError) else None)


def _is_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _run(arguments: list[str]) -> int:
    try:
        result = app.main(args=arguments, prog_name="modelfetch", standalone_mode=False, color=_color())
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.UsageError as error:
        _show_usage(error)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _print_error("interrupted; the same command goes on from here")
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _show_usage(error: click.UsageError) -> None:
    from modelfetch.cli._output import unheard

    with unheard():
        error.show()


def _color() -> bool | None:
    """No style at all where NO_COLOR is set; otherwise click asks whether it is a terminal that it writes to."""
    return False if os.environ.get("NO_COLOR") else None


def _print_error(text: str, *, prefix: str = "error: ") -> None:
    from modelfetch.cli._output import printable, unheard

    with unheard():
        click.echo(printable(prefix + text), err=True)
