"""Which headers may go to which URL, and which redirects may be followed. Decides only.

- A credential belongs to one origin and is added to requests for exactly that origin: not to a mirror, not to where a
  redirect or a `Link: next` leads.
- It never travels over plain http, unless the host is this machine.
- A redirect may not leave http and https, carry user information, or step down from https to http.
- What a Location may not hold and is harmless, a space or a letter beyond ASCII, is escaped, as browsers do.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from modelfetch.config import may_carry_token, origin_of
from modelfetch.planning.retry import Fault, FaultError, Kind
from modelfetch.redact import redact_url

# Servers take no longer one, and searching what is endless for secrets takes minutes.
_LONGEST_LOCATION = 8192
# Control characters may stand, to be refused below.
_MAY_STAND = string.punctuation + "".join(map(chr, [*range(32), 127]))


@dataclass(frozen=True)
class Credential:
    """Headers that prove who asks, bound to the one origin they may be shown to."""

    origin: str
    headers: Mapping[str, str] = field(repr=False)


def headers_for(url: str, headers: Mapping[str, str], credential: Credential | None) -> dict[str, str]:
    """`headers`, with the credential's where `url` is its origin and the way there is private."""
    if credential is None or origin_of(url) != credential.origin or not may_carry_token(url):
        return dict(headers)
    return {**headers, **credential.headers}


def redirect_target(url: str, location: str | None) -> str:
    """The absolute URL that a redirect from `url` leads to.

    Raises:
        FaultError: it may not be followed.
    """
    if not location:
        raise FaultError(Fault(Kind.REDIRECT, "no Location"))
    if len(location) > _LONGEST_LOCATION:
        raise FaultError(Fault(Kind.REDIRECT, f"a Location of {len(location)} characters"))
    try:
        # What a header holds was read as Latin-1, whatever it was; its bytes are what counts.
        target = urljoin(url, quote(location.strip(" "), safe=_MAY_STAND, encoding="latin-1"))
        parts = urlsplit(target)
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError as error:
        raise FaultError(Fault(Kind.REDIRECT, "malformed Location")) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise FaultError(Fault(Kind.REDIRECT, f"leads to {redact_url(target)}"))
    if any(ord(character) <= 32 or ord(character) == 127 for character in target):
        raise FaultError(Fault(Kind.REDIRECT, "control characters in Location"))
    if urlsplit(url).scheme == "https" and parts.scheme == "http":
        raise FaultError(Fault(Kind.REDIRECT, f"steps down to plain http at {parts.hostname}"))
    return target
