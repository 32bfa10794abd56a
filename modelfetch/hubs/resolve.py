"""Asks every endpoint about a reference at once.

- The first offer that can be pulled from does not end it: the others get a little longer, because a second source is
  worth a second.
- An endpoint that cannot be reached is named and passed over. One that says "gated" is an answer, and is not got round.
- Which offer is the manifest is decided by the endpoints' order, not by who was quickest.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from modelfetch.config import Endpoint
from modelfetch.errors import (
    AccessError,
    GatedError,
    HostileHubError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
)
from modelfetch.events import Fault, Listener, Resolved, Resolving
from modelfetch.http import Client, Credential, Network
from modelfetch.hubs.base import EndpointClient, Offer
from modelfetch.hubs.registry import hub
from modelfetch.limits import no_thread
from modelfetch.manifest import Manifest
from modelfetch.planning import retry
from modelfetch.planning.retry import FaultError
from modelfetch.reference import Reference

GRACE_S = 1.5
_OTHER_ENDPOINT = "modelfetch doctor says what is wrong with the network; a mirror is chosen with --endpoint NAME|URL"


@dataclass(frozen=True)
class Question:
    """What one endpoint is asked for: a model at a revision, None for its default branch."""

    endpoint: Endpoint
    repo: str
    revision: str | None


@dataclass(frozen=True)
class Answers:
    """What came of asking: offers in the questions' order, and by the endpoint's name why another has none to make.

    An endpoint that took too long is in neither.
    """

    offers: tuple[Offer, ...]
    refusals: Mapping[str, ModelfetchError]


@dataclass(frozen=True)
class Resolution:
    """Who offers the model, in the endpoints' order, and why the others do not. `offers` is not empty."""

    offers: tuple[Offer, ...]
    refusals: Mapping[str, ModelfetchError]

    @property
    def manifest_offer(self) -> Offer:
        return self.offers[0]


def credential_for(endpoint: Endpoint, tokens: Mapping[str, str]) -> Credential | None:
    """The credential that may be shown to `endpoint`, if any."""
    token = tokens.get(endpoint.hub)
    return hub(endpoint.hub).credential(endpoint, token) if token and endpoint.sends_token else None


def resolve(
    reference: Reference,
    endpoints: Sequence[Endpoint],
    *,
    tokens: Mapping[str, str],
    network: Network,
    listener: Listener,
    enough: Callable[[Offer], bool],
) -> Resolution:
    """Find out who has `reference`. Once an offer is `enough`, the other endpoints are not waited for.

    Raises:
        NotFoundError: nobody has it, and somebody said so.
        AccessError: an endpoint that has it wants a token or an accepted licence.
        NoSourceError: no endpoint could be asked.
    """
    listener(Resolving(str(reference), tuple(endpoint.name for endpoint in endpoints)))
    questions = [Question(endpoint, reference.repo, reference.revision) for endpoint in endpoints]
    answers = ask_each(questions, tokens=tokens, network=network, listener=listener, enough=enough)
    refuse_access(endpoints, answers.refusals)
    if not answers.offers:
        raise nobody(reference, endpoints, answers.refusals)
    return Resolution(answers.offers, answers.refusals)


def ask_each(
    questions: Sequence[Question],
    *,
    tokens: Mapping[str, str],
    network: Network,
    listener: Listener,
    enough: Callable[[Offer], bool],
    usable: Callable[[Offer], bool] = lambda _: True,
) -> Answers:
    """Ask every question, of an endpoint each, at once. An endpoint's refusal is an answer; nothing is raised.

    After an offer that is `enough` nobody is waited for, after one that is `usable` only for a moment; both are called
    in the thread that asks, once for every offer.
    """
    outcomes = _ask_all(_start_asking(questions, tokens, network, listener), listener, enough, usable)
    offers = tuple(
        Offer(question.endpoint, manifest)
        for question in questions
        if isinstance(manifest := outcomes.get(question.endpoint.name), Manifest)
    )
    refusals = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, ModelfetchError)}
    return Answers(offers, refusals)


def refuse_access(endpoints: Sequence[Endpoint], refusals: Mapping[str, ModelfetchError]) -> None:
    """Let a refusal end it that no other source may get round.

    Raises:
        AccessError: the model is gated, or its own hub refuses the token.
    """
    for endpoint in endpoints:
        refusal = refusals.get(endpoint.name)
        if isinstance(refusal, GatedError) or (isinstance(refusal, AccessError) and endpoint.sends_token):
            raise refusal


