"""What a hub's own client is asked for, and which client that is. Decides only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.util import find_spec

from modelfetch.config import Endpoint
from modelfetch.errors import ConfigError, UsageError
from modelfetch.manifest import Manifest


@dataclass(frozen=True)
class Sdk:
    """A hub's own client: the package that has it, and where its users keep their token.

    `goes_on` tells whether it continues a file that an earlier run of it left unfinished.
    """

    package: str
    token_variable: str
    goes_on: bool


_SDKS = {
    "huggingface": Sdk("huggingface_hub", "HF_TOKEN", goes_on=False),
    "modelscope": Sdk("modelscope_hub", "MODELSCOPE_API_TOKEN", goes_on=True),
}


@dataclass(frozen=True)
class Order:
    """A manifest, and the endpoint that is to send its files. `token` is None where that endpoint may see none.

    `connections` is the most files at once, where the user set a limit.
    """

    manifest: Manifest
    endpoint: Endpoint
    token: str | None = field(default=None, repr=False)
    connections: int | None = None

    @property
    def sdk(self) -> Sdk:
        return _SDKS[self.manifest.hub]

    @property
    def name(self) -> str:
        """What the order's scratch folder is called: the same for whoever wants the same commit."""
        manifest = self.manifest
        identity = f"{manifest.hub}:{manifest.repo}@{manifest.commit}"
        return f"sdk-{hashlib.sha256(identity.encode()).hexdigest()[:16]}"


def check_sdk(hub: str) -> None:
    """Make sure that the hub has a client of its own, and that it is installed.

    Raises:
        UsageError: modelfetch knows none.
        ConfigError: it is not installed.
    """
    sdk = _SDKS.get(hub)
    if sdk is None:
        raise UsageError(f"the hub `{hub}` has no client of its own that modelfetch knows", hint="leave --via sdk away")
    if find_spec(sdk.package) is None:
        raise ConfigError(f"`{sdk.package}` is not installed", hint="pip install 'modelfetch[sdk]'")
