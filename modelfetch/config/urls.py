"""Which addresses may be an endpoint's, and which may carry a token. Opens no socket.

- A base URL is http or https with a host, and has no user information, query or fragment.
- It is kept without a trailing slash, so that a path can be put behind it.
- A token travels over https, or to this very machine; never over plain http to another.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def base_url(text: str) -> str:
    """`text` as an endpoint's base URL.

    Raises:
        ValueError: it cannot be one; the message says what was expected.
    """
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("a URL without white space")
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise ValueError("a URL such as https://hub.example.com") from error
    if parts.scheme.lower() not in {"http", "https"} or not parts.hostname:
        raise ValueError("a URL such as https://hub.example.com")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("a port between 1 and 65535")
    if "@" in parts.netloc:
        raise ValueError("a URL without user name or password; a token is set by its own variable")
    if "?" in text or "#" in text:
        raise ValueError("a URL without `?` and `#`")
    return text.rstrip("/")


def host_of(url: str) -> str:
    """host[:port], to name an endpoint by."""
    return urlsplit(url).netloc.lower()


def is_loopback(url: str) -> bool:
    """Whether `url` leads to this very machine."""
    host = (urlsplit(url).hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def may_carry_token(url: str) -> bool:
    """Whether a token that is sent to `url` can only be read by the host it names."""
    return urlsplit(url).scheme.lower() == "https" or is_loopback(url)
