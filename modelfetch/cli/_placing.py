"""The options of every command that runs a model: where, in which type, and with whose code."""

from __future__ import annotations

import re

import click

from modelfetch.errors import UsageError

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def _checked(context: click.Context, option: click.Parameter, value: str) -> str:  # noqa: ARG001 - what click calls
    if not _DEVICE.fullmatch(value):
        raise UsageError(f"`{value}` is no device", facts={"expected": "auto, cpu, mps, cuda or cuda:N"})
    return value


device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|mps|cuda[:N]",
    callback=_checked,
    help="Where to run.",
)
dtype_option = click.option(
    "--dtype", default="auto", type=click.Choice(["auto", "float32", "bfloat16", "float16"]), help="In which type."
)
trust_option = click.option(
    "--trust-remote-code", is_flag=True, help="Run Python code that comes with the model. Read it first."
)
