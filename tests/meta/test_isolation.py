"""No test reaches beyond this machine, or sees the settings of whoever runs it."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest


def test_a_connection_beyond_loopback_fails_the_test() -> None:
    with socket.socket() as sock, pytest.raises(AssertionError, match="tried to connect"):
        sock.connect(("192.0.2.1", 80))


def test_a_name_beyond_this_machine_is_not_looked_up() -> None:
    with pytest.raises(socket.gaierror, match="tried to look up"):
        socket.create_connection(("hub.example.com", 443))


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()[:2]) as client:
        assert client.getpeername() == server.getsockname()


def test_the_home_and_every_setting_are_the_tests_own(own_environment: Path) -> None:
    assert Path.home() == own_environment
    assert Path(os.environ["MODELFETCH_HOME"]).is_relative_to(own_environment)
    foreign = {
        "HF_ENDPOINT",
        "HF_TOKEN",
        "HF_HOME",
        "MODELSCOPE_API_TOKEN",
        "MODELSCOPE_CACHE",
        "HTTPS_PROXY",
        "https_proxy",
    }
    assert not foreign & os.environ.keys()
