"""Decisions about a transfer, and nothing else: no module here imports a socket, a thread, a clock or a path."""
