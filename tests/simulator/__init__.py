"""FakeHub: both hubs' dialects and their CDN on loopback, with faults as data. Shares no code with modelfetch."""

from tests.simulator.faults import (
    ContentRange,
    Cut,
    Endless,
    Fault,
    Flip,
    Gzip,
    HostileName,
    HugeListing,
    IgnoreRange,
    NextElsewhere,
    Portal,
    RedirectTo,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongRange,
    WrongSize,
)
from tests.simulator.hub import FakeHub
from tests.simulator.log import Request

__all__ = [
    "ContentRange",
    "Cut",
    "Endless",
    "FakeHub",
    "Fault",
    "Flip",
    "Gzip",
    "HostileName",
    "HugeListing",
    "IgnoreRange",
    "NextElsewhere",
    "Portal",
    "RedirectTo",
    "Request",
    "Slow",
    "Stall",
    "Status",
    "Truncate",
    "WrongRange",
    "WrongSize",
]
