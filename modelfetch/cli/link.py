"""`modelfetch link`: a view of a model for another tool, or in a folder."""

from __future__ import annotations

from pathlib import Path

import click

from modelfetch.cli._output import format_bytes, print_json, print_path, say

_EPILOG = """\b
Examples:
  modelfetch link Qwen/Qwen3-0.6B --to huggingface
  modelfetch link Qwen/Qwen3-0.6B --to /data/qwen
"""


@click.command(epilog=_EPILOG)
@click.argument("reference", metavar="REF")
@click.option(
    "--to", "target", metavar="huggingface|modelscope|DIR", required=True, help="Whose cache, or which folder."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
def command(*, reference: str, target: str, as_json: bool) -> None:
    """Show a model that was pulled to another tool, without a second copy of its weights.

    In a folder, texts and small files are copies that you may edit; weights share the store's bytes where the disk
    allows it. What you edited there before is kept as NAME.saved. Prints the folder.
    """
    from modelfetch.cli._stored import lookup
    from modelfetch.config import load
    from modelfetch.reference import HUBS
    from modelfetch.store import Store, ViewPlace
    from modelfetch.store.views import registry

    settings = load()
    store = Store.open(settings.home, create=False)
    snapshot = lookup(store, reference)
    kind = HUBS.get(target, "folder")
    root = {"huggingface": settings.hf_cache, "modelscope": settings.modelscope_cache}.get(kind, Path(target))
    view = registry.link(store, snapshot, ViewPlace(kind, root.expanduser()))
    for note in view.notes:
        say(f"note: {note}", style="yellow")
    for path in view.saved:
        say(f"kept what you had as {path}")
    if as_json:
        print_json(
            {
                "repo": snapshot.manifest.repo,
                "hub": snapshot.manifest.hub,
                "commit": snapshot.manifest.commit,
                "to": kind,
                "folder": str(view.folder),
                "linked": view.linked,
                "copied": view.copied,
                "copied_bytes": view.copied_bytes,
                "saved": [str(path) for path in view.saved],
                "notes": list(view.notes),
            }
        )
        return
    say(f"{view.linked} linked, {view.copied} copied ({format_bytes(view.copied_bytes)}); the rest was there")
    print_path(view.folder)
