"""Where files come from: a hub that answers may send them from a host that this network does not reach.

- The host is worth telling where it answers, too: it is the one that a firewall must let through.
- One that does not answer is a warning: other endpoints may have the same files elsewhere.
"""

from __future__ import annotations

from modelfetch.diagnosis.checks.check import Check, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.delivery import Delivery, DeliveryFacts

_OF_XET = ".xethub.hf.co"


def check_delivery(facts: Facts) -> list[Finding]:
    return [_reached(each) if each.problem is None else _unreached(each) for each in facts[DeliveryFacts].deliveries]


def _reached(delivery: Delivery) -> Finding:
    if delivery.is_its_own:
        return well("delivery", f"{delivery.endpoint} sends files itself")
    title = f"{delivery.endpoint} sends files from {delivery.host}"
    return well("delivery", title, endpoint=delivery.endpoint, host=delivery.host)


def _unreached(delivery: Delivery) -> Finding:
    xet = " HF_HUB_DISABLE_XET=1 keeps other tools from Xet's hosts." if delivery.host.endswith(_OF_XET) else ""
    return Finding(
        "net.delivery",
        Severity.WARNING,
        f"{delivery.endpoint} sends files from {delivery.host}, which does not give them ({delivery.problem})",
        {"endpoint": delivery.endpoint, "host": delivery.host, "problem": delivery.problem},
        effect="no file comes from there",
        rank=Rank.NETWORK,
        advice=f"A firewall must let this host through, or another endpoint serve; this tries them all.{xet}",
        fix=("modelfetch mirrors test",),
        verify="modelfetch doctor delivery",
    )


CHECKS = (
    Check(
        "delivery",
        "network",
        "which host the files of each endpoint come from",
        (DeliveryFacts,),
        ("net.delivery",),
        check_delivery,
    ),
)
