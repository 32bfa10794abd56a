"""The table of design.md, "Speed", as data: every scenario, every command line, every promise.

- A command line is what somebody would type, with the options that make a rival as good as it can be: aria2c gets its
  sixteen connections, the digest to check, and waits between its tries.
- `$HUB` and `$SECOND` are the hubs' addresses, `$SHA256` is the digest of the weights, `$MODEL` a folder with the
  model's files, `$CORES` the number of cores; `urls.txt` holds the address of every file in aria2c's form.
"""

from __future__ import annotations

from bench.faults import AtByte, FlipIn, StallAt
from bench.promises import (
    CpuAtMost,
    Finishes,
    Notices,
    OneRequestAFile,
    PeakAtMost,
    RateAtLeast,
    SentAtMost,
    WallAtMost,
)
from bench.values import MIB, REPO, WEIGHTS, Before, Hub, Model, Row
from modelfetch.config import DEFAULT_CONNECTIONS
from modelfetch.planning.scheduler import PIECE
from tests.simulator import Cut, Fault, Status

_MB = 1_000_000
_URL = f"$HUB/{REPO}/resolve/main/{WEIGHTS}"
_ARIA2C = f"aria2c -x16 -s16 -k1M --retry-wait=1 --checksum=sha-256=$SHA256 -o {WEIGHTS}"
_PULL = f"modelfetch pull hf:{REPO} --endpoint $HUB"

_HUB_CLIENTS = {
    "hf": f"hf download {REPO}",
    "ms-hub": f"ms-hub download {REPO}",
    "modelfetch": _PULL,
}
_CLIENTS = {"aria2c": f"{_ARIA2C} {_URL}", **_HUB_CLIENTS}
_SHA256_PASS = f"python -c \"import hashlib; hashlib.file_digest(open('$MODEL/{WEIGHTS}', 'rb'), 'sha256')\""

_SMALL_FILES = {f"notes-{number:03}.txt": 2000 for number in range(200)}
_FEW_FILES = {f"notes-{number:02}.txt": 2000 for number in range(10)}
_SHARDS = {f"model-0000{number}-of-00004.safetensors": 256 * MIB for number in range(1, 5)}

# Of the links that get into trouble: what an ordinary content network gives one connection.
_TROUBLED_RATE = 20 * _MB
_ONE_FILE = Model({WEIGHTS: 256 * MIB})
_BIG_FILE = Model({WEIGHTS: 1024 * MIB})
_MEMORY_BYTES = 150 * _MB
_AS_FAST_AS_ARIA2C = WallAtMost(1.2, ("aria2c",))
_LASTING = (Finishes(), SentAtMost(1.1), _AS_FAST_AS_ARIA2C)


def _troubled(name: str, title: str, *faults: Fault, without: frozenset[str] = frozenset()) -> Row:
    """A row in which clients must get over `faults`; `without` leaves out clients that never meet them."""
    hub = Hub(faults, rate=_TROUBLED_RATE)
    commands = {client: command for client, command in _CLIENTS.items() if client not in without}
    return Row(name, title, _ONE_FILE, (hub,), commands, _LASTING)


