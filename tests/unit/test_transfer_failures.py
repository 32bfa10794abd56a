"""What a transfer that found no source tells, and what it advises."""

from __future__ import annotations

import pytest

from modelfetch.errors import NoSourceError
from modelfetch.planning.retry import Fault, Kind
from modelfetch.transfer.failures import no_source_left

_WAY = "--via sdk"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.STATUS, status=400),
        Fault(Kind.STATUS, status=400, redirected=True),
        Fault(Kind.STATUS, status=403, redirected=True),
        Fault(Kind.STATUS, status=416),
        Fault(Kind.RANGE),
        Fault(Kind.ENCODED),
        Fault(Kind.MALFORMED),
    ],
)
def test_where_another_client_might_be_served_the_hint_names_its_way(fault: Fault) -> None:
    error = no_source_left("model.safetensors", {"dead": Fault(Kind.CONNECT), "there": fault})
    assert isinstance(error, NoSourceError)
    assert _WAY in str(error.hint)


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Kind.STATUS, status=404),
        Fault(Kind.STATUS, status=408),
        Fault(Kind.STATUS, status=429),
        Fault(Kind.STATUS, status=503),
        Fault(Kind.CONNECT),
        Fault(Kind.STALL),
        Fault(Kind.PORTAL),
        Fault(Kind.REDIRECT),
        Fault(Kind.CHANGED),
    ],
)
def test_where_every_client_would_fail_it_does_not(fault: Fault) -> None:
    assert _WAY not in str(no_source_left("model.safetensors", {"dead": Fault(Kind.CONNECT), "there": fault}).hint)
