"""Who brings the bytes of a plan's jobs: modelfetch itself, or the hub's own client. Either way each file is verified.

What brings them is loaded when there is something to bring: most pulls on a machine find everything there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from modelfetch import events
from modelfetch.config import Endpoint, Settings
from modelfetch.http import Network
from modelfetch.hubs import Resolution
from modelfetch.pulling.request import Via
from modelfetch.store import Destination
from modelfetch.transfer import Job, Options, Report, resumable_bytes


class Backend(Protocol):
    """Brings the files of jobs to the destination that it was made for."""

    def resumable_bytes(self, jobs: Sequence[Job]) -> int:
        """How much of them an earlier run has left for this backend. Changes nothing."""

    def bring(self, jobs: Sequence[Job], listener: events.Listener) -> Report:
        """Bring them all, verified; blocks until then.

        Raises:
            ModelfetchError: a file cannot be had, or the disk refuses. What was fetched is kept for the next run.
        """


@dataclass(frozen=True)
class Direct:
    """Our own lanes, from every source at once."""

    destination: Destination
    network: Network
    endpoints: tuple[Endpoint, ...]
    settings: Settings

    def resumable_bytes(self, jobs: Sequence[Job]) -> int:
        return sum(resumable_bytes(self.destination.partial(job.entry), job.entry.size) for job in jobs)

    def bring(self, jobs: Sequence[Job], listener: events.Listener) -> Report:
        from modelfetch.pulling.learning import lanes_for
        from modelfetch.transfer.engine import transfer

        caps = {endpoint.name: endpoint.connections for endpoint in self.endpoints}
        begin = lanes_for(self.endpoints, self.settings)
        options = Options(self.settings.connections, self.settings.limit_rate, caps, begin)
        return transfer(jobs, landing=self.destination, network=self.network, options=options, listener=listener)


def choose(via: Via, resolution: Resolution, destination: Destination, network: Network, settings: Settings) -> Backend:
    """The backend that the user wants for what the endpoints offer.

    Raises:
        UsageError, ConfigError: the hub's own client cannot do what is asked, or is not installed.
    """
    if via == "direct":
        return Direct(destination, network, tuple(offer.endpoint for offer in resolution.offers), settings)
    from modelfetch.pulling.via_sdk import ordered_from

    return ordered_from(resolution.manifest_offer, destination, settings)
