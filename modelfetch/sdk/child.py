"""Runs a hub's own client in a process of its own: `python child.py`, with the request as a line of JSON on stdin.

Stands alone, with nothing but the standard library and the client: modelfetch need not be importable here.

- How it went is one line of JSON on stdout; whatever the client prints goes to stderr.
- When stdin ends, the parent is gone, and so is this process: nobody watches it any more.
- The token is shown to the endpoint's origin and to no other, whatever the endpoint links or redirects to.
"""

from __future__ import annotations

import glob
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

# What a pipe holds must be enough: it is read when this process has ended.
_MOST_CAUSES = 8
_MOST_CHARACTERS = 300


class TokenRefusedError(Exception):
    """The endpoint wanted the token to be taken to another origin."""


def main() -> None:
    """Carry out the request and tell how it went."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _CLIENTS[request["hub"]](request)
        causes = []
    except Exception as error:  # noqa: BLE001 - the process's edge: whatever a client raises is told to the parent
        causes = [_described(cause, request["endpoint"]) for cause in _causes(error)]
    json.dump({"causes": causes}, answer)
    answer.flush()
    # All is said; what native threads still do at the end of an interpreter is of no interest.
    os._exit(0)


def _huggingface(request: dict[str, Any]) -> None:
    from huggingface_hub import set_client_factory, snapshot_download
    from huggingface_hub.utils._http import default_client_factory

    def keep_token_home(message: Any) -> None:
        # Refused, not stripped: a link to another origin is handed on to Xet's native client, with the token.
        if "authorization" in message.headers and _origin(str(message.url)) != _origin(request["endpoint"]):
            raise TokenRefusedError(f"the token was to be taken to {_origin(str(message.url))}")

    def guarded_client() -> Any:
        client = default_client_factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "request": [*hooks["request"], keep_token_home]}
        return client

    set_client_factory(guarded_client)
    snapshot_download(
        request["repo"],
        revision=request["commit"],
        endpoint=request["endpoint"],
        token=request["token"] or False,
        local_dir=request["folder"],
        allow_patterns=[glob.escape(file["path"]) for file in request["files"]],
        **request["options"],
    )


def _modelscope(request: dict[str, Any]) -> None:
    from modelscope_hub import HubApi
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_without_token(adapter: Any, message: Any, *args: Any, **options: Any) -> Any:
        # The client's cookie is for the host and all below it, on every port: the hub's CDN would see it.
        if _origin(message.url) != _origin(request["endpoint"]):
            message.headers.pop("Authorization", None)
            message.headers.pop("Cookie", None)
        return send(adapter, message, *args, **options)

    HTTPAdapter.send = send_without_token
    HubApi(endpoint=request["endpoint"], token=request["token"] or "").download_repo(
        request["repo"],
        "model",
        revision=request["revision"] or "master",
        local_dir=request["folder"],
        # Our own listing: the client's would be of a branch that may have moved, and its names have not been judged.
        file_list=[
            {"Path": file["path"], "Size": file["size"], "Sha256": file["sha256"], "Type": "blob"}
            for file in request["files"]
        ],
        **request["options"],
    )


_CLIENTS: dict[str, Callable[[dict[str, Any]], None]] = {"huggingface": _huggingface, "modelscope": _modelscope}


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and the errors of single files that it collects."""
    waiting, seen = [error], set[int]()
    while waiting and len(seen) < _MOST_CAUSES:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += getattr(cause, "failed_files", {}).values()
        waiting += [each for each in (cause.__cause__ or cause.__context__,) if each is not None]


def _described(error: BaseException, endpoint: str) -> dict[str, Any]:
    response = getattr(error, "response", None)
    url = getattr(error, "url", None) or getattr(response, "url", None)
    return {
        "kinds": [kind.__name__ for kind in type(error).__mro__],
        "message": " ".join(str(error).split())[:_MOST_CHARACTERS],
        "status": _number(getattr(error, "status_code", None) or getattr(response, "status_code", None)),
        "errno": _number(getattr(error, "errno", None)),
        "elsewhere": url is not None and _origin(str(url)) != _origin(endpoint),
    }


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, (parts.hostname or "").lower(), port


if __name__ == "__main__":
    main()
