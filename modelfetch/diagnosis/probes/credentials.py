"""Saved tokens and certificate files: whether they are there and who can read them. Never what a token is."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config.load import saved_token_file
from modelfetch.config.values import Settings
from modelfetch.diagnosis.machine import Machine

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_LONGEST_TOKEN_FILE = 4096


@dataclass(frozen=True)
class CredentialFacts:
    """`token_file` is the Hugging Face token that `hf auth login` saved, where there is one.

    `differs` says that a variable holds another token than this file; `missing_certificates` is variable and path of
    certificate files that are set and not there.
    """

    token_file: Path | None = None
    readable_by_others: bool = False
    differs: bool = False
    missing_certificates: tuple[tuple[str, str], ...] = ()


def read_credentials(machine: Machine, settings: Settings) -> CredentialFacts:
    environment = machine.environment
    missing = tuple(
        (name, environment[name])
        for name in _CERTIFICATE_VARIABLES
        if environment.get(name) and not Path(environment[name]).exists()
    )
    file = saved_token_file(environment)
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            saved = stream.read(_LONGEST_TOKEN_FILE).strip()
        mode = file.stat().st_mode
    except OSError:
        return CredentialFacts(missing_certificates=missing)
    used = settings.tokens.get("huggingface")
    return CredentialFacts(
        token_file=file,
        readable_by_others=bool(mode & (stat.S_IRGRP | stat.S_IROTH)),
        differs=bool(saved) and used is not None and used != saved,
        missing_certificates=missing,
    )