@dataclass(frozen=True)
class _Inquiry:
    """Every endpoint is being asked by a thread of its own; `answers` is where they come in."""

    clients: tuple[EndpointClient, ...]
    answers: queue.SimpleQueue[tuple[Endpoint, Manifest | ModelfetchError]]


def _start_asking(
    questions: Sequence[Question], tokens: Mapping[str, str], network: Network, listener: Listener
) -> _Inquiry:
    def client_for(endpoint: Endpoint) -> EndpointClient:
        def wait(fault: retry.Fault, seconds: float) -> None:
            listener(Fault(endpoint.name, "listing", str(fault), retry.Action.AGAIN.value, seconds))
            time.sleep(seconds)

        return EndpointClient(Client(network, wait=wait), endpoint, credential_for(endpoint, tokens))

    clients = tuple(client_for(question.endpoint) for question in questions)
    inquiry = _Inquiry(clients, queue.SimpleQueue())
    for question, client in zip(questions, clients, strict=True):
        # Daemons: an endpoint that never answers must not keep the process from ending.
        thread = threading.Thread(target=_ask, args=(question, client, inquiry.answers), daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            if not no_thread(error):
                raise
            _ask(question, client, inquiry.answers)  # one after the other, then
    return inquiry


def _ask_all(
    inquiry: _Inquiry, listener: Listener, enough: Callable[[Offer], bool], usable: Callable[[Offer], bool]
) -> dict[str, Manifest | ModelfetchError]:
    """What each endpoint answered; one that took too long after a usable offer is not among them."""
    outcomes: dict[str, Manifest | ModelfetchError] = {}
    deadline: float | None = None
    while len(outcomes) < len(inquiry.clients):
        timeout_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            endpoint, outcome = inquiry.answers.get(timeout=timeout_s)
        except queue.Empty:
            break
        outcomes[endpoint.name] = outcome
        if not isinstance(outcome, Manifest):
            listener(Resolved(endpoint.name, None, outcome.message))
            continue
        listener(Resolved(endpoint.name, outcome.commit, None))
        offer = Offer(endpoint, outcome)
        if usable(offer) and deadline is None:
            deadline = time.monotonic() + GRACE_S
        if enough(offer):
            break
    for client in inquiry.clients:
        client.client.abort()
    return outcomes


def _ask(
    question: Question,
    client: EndpointClient,
    answers: queue.SimpleQueue[tuple[Endpoint, Manifest | ModelfetchError]],
) -> None:
    endpoint = client.endpoint
    try:
        with client.client:
            manifest = hub(endpoint.hub).manifest(client, question.repo, question.revision)
        answers.put((endpoint, manifest))
    except FaultError as error:
        answers.put((endpoint, _unusable(endpoint, error)))
    except ModelfetchError as error:
        answers.put((endpoint, error))
    except Exception as error:  # noqa: BLE001 - the thread's edge: the asker must not wait for ever
        answers.put((endpoint, ModelfetchError(f"asking `{endpoint.name}` failed: {error!r}")))


def _unusable(endpoint: Endpoint, error: FaultError) -> NoSourceError:
    return NoSourceError(
        f"`{endpoint.name}` cannot be used: {error.fault}", facts={"from": endpoint.url}, hint=_OTHER_ENDPOINT
    )


def nobody(
    reference: Reference, endpoints: Sequence[Endpoint], refusals: Mapping[str, ModelfetchError]
) -> ModelfetchError:
    """The one error for an answer that is no everywhere: what somebody said counts more than what nobody could say."""
    if len(refusals) == 1 and len(endpoints) == 1:
        return next(iter(refusals.values()))
    facts = {endpoint.name: refusals[endpoint.name].message for endpoint in endpoints if endpoint.name in refusals}
    for kind in (AccessError, NotFoundError, HostileHubError):
        said = [refusal for refusal in refusals.values() if isinstance(refusal, kind)]
        if said:
            return kind(f"no endpoint offers `{reference}`", facts=facts, hint=said[0].hint)
    return NoSourceError(
        f"no endpoint can be reached for `{reference}`",
        facts=facts,
        hint=_OTHER_ENDPOINT,
    )
