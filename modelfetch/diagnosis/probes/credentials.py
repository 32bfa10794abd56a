"""Saved tokens and certificate files: whether they are there and who can read them. Never what a token is."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path

from modelfetch.config.load import saved_token_file
from modelfetch.config.values import Settings
from modelfetch.diagnosis.machine import Machine

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CERTIFICATE = b"-----BEGIN "
# The certificates of all public authorities together take a quarter of this.
_LONGEST_CERTIFICATES = 1 << 20
_LONGEST_TOKEN_FILE = 4096


@dataclass(frozen=True)
class UnusableCertificates:
    """A variable that names certificates, and what is wrong with them, as a clause behind "which"."""

    variable: str
    path: str
    problem: str


@dataclass(frozen=True)
class CredentialFacts:
    """`token_file` is the Hugging Face token that `hf auth login` saved, where there is one.

    `differs` says that a variable holds another token than this file.
    """

    token_file: Path | None = None
    readable_by_others: bool = False
    differs: bool = False
    unusable_certificates: tuple[UnusableCertificates, ...] = ()


def read_credentials(machine: Machine, settings: Settings) -> CredentialFacts:
    environment = machine.environment
    unusable = tuple(
        UnusableCertificates(name, environment[name], problem)
        for name in _CERTIFICATE_VARIABLES
        if environment.get(name) and (problem := _problem(Path(environment[name])))
    )
    file = saved_token_file(environment)
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            saved = stream.read(_LONGEST_TOKEN_FILE).strip()
        mode = file.stat().st_mode
    except OSError:
        return CredentialFacts(unusable_certificates=unusable)
    used = settings.tokens.get("huggingface")
    return CredentialFacts(
        token_file=file,
        readable_by_others=bool(mode & (stat.S_IRGRP | stat.S_IROTH)),
        differs=bool(saved) and used is not None and used != saved,
        unusable_certificates=unusable,
    )


def _problem(path: Path) -> str | None:
    """Why these certificates cannot be used; of a folder only that it cannot be read."""
    try:
        if path.is_dir():
            next(path.iterdir(), None)
            return None
        with path.open("rb") as stream:
            return None if _CERTIFICATE in stream.read(_LONGEST_CERTIFICATES) else "holds no certificate"
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