ROWS = (
    Row(
        "free-link",
        "1 GiB on a free link",
        _BIG_FILE,
        (Hub(nginx=True),),
        {"curl": f"curl -fsSL -o {WEIGHTS} {_URL}", **_CLIENTS},
        (WallAtMost(1.1, ("curl", "aria2c", "hf")), CpuAtMost(1.5, "curl", "a sha256 pass")),
        yardsticks={"a sha256 pass": _SHA256_PASS},
    ),
    Row(
        "slow-connections",
        "256 MiB, each connection held to 8 MB/s",
        _ONE_FILE,
        (Hub(rate=8 * _MB),),
        _CLIENTS,
        (WallAtMost(1.0, ("aria2c",)),),
    ),
    Row(
        "slow-connections-long",
        "1 GiB, sixteen connections, each held to 8 MB/s: long enough for the start not to count",
        _BIG_FILE,
        (Hub(rate=8 * _MB),),
        {"aria2c": _CLIENTS["aria2c"], "modelfetch": f"{_PULL} --connections 16"},
        (RateAtLeast(0.9, 16 * 8 * _MB), WallAtMost(1.0, ("aria2c",))),
    ),
    Row(
        "small-files",
        "200 files of 2 kB, 100 ms before every answer",
        Model(_SMALL_FILES),
        (Hub(latency_s=0.1),),
        {"aria2c": "aria2c -x16 -j16 --retry-wait=1 -i urls.txt", **_HUB_CLIENTS},
        (WallAtMost(1.0, ("aria2c",)), OneRequestAFile()),
    ),
    _troubled("cuts", "256 MiB, every answer cut after 20 MB", Fault(Cut(20 * _MB, by="fin"), times=None)),
    _troubled("stall", "256 MiB, one connection goes silent at 8 MB", AtByte(StallAt(8 * _MB))),
    _troubled("503", "256 MiB, status 503 three times", Fault(Status(503), times=3)),
    _troubled(
        "429-data",
        "256 MiB, status 429 with Retry-After: 1 three times, on the data",
        Fault(Status(429, {"Retry-After": "1"}), times=3),
    ),
    _troubled(
        "429-listing",
        "256 MiB, status 429 with Retry-After: 1 three times, on the listing",
        Fault(Status(429, {"Retry-After": "1"}), phase="listing", times=3),
        without=frozenset({"aria2c"}),
    ),
    Row(
        "signed-links",
        "256 MiB, signed links good for one request",
        _ONE_FILE,
        (Hub(rate=_TROUBLED_RATE, link_life_requests=1),),
        _CLIENTS,
        _LASTING,
    ),
    Row(
        "two-sources",
        "256 MiB from two hubs, four connections each, of 8 MB/s and of 2 MB/s",
        _ONE_FILE,
        (Hub(rate=8 * _MB), Hub(rate=2 * _MB)),
        {
            "aria2c": f"{_ARIA2C.replace('-s16', '-s8')} {_URL} {_URL.replace('$HUB', '$SECOND')}",
            "modelfetch": f"{_PULL} --endpoint $SECOND --connections 4",
        },
        (RateAtLeast(0.9, 4 * 8 * _MB + 4 * 2 * _MB),),
    ),
    Row(
        "killed",
        "256 MiB, kill -9 at half, and again",
        _ONE_FILE,
        (Hub(rate=8 * _MB),),
        _CLIENTS,
        (SentAtMost(extra_bytes=DEFAULT_CONNECTIONS * PIECE),),
        before=Before.KILLED_AT_HALF,
    ),
    Row(
        "wrong-byte",
        "256 MiB, one byte flipped on the wire, one source",
        _ONE_FILE,
        (Hub((Fault(FlipIn(1000)),), rate=_TROUBLED_RATE),),
        _CLIENTS,
        (Notices(),),
    ),
    Row(
        "wrong-byte-two-sources",
        "256 MiB, one byte flipped on the wire, two sources",
        _ONE_FILE,
        (Hub((Fault(FlipIn(1000)),), rate=_TROUBLED_RATE), Hub(rate=_TROUBLED_RATE)),
        {
            "aria2c": f"{_ARIA2C} {_URL} {_URL.replace('$HUB', '$SECOND')}",
            "modelfetch": f"{_PULL} --endpoint $SECOND",
        },
        (Notices(), Finishes(), SentAtMost(1.1)),
    ),
    Row(
        "wrong-byte-known-pieces",
        "256 MiB, one byte flipped on the wire, two sources, one of which knows the pieces",
        _ONE_FILE,
        (
            Hub((Fault(FlipIn(1000)),), rate=_TROUBLED_RATE),
            Hub(rate=_TROUBLED_RATE, knows_pieces=True),
        ),
        {"modelfetch": f"{_PULL} --endpoint $SECOND"},
        (Notices(), Finishes(), SentAtMost(1.1)),
    ),
    Row(
        "nothing-to-do",
        "A pull that has nothing to do: 256 MiB and ten small files that are there",
        Model({**_FEW_FILES, WEIGHTS: 256 * MIB}),
        (Hub(),),
        _HUB_CLIENTS,
        (WallAtMost(0.5, ("hf",)),),
        before=Before.DONE_ONCE,
        least_runs=5,
    ),
    Row(
        "help",
        "`--help` beside what it cannot do without",
        Model({}),
        (),
        {"hf": "hf --help", "ms-hub": "ms-hub --help", "modelfetch": "modelfetch --help"},
        (WallAtMost(2.0, ("import click",)),),
        yardsticks={"import click": 'python -c "import click"'},
        least_runs=9,
    ),
    Row(
        "memory",
        "Peak memory: 1 GiB over as many connections as a client takes",
        _BIG_FILE,
        (Hub(nginx=True),),
        {
            "aria2c": f"{_ARIA2C} {_URL}",
            "hf": f"hf download {REPO} --max-workers 64",
            "ms-hub": f"ms-hub download {REPO} --max-workers 64",
            "modelfetch": f"{_PULL} --connections 64",
        },
        (PeakAtMost(_MEMORY_BYTES),),
    ),
    Row(
        "verify",
        "1 GiB in four files verified, cold, beside one sha256sum a core",
        Model(_SHARDS),
        (Hub(),),
        {
            "sha256sum": (
                "sh -c 'find .cache/modelfetch/blobs-v1/sha256 -type f -print0 | xargs -0 -n1 -P$CORES sha256sum'"
            ),
            "modelfetch": f"modelfetch verify --deep hf:{REPO}",
        },
        (WallAtMost(1 / 0.9, ("sha256sum",)),),
        before=Before.COLD_PULL,
    ),
)
