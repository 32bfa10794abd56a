"""Settings: as values, from mirrors.yaml, laid over each other by `load`; and which endpoints a command chose."""

from modelfetch.config.endpoints import choose, send_tokens_to, source_names, with_endpoints
from modelfetch.config.load import load
from modelfetch.config.urls import is_loopback, may_carry_token
from modelfetch.config.values import DEFAULT_CONNECTIONS, Endpoint, Index, Sample, Settings, origin_of
from modelfetch.config.variables import parse_size

__all__ = [
    "DEFAULT_CONNECTIONS",
    "Endpoint",
    "Index",
    "Sample",
    "Settings",
    "choose",
    "is_loopback",
    "load",
    "may_carry_token",
    "origin_of",
    "parse_size",
    "send_tokens_to",
    "source_names",
    "with_endpoints",
]
