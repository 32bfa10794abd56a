"""Opens sockets to origins: addresses one by one, proxies from the environment, TLS with the system's trust.

- Each address of a name gets a short time of its own, so that an IPv6 that is announced and does not work costs
  seconds once: an address that failed is tried last from then on.
- HTTP(S)_PROXY, ALL_PROXY and NO_PROXY mean what they mean to curl. http and https go through an HTTP proxy,
  everything through a SOCKS one; loopback never goes through any.
- Raises `FaultError` for whatever fails; a message holds no proxy password.
"""

from __future__ import annotations

import base64
import socket
import ssl
import time
from functools import cached_property
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # in no stub

from modelfetch.config import is_loopback
from modelfetch.planning.retry import TRICKLE_S, Fault, FaultError, Kind

CONNECT_TIMEOUT_S = 5.0
_LONGEST_PROXY_ANSWER = 16 << 10
# What OpenSSL, by its version, says of an answer that is plain http.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"})


class Network:
    """How this process reaches the world. One for a whole command; may be used from several threads."""

    def __init__(self) -> None:
        self._proxies = getproxies_environment()
        self._failed: set[object] = set()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        import truststore

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def proxy_for(self, origin: str) -> str | None:
        """The proxy URL for `origin`, None where it is reached directly.

        Raises:
            FaultError: PROXY, because the environment holds no address.
        """
        parts = urlsplit(origin)
        if is_loopback(origin) or proxy_bypass_environment(parts.netloc, self._proxies):
            return None
        proxy = self._proxies.get(parts.scheme) or self._proxies.get("all")
        try:
            urlsplit(proxy or "").port  # noqa: B018 - reading it is what checks it
        except ValueError as error:
            raise FaultError(Fault(Kind.PROXY, "its address in the environment is none")) from error
        return proxy

    def is_relayed(self, origin: str) -> bool:
        """Whether requests to `origin` go to an HTTP proxy in absolute form (plain http through a plain proxy)."""
        proxy = self.proxy_for(origin)
        return bool(proxy) and origin.startswith("http:") and not _is_socks(proxy or "")

    def proxy_headers(self, origin: str) -> dict[str, str]:
        """What an absolute-form request must carry for the proxy."""
        return _proxy_authorization(self.proxy_for(origin) or "")

    def open(self, origin: str, timeout_s: float) -> socket.socket:
        """A connected socket for `origin`, TLS included; `timeout_s` is then its time for a single read.

        Raises:
            FaultError: DNS, CONNECT, PROXY or TLS.
        """
        parts = urlsplit(origin)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self.proxy_for(origin)
        if proxy is None:
            connected = self._connect(host, port)
        elif _is_socks(proxy):
            connected = _connect_socks(proxy, host, port)
        else:
            connected = self._connect_http_proxy(proxy, host, port, tunnel=parts.scheme == "https")
        try:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if parts.scheme == "https":
                connected = self._tls.wrap_socket(connected, server_hostname=host)
            connected.settimeout(timeout_s)
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            # What a link that breaks, or is broken, does to a handshake; nobody refused anything.
            connected.close()
            raise FaultError(Fault(Kind.CONNECT, f"{host}: closed during the TLS handshake")) from error
        except (ssl.SSLError, ssl.CertificateError) as error:
            connected.close()
            raise FaultError(Fault(Kind.TLS, f"{host}: {_reason(error)}")) from error
        except TimeoutError as error:
            connected.close()
            raise FaultError(Fault(Kind.CONNECT, f"{host}: no answer in the TLS handshake")) from error
        except OSError as error:
            connected.close()
            raise FaultError(Fault(Kind.CONNECT, f"{host}: {_reason(error)}")) from error
        return connected

    def _connect(self, host: str, port: int) -> socket.socket:
        try:
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FaultError(Fault(Kind.DNS, f"{host}: {_reason(error)}")) from error
        failure: OSError | None = None
        for family, kind, protocol, _, address in sorted(addresses, key=lambda item: item[4][0] in self._failed):
            candidate = socket.socket(family, kind, protocol)
            candidate.settimeout(CONNECT_TIMEOUT_S)
            try:
                candidate.connect(address)
            except OSError as error:
                candidate.close()
                self._failed.add(address[0])
                failure = error
            else:
                return candidate
        raise FaultError(Fault(Kind.CONNECT, f"{host}:{port}: {_reason(failure)}")) from failure

    def _connect_http_proxy(self, proxy: str, host: str, port: int, *, tunnel: bool) -> socket.socket:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme != "http" or not parts.hostname:
            raise FaultError(Fault(Kind.PROXY, f"a proxy of the form {parts.scheme}://HOST is not spoken here"))
        try:
            connected = self._connect(parts.hostname, parts.port or 80)
        except FaultError as error:
            raise FaultError(Fault(Kind.PROXY, error.fault.detail)) from error
        if tunnel:
            try:
                _tunnel(connected, host, port, _proxy_authorization(proxy))
            except BaseException:
                connected.close()
                raise
        return connected


def _tunnel(connected: socket.socket, host: str, port: int, headers: dict[str, str]) -> None:
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *(f"{k}: {v}" for k, v in headers.items())]
    try:
        connected.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("ascii"))
        answer, until = b"", time.monotonic() + TRICKLE_S
        while b"\r\n\r\n" not in answer and len(answer) < _LONGEST_PROXY_ANSWER:
            if time.monotonic() > until:
                raise TimeoutError
            # One byte at a time: what follows the empty line belongs to the TLS handshake.
            received = connected.recv(1)
            if not received:
                break
            answer += received
    except OSError as error:
        raise FaultError(Fault(Kind.PROXY, _reason(error))) from error
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if not status.startswith("HTTP/1.") or status.split(" ")[1:2] != ["200"]:
        raise FaultError(Fault(Kind.PROXY, f"it answered {status[:80]!r} to CONNECT"))


def _connect_socks(proxy: str, host: str, port: int) -> socket.socket:
    import python_socks
    from python_socks.sync import Proxy

    # socks5h and socks4a are curl's words for "let the proxy resolve the name", which python-socks always does.
    url = proxy.replace("socks5h://", "socks5://").replace("socks4a://", "socks4://").replace("socks://", "socks5://")
    try:
        connected = Proxy.from_url(url, rdns=True).connect(host, port, timeout=2 * CONNECT_TIMEOUT_S)
    except (python_socks.ProxyError, OSError, ValueError) as error:
        raise FaultError(Fault(Kind.PROXY, _reason(error))) from error
    assert isinstance(connected, socket.socket)
    return connected


def _is_socks(proxy: str) -> bool:
    return proxy.lower().startswith("socks")


def _proxy_authorization(proxy: str) -> dict[str, str]:
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if not parts.username:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}


def _reason(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "the certificate is not trusted"
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "what answers there speaks no TLS; is its address http:// and not https://?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
