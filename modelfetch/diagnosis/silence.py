"""Why no endpoint at all answers, when all of them fail in the same way, and what mends it. Data, and a pure look-up.

- All must fail alike: in the same kind, and, where a cause is narrower than its kind, with its sign in what each says.
- The narrower cause comes first: a proxy that wants a password before a proxy that refuses.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from modelfetch.planning.retry import Kind


@dataclass(frozen=True)
class Cause:
    """What keeps every endpoint away: the finding's name, a title, advice, and the commands that mend it."""

    name: str
    title: str
    advice: str
    fix: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """How one endpoint failed: of what kind, where that is known, and in which words."""

    kind: Kind | None
    words: str


_UNKNOWN = Cause(
    "net.endpoint",
    "no endpoint answers",
    "Look at the name servers and the proxy (HTTPS_PROXY), or add a mirror that this network reaches.",
)
_WITHOUT_PROXY = "unset HTTPS_PROXY https_proxy ALL_PROXY all_proxy"
_LOGIN = Cause(
    "net.portal",
    "something else answers in the place of every endpoint",
    "Log in to the network with a browser first.",
)
_CLOCK = Cause(
    "net.tls",
    "no endpoint's certificate is valid at this machine's time",
    "A clock that is wrong explains it for all of them; `date` shows it.",
    ("sudo timedatectl set-ntp true",),
)
_CUT = Cause(
    "net.endpoint",
    "every connection to an endpoint is cut",
    "A firewall does that. Name a proxy that this network allows (HTTPS_PROXY), or add a mirror that it reaches.",
    ("export HTTPS_PROXY=http://HOST:PORT",),
)

# Kind, what each failure must say, cause. The words are those of OpenSSL, of the system and of our own proxy code.
_CAUSES: tuple[tuple[Kind, str, Cause], ...] = (
    (
        Kind.DNS,
        "",
        Cause(
            "net.dns",
            "no name of an endpoint can be looked up",
            "The name servers in /etc/resolv.conf do not answer, there is no network, or it wants a proxy"
            " (HTTPS_PROXY). `getent hosts huggingface.co` tries it.",
        ),
    ),
    (
        Kind.PROXY,
        " 407 ",
        Cause(
            "net.proxy-refuses",
            "the proxy wants a name and a password",
            "They stand before the host in its address; signs such as @ are written as %40.",
            ("export HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT",),
        ),
    ),
    (
        Kind.PROXY,
        " 403 ",
        Cause(
            "net.proxy-refuses",
            "the proxy forbids every endpoint",
            "Whoever runs it may allow them; without it there may be another way out.",
            (_WITHOUT_PROXY,),
        ),
    ),
    (
        Kind.PROXY,
        "",
        Cause(
            "net.proxy-refuses",
            "the proxy lets no endpoint through",
            "It may be over, or its address wrong.",
            (_WITHOUT_PROXY,),
        ),
    ),
    (Kind.TLS, "has expired", _CLOCK),
    (Kind.TLS, "not yet valid", _CLOCK),
    (Kind.TLS, "ostname mismatch", _LOGIN),
    (Kind.TLS, "speaks no TLS", _LOGIN),
    (
        Kind.TLS,
        "",
        Cause(
            "net.tls",
            "no endpoint's certificate is accepted",
            "Something in between, usually a company's proxy, shows its own; its authority must be trusted by the"
            " system.",
            ("sudo cp COMPANY.crt /usr/local/share/ca-certificates/ && sudo update-ca-certificates",),
        ),
    ),
    (Kind.PORTAL, "", _LOGIN),
    (Kind.REDIRECT, "", _LOGIN),
    (Kind.CONNECT, "reset", _CUT),
    (Kind.CUT, "", _CUT),
)


def why_silent(failures: Collection[Failure]) -> Cause:
    """The one thing that explains all these failures; that no endpoint answers where there is none."""
    return next(
        (
            cause
            for kind, sign, cause in _CAUSES
            if all(failure.kind is kind and sign in failure.words for failure in failures)
        ),
        _UNKNOWN,
    )
