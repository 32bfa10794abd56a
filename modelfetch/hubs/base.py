"""What a hub's dialect must be able to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from modelfetch.config import Endpoint
from modelfetch.errors import AccessError, GatedError, NotFoundError
from modelfetch.http import Answer, Client, Credential
from modelfetch.manifest import Manifest


@dataclass(frozen=True)
class EndpointClient:
    """A client for one endpoint, with the credential that it may be shown."""

    client: Client
    endpoint: Endpoint
    credential: Credential | None

    def ask(self, url: str) -> Answer:
        """`Client.ask`; `url` is absolute."""
        return self.client.ask(url, credential=self.credential)


class Hub(Protocol):
    """A dialect. Every method may be called from any thread; none keeps state."""

    name: str

    def manifest(self, client: EndpointClient, repo: str, revision: str | None) -> Manifest:
        """The model's files at `revision` (None: the default branch), pinned to a commit.

        May block for as long as the client retries. The manifest has passed `manifest.check_entries`.

        Raises:
            NotFoundError: no such model or revision.
            AccessError: gated, private, or the token is refused.
            HostileHubError: the listing is refused.
            FaultError: no usable answer came.
        """

    def file_url(self, endpoint: Endpoint, manifest: Manifest, path: str) -> str:
        """Where the endpoint serves the file `path` of `manifest`, which it may redirect from."""

    def credential(self, endpoint: Endpoint, token: str) -> Credential:
        """`token` in the headers that this hub reads, bound to the endpoint's origin."""


@dataclass(frozen=True)
class Offer:
    """What one endpoint has of a reference."""

    endpoint: Endpoint
    manifest: Manifest


def one_for_each_address(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    """The first offer of each address: a machine that speaks both dialects is no second source for itself."""
    first: dict[str, Offer] = {}
    for offer in offers:
        first.setdefault(offer.endpoint.url.lower(), offer)
    return tuple(first.values())


def model_not_found(endpoint: Endpoint, repo: str, *, why: str) -> NotFoundError:
    return NotFoundError(
        f"`{repo}` is not at `{endpoint.name}`",
        facts={"from": endpoint.url, "answer": why},
        hint="check the spelling on the model's page, or try another hub with --source",
    )


def revision_not_found(endpoint: Endpoint, repo: str, revision: str) -> NotFoundError:
    return NotFoundError(
        f"`{repo}` has no revision `{revision}` at `{endpoint.name}`",
        facts={"from": endpoint.url},
        hint=f"pull the default branch: modelfetch pull {repo}",
    )


def gated(endpoint: Endpoint, repo: str, *, why: str, variable: str) -> GatedError:
    return GatedError(
        f"`{repo}` is gated at `{endpoint.name}`",
        facts={"from": endpoint.url, "answer": why},
        hint=f"accept its terms on {endpoint.url}/{repo}, then set {variable} to a token of that account",
    )


def access_denied(endpoint: Endpoint, repo: str, *, why: str, variable: str) -> AccessError:
    return AccessError(
        f"`{repo}` may not be read from `{endpoint.name}`",
        facts={"from": endpoint.url, "answer": why},
        hint=f"set {variable} to a token that may read it",
    )
