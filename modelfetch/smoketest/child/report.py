"""Writes observations to the parent, each at once, and remembers what an error needs to be explained."""

from __future__ import annotations

from typing import TextIO

from modelfetch.model.placement import Placed
from modelfetch.smoketest.lines import to_line
from modelfetch.smoketest.observations import Observation, Started


class Report:
    """Call it with an observation."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel
        self.phase = "start"
        self.placed: Placed | None = None

    def __call__(self, observation: Observation) -> None:
        if isinstance(observation, Started):
            self.phase = observation.phase
        if isinstance(observation, Placed):
            self.placed = observation
        self._channel.write(to_line(observation) + "\n")
        self._channel.flush()
