"""From a request to its reply, whichever dialect it is in. Opens no socket and no file.

- A snapshot that cannot be read is an error 500 with its message, not the end of the server.
"""

from __future__ import annotations

from modelfetch.errors import ModelfetchError
from modelfetch.serve import huggingface, modelscope
from modelfetch.serve.catalogue import Shelf, present_entries
from modelfetch.serve.reply import Reply, json_reply, text_reply
from modelfetch.serve.request import Request


def respond(request: Request, shelf: Shelf) -> Reply:
    """The reply to anything."""
    try:
        if request.segments == ("",):
            return _front_page(shelf)
        reply = modelscope.respond(request, shelf) or huggingface.respond(request, shelf)
    except ModelfetchError as error:
        return json_reply({"error": error.message}, status=500)
    return reply or json_reply({"error": "no such address here"}, status=404)


def _front_page(shelf: Shelf) -> Reply:
    """For a person who opens the address in a browser."""
    lines = ["modelfetch serves these models to clients of Hugging Face and of ModelScope:", ""]
    for snapshot in shelf.snapshots():
        manifest = snapshot.manifest
        size = sum(entry.size for entry in present_entries(snapshot))
        lines.append(f"{manifest.hub}:{manifest.repo}@{manifest.revision or manifest.commit[:12]}  {size} bytes")
    return text_reply("\n".join(lines) + "\n")
