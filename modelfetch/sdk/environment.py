"""The environment that a hub's own client runs in. Decides only.

- Nothing of the user's reaches it but how to find programs, how to reach the network, and the client's own tuning: no
  token, no endpoint, no cache, no offline switch.
- Telemetry is off.
- Its home is the scratch folder's: it finds no stored login and leaves nothing elsewhere.
- Its time-outs are short: its own retries, and then our watch, decide about a stall, not five minutes of silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_KEPT = frozenset(
    {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}
)
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"})
# What a user sets to make the client itself faster, or to keep it from Xet.
_TUNING = ("HF_XET_", "HF_HUB_DISABLE_XET", "HF_HUB_DOWNLOAD_TIMEOUT", "MODELSCOPE_DOWNLOAD_")

# Xet waits five minutes for an answer, five times. ModelScope's client gives up on any file that takes an hour.
_PATIENCE = {
    "HF_XET_CLIENT_CONNECT_TIMEOUT": "10s",
    "HF_XET_CLIENT_READ_TIMEOUT": "30s",
    "MODELSCOPE_DOWNLOAD_TIMEOUT": "30",
    "MODELSCOPE_DOWNLOAD_TOTAL_TIMEOUT": str(30 * 24 * 3600),
}
_FIXED = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_XET_TELEMETRY_ENABLED": "0",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TQDM_DISABLE": "1",
}


def child_environment(environment: Mapping[str, str], *, home: Path, endpoint_url: str) -> dict[str, str]:
    """What of `environment` the client gets, and what it gets besides."""
    kept = {name: value for name, value in environment.items() if _is_kept(name)}
    places = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "HF_HOME": str(home / "huggingface"),
        "MODELSCOPE_HOME": str(home / "modelscope"),
        "MODELSCOPE_CACHE": str(home / "modelscope-cache"),
        # The client also reads where its hub is from here, for what it does besides downloading.
        "HF_ENDPOINT": endpoint_url,
        "MODELSCOPE_ENDPOINT": endpoint_url,
    }
    return {**_PATIENCE, **kept, **_FIXED, **places}


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.upper() in _PROXIES or name.startswith(_TUNING)
