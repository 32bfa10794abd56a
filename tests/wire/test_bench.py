"""What the benchmark measures with: a process's own usage, an environment of its own, faults that meet everybody."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener

import psutil
import pytest

from bench import clients, hubs
from bench.clients import Place
from bench.faults import AtByte, FlipIn, StallAt
from bench.model import MadeModel, make
from bench.values import MIB, REPO, WEIGHTS, Hub, Model, State
from modelfetch.model.headers import read_safetensors
from modelfetch.piecelist import address, from_bytes
from modelfetch.store.hashing import hash_file
from tests.plain_http import fetch
from tests.simulator import FakeHub, Fault

SIZE = 2 * MIB


@pytest.fixture
def model(tmp_path: Path) -> MadeModel:
    return make(Model({WEIGHTS: SIZE, "notes.txt": 100}), tmp_path / "model")


@pytest.fixture
def place(tmp_path: Path, model: MadeModel) -> Place:
    return clients.place(tmp_path / "run", ["http://127.0.0.1:1"], model, limit_s=60.0)


def test_a_command_is_measured_without_whoever_started_it(place: Place) -> None:
    ours = bytearray(200 * MIB)
    usage = clients.run("python -c 'bytearray(40 * 1024 * 1024); raise SystemExit(3)'", place)
    assert usage.exit_status == 3
    assert 40 * MIB < usage.peak_bytes < len(ours)
    assert usage.cpu_s > 0
    assert 0 < usage.wall_s < place.limit_s


def test_a_command_that_takes_too_long_is_stopped_with_its_children(tmp_path: Path, model: MadeModel) -> None:
    place = clients.place(tmp_path / "run", [], model, limit_s=3.0)
    usage = clients.run("sh -c 'echo $$$$ > pid; sleep 600'", place)
    assert usage.exit_status is None
    assert clients.judge(usage, place, {}) is State.TOO_LONG
    child = int((place.folder / "pid").read_text())
    while _is_alive(child):  # the kernel ends it when it gets to it; a child that was spared fails by the time limit
        time.sleep(0.01)


def test_a_client_sees_nothing_of_whoever_measures(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    clients.run('python -c \'import json, os; json.dump(dict(os.environ), open("seen", "w"))\'', place)
    seen = json.loads((place.folder / "seen").read_text())
    assert "HF_TOKEN" not in seen
    assert seen["HOME"] == str(place.folder)
    assert seen["HF_ENDPOINT"] == seen["MODELSCOPE_ENDPOINT"] == "http://127.0.0.1:1"
    assert seen["HF_HUB_DISABLE_TELEMETRY"] == "1"


def test_a_model_is_delivered_when_every_file_is_there_with_its_bytes(place: Place, model: MadeModel) -> None:
    usage = clients.run("mkdir -p deep/down", place)
    assert clients.judge(usage, place, model.sha256) is State.WRONG
    for name, path in model.files.items():
        shutil.copy(path, place.folder / "deep" / name)
    assert clients.judge(usage, place, model.sha256) is State.RIGHT
    (place.folder / "deep" / "down" / WEIGHTS).write_bytes(b"half")
    assert clients.judge(usage, place, model.sha256) is State.WRONG


def test_the_weights_are_a_safetensors_file(model: MadeModel) -> None:
    assert model.files[WEIGHTS].stat().st_size == SIZE
    assert read_safetensors(model.files[WEIGHTS])


def test_a_byte_of_the_first_answer_is_wrong_wherever_it_begins(model: MadeModel) -> None:
    content = model.files[WEIGHTS].read_bytes()
    with FakeHub({REPO: model.files}, faults=[Fault(FlipIn(10))], cdn=False) as hub:
        url, ranged = f"{hub.url}/{REPO}/resolve/main/{WEIGHTS}", {"Range": "bytes=5000-5099"}
        wrong = fetch(url, headers=ranged).body
        assert wrong != content[5000:5100]
        assert wrong[:10] + wrong[11:] == content[5000:5010] + content[5011:5100]
        assert fetch(url, headers=ranged).body == content[5000:5100]


def test_a_fault_at_a_byte_waits_for_the_answer_that_carries_it(model: MadeModel) -> None:
    fault = AtByte(StallAt(6000))
    with FakeHub({REPO: model.files}, faults=[fault], cdn=False) as hub:
        url = f"{hub.url}/{REPO}/resolve/main/{WEIGHTS}"
        assert len(fetch(url, headers={"Range": "bytes=0-5999"}).body) == 6000
        assert len(fetch(url, headers={"Range": "bytes=6001-6009"}).body) == 9
        asked = Request(url, headers={"Range": "bytes=5000-7000"})
        with build_opener(ProxyHandler({})).open(asked, timeout=0.5) as answer, pytest.raises(TimeoutError):
            answer.read()


@pytest.fixture(params=[False, True], ids=["simulator", "nginx"])
def running(request: pytest.FixtureRequest, model: MadeModel, tmp_path: Path) -> Iterator[hubs.Hubs]:
    if request.param and clients.find("nginx") is None:
        pytest.skip("nginx is not installed here")
    plan = Hub((Fault(FlipIn(0)),) if not request.param else (), nginx=request.param)
    with hubs.running((plan,), model, tmp_path / "nginx", with_nginx=True) as running:
        yield running


def test_every_run_counts_from_nothing_and_meets_the_same_faults(running: hubs.Hubs, model: MadeModel) -> None:
    got = []
    for _ in range(2):
        running.reset()
        answer = fetch(f"{running.urls[0]}/{REPO}/resolve/main/{WEIGHTS}")
        got.append(fetch(answer.headers["location"]).body)
        assert running.sent_bytes == SIZE
        assert 1 <= running.requests <= 2
    assert got[0] == got[1]


def test_a_hub_that_knows_the_pieces_hands_them_out_and_the_file_as_before(tmp_path: Path) -> None:
    model = make(Model({WEIGHTS: 6 * MIB}), tmp_path / "model")
    hashed = hash_file(model.files[WEIGHTS])
    assert hashed
    plans = (Hub(), Hub(knows_pieces=True))
    with hubs.running(plans, model, tmp_path, with_nginx=False) as running:
        running.reset()
        plain, knowing = (fetch(address(f"{url}/{REPO}/resolve/main/{WEIGHTS}")) for url in running.urls)
        assert plain.status == 302
        assert knowing.status == 200
        assert from_bytes(knowing.body) == hashed.pieces()
        assert fetch(f"{running.urls[1]}/{REPO}/resolve/main/{WEIGHTS}").status == 302


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
