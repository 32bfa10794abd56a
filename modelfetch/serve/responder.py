"""From a request to its reply, whichever dialect it is in. Opens no socket and no file."""

from __future__ import annotations

from modelfetch.serve import huggingface, modelscope
from modelfetch.serve.catalogue import Shelf, present_entries
from modelfetch.serve.reply import Reply, json_reply, text_reply
from modelfetch.serve.request import Request


def respond(request: Request, shelf: Shelf) -> Reply:
    """The reply to anything.

    Raises:
        StoreError: the catalogue cannot be read.
    """
    if request.segments == ("",):
        return _front_page(shelf)
    return (
        modelscope.respond(request, shelf)
        or huggingface.respond(request, shelf)
        or json_reply({"error": "no such address here"}, status=404)
    )


def _front_page(shelf: Shelf) -> Reply:
    """For a person who opens the address in a browser."""
    lines = ["modelfetch serves these models to clients of Hugging Face and of ModelScope:", ""]
    for snapshot in shelf.snapshots():
        manifest = snapshot.manifest
        size = sum(entry.size for entry in present_entries(snapshot))
        lines.append(f"{manifest.hub}:{manifest.repo}@{manifest.revision or manifest.commit[:12]}  {size} bytes")
    return text_reply("\n".join(lines) + "\n")
