"""`modelfetch path`: the folder of a model, and nothing else on stdout."""

from __future__ import annotations

import click

from modelfetch.cli._output import print_path

_EPILOG = """\b
Example:
  vllm serve "$(modelfetch path Qwen/Qwen3-0.6B)"
"""


@click.command(epilog=_EPILOG)
@click.argument("reference", metavar="REF")
def command(reference: str) -> None:
    """Print the folder of a model that was pulled, and nothing else."""
    from modelfetch.cli._stored import lookup
    from modelfetch.config import load
    from modelfetch.store import Store

    print_path(lookup(Store.open(load().home, create=False), reference).folder)
