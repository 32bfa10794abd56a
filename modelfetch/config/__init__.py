"""Settings: values (`values`), mirrors.yaml (`mirrors`), and laying them over each other (`load`)."""

from modelfetch.config.load import load
from modelfetch.config.values import DEFAULT_CONNECTIONS, Endpoint, Settings, origin_of

__all__ = ["DEFAULT_CONNECTIONS", "Endpoint", "Settings", "load", "origin_of"]
