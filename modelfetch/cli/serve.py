"""`modelfetch serve`: the store for other machines, in both hubs' dialects."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import click

from modelfetch.cli._output import format_bytes, format_duration, say
from modelfetch.redact import redact_url

if TYPE_CHECKING:
    from modelfetch.serve import Served


@click.command(
    "serve",
    epilog="""\b
Examples:
  modelfetch serve
  modelfetch serve --host 0.0.0.0 --port 8090
  HF_ENDPOINT=http://192.168.1.7:8090 hf download Qwen/Qwen3-0.6B
""",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for every one.")
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of the requests.")
def command(host: str, port: int, quiet: bool) -> None:
    """Serve the store to hf, ms-hub, transformers, curl and modelfetch on other machines.

    Read-only. Prints its URL, then the two settings that make hf and ms-hub use it, and the command that pulls from it.
    Ctrl-C ends it.
    """
    from modelfetch.config import load
    from modelfetch.serve import Server, ignore
    from modelfetch.store import Store

    store = Store.open(load().home, create=False)
    server = Server(store, host, port, observe=ignore if quiet else _log)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        click.echo(server.url)
        click.echo(f"export HF_ENDPOINT={server.url}")
        click.echo(f"export MODELSCOPE_ENDPOINT={server.url}")
        if not server.is_loopback:
            say(f"warning: anybody who reaches port {server.port} of this machine can read the models", style="yellow")
        snapshots = store.snapshots()
        if not snapshots:
            say("there is no model to serve yet; what is pulled from now on is served at once")
        name = snapshots[0].manifest.repo if snapshots else "OWNER/NAME"
        say(f"on another machine: modelfetch pull {name} --endpoint {server.url}")
        server.run_forever()
    except KeyboardInterrupt:
        # Being stopped is how a server ends, not an interruption of its work.
        say("stopped")
    finally:
        server.close()


def _log(served: Served) -> None:
    line = f"{served.client} {served.method} {redact_url(served.target)} {served.status}"
    say(f"{line} {format_bytes(served.bytes_sent)} {format_duration(served.duration_s)}")
    if served.error:
        say(served.error, style="red")
