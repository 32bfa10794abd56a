"""What may be shown of a URL or a header: never a token, a password or a signature.

- User information goes, whatever characters it holds, also from a proxy that is written without `http://`.
- The query goes as a whole when any of its names looks like a signature or a credential: a signed URL is a key.
- A text is searched for tokens by their prefixes, because libraries quote headers in their messages.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit, urlunsplit

_SECRET_NAME = re.compile(r"sig|token|secret|password|credential|expires|policy|key|auth", re.IGNORECASE)
# ModelScope's tokens are `ms-` and a UUID; many models are called `ms-` and a word.
_SECRET_TEXT = re.compile(
    r"\b(?:hf_|ghp_)[A-Za-z0-9_-]{8,}|\bms-[A-Za-z0-9]{8}[A-Za-z0-9-]*|(?i:bearer)\s+\S+|m_session_id=[^;\s]+"
)
_USER = re.compile(r"(?:(?<=//)[^\s/?#]*|(?<![\w/:])[^\s:/@=`'\"]+:[^\s/@`'\"]+)@")
# No scheme is that long, and a long text is not searched from each of its letters to its end. What ends a sentence does
# not belong to the address before it.
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{0,30}://[^\s'\"<>`]*[^\s'\"<>`.,;:!?)]")
_GONE = "[redacted]"


def redact_url(url: str) -> str:
    """`url` without user information, fragment, and without its query when that can be a credential."""
    try:
        parts = urlsplit(_USER.sub("", url))
        parts.port  # noqa: B018 - what is no number may be a password with a slash in it
        secret_query = any(_SECRET_NAME.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        return _GONE
    return urlunsplit((parts.scheme, parts.netloc, parts.path, _GONE if secret_query else parts.query, ""))


def redact(text: str) -> str:
    """`text` with every URL in it cut down by `redact_url` and every token replaced."""
    shown = _URL.sub(lambda match: redact_url(match.group()), _USER.sub("", text))
    return _SECRET_TEXT.sub(_GONE, shown)
