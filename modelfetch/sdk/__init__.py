"""Brings files through a hub's own client (`pull --via sdk`), for what only that can do, such as files over 50 GB.

Takes and gives what `transfer` does. The client runs in a process of its own that can be killed, with a clean
environment, and nothing that it says of the bytes is believed.
"""

from modelfetch.sdk.engine import resumable_bytes, transfer
from modelfetch.sdk.order import Order, check_sdk

__all__ = ["Order", "check_sdk", "resumable_bytes", "transfer"]
