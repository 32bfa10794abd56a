"""Finds a hub's dialect by name, through the entry-point group `modelfetch.hubs`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from modelfetch.errors import ConfigError
from modelfetch.hubs.base import Hub
from modelfetch.hubs.huggingface import HUB as HUGGINGFACE
from modelfetch.hubs.modelscope import HUB as MODELSCOPE

GROUP = "modelfetch.hubs"


@cache
def hub(name: str) -> Hub:
    """The dialect called `name`.

    Raises:
        ConfigError: nothing installed speaks it, or its plug-in cannot be loaded.
    """
    # Where the package was not installed (a bare checkout on the path) there are no entry points; the built-in two
    # are known.
    known: dict[str, Hub] = {HUGGINGFACE.name: HUGGINGFACE, MODELSCOPE.name: MODELSCOPE}
    if name in known:
        return known[name]
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                plugin: Hub = point.load()
            except (ImportError, AttributeError) as error:
                raise ConfigError(
                    f"the plug-in for the hub `{name}` cannot be loaded",
                    facts={"from": point.value, "got": str(error)},
                ) from error
            return plugin
    raise ConfigError(f"no installed plug-in speaks the hub `{name}`", facts={"known": ", ".join(sorted(known))})
