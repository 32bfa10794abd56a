"""The one module that talks HTTP to the world: connections, redirects, the token firewall, bounded bodies.

What goes wrong on the way is a `Fault` in a `FaultError` (planning.retry); what to do about it is decided there, not
here.
"""

from modelfetch.http.client import Answer, Client
from modelfetch.http.firewall import Credential
from modelfetch.http.network import Network
from modelfetch.http.session import Response, Session

__all__ = ["Answer", "Client", "Credential", "Network", "Response", "Session"]
