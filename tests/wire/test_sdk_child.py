"""The child process of a hub's own client, with stand-ins for the client that behave as badly as one can."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from typing import Any

import psutil
import pytest

from modelfetch.sdk.failures import Cause, read_causes
from modelfetch.sdk.process import Child, running
from tests.simulator import FakeHub

ENDPOINT = "http://127.0.0.1:8000"
WAIT_S = 60.0


@contextmanager
def client(tmp_path: Path, body: str, **changes: Any) -> Iterator[Child]:
    """A child whose ModelScope client does `body` when it is to download."""
    source = """
import os, signal
class HubApi:
    def __init__(self, *, endpoint, token):
        self.endpoint, self.token = endpoint, token
    def download_repo(self, repo, kind, **options):
"""
    with started(tmp_path, {"modelscope_hub/__init__.py": source + indent(body, " " * 8)}, **changes) as child:
        yield child


@contextmanager
def started(tmp_path: Path, modules: Mapping[str, str], **changes: Any) -> Iterator[Child]:
    for path, source in modules.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    with running(request(**changes), environment=environment, folder=tmp_path, log=tmp_path / "log") as child:
        yield child


def request(**changes: Any) -> dict[str, Any]:
    file = {"path": "a[b].json", "size": 2, "sha256": None}
    given = {"hub": "modelscope", "repo": "own/name", "commit": "0" * 40, "revision": None, "endpoint": ENDPOINT}
    return {**given, "token": "a-token", "folder": "files", "files": [file], "options": {}, **changes}


def causes_of(child: Child) -> tuple[Cause, ...] | None:
    assert child.has_ended(WAIT_S)
    return read_causes(child.answer(), token="a-token")


def test_modelscopes_client_gets_our_listing_and_the_branch_that_it_is_of(tmp_path: Path) -> None:
    body = f"""\
assert (self.endpoint, self.token, repo, kind) == ({ENDPOINT!r}, "a-token", "own/name", "model")
assert options == {{
    "revision": "master",
    "local_dir": "files",
    "file_list": [{{"Path": "a[b].json", "Size": 2, "Sha256": None, "Type": "blob"}}],
    "max_workers": 3,
}}, options"""
    with client(tmp_path, body, options={"max_workers": 3}) as child:
        assert causes_of(child) == ()


@pytest.mark.parametrize(("token", "given"), [("a-token", "a-token"), (None, False)])
def test_hugging_faces_client_gets_the_commit_and_the_names_and_looks_for_no_token(
    tmp_path: Path, token: str | None, given: object
) -> None:
    source = f"""
def set_client_factory(factory): pass
def snapshot_download(repo, **options):
    assert repo == "own/name"
    assert options == {{
        "revision": {"0" * 40!r},
        "endpoint": {ENDPOINT!r},
        "token": {given!r},
        "local_dir": "files",
        "allow_patterns": ["a[[]b].json"],
    }}, options
"""
    modules = {
        "huggingface_hub/__init__.py": source,
        "huggingface_hub/utils/__init__.py": "",
        "huggingface_hub/utils/_http.py": "def default_client_factory(): pass",
    }
    with started(tmp_path, modules, hub="huggingface", token=token) as child:
        assert causes_of(child) == ()


def test_a_client_finds_no_module_beside_the_script(tmp_path: Path) -> None:
    with client(tmp_path, "import importlib.util\nassert importlib.util.find_spec('engine') is None") as child:
        assert causes_of(child) == ()


def test_modelscopes_client_takes_no_credential_to_another_origin(tmp_path: Path) -> None:
    body = """\
import requests
for url in (self.endpoint, repo):
    requests.get(url, headers={"Authorization": "Bearer a-token", "Cookie": "m_session_id=a-token"})"""
    with FakeHub({}) as hub, FakeHub({}) as other:
        with client(tmp_path, body, endpoint=hub.url, repo=other.url) as child:
            assert causes_of(child) == ()
        assert "a-token" in hub.requests[0].headers["authorization"]
        assert "a-token" in hub.requests[0].headers["cookie"]
        assert "a-token" not in str(other.requests[0].headers)


def test_what_a_client_prints_goes_to_the_log(tmp_path: Path) -> None:
    with client(tmp_path, "print('a banner', flush=True)\nos.write(1, b'from below')") as child:
        assert causes_of(child) == ()
    assert "a banner" in (tmp_path / "log").read_text()
    assert "from below" in (tmp_path / "log").read_text()


def test_every_cause_is_told_with_what_is_known_of_it(tmp_path: Path) -> None:
    body = """\
class FileError(Exception):
    pass
class Failed(FileError):
    status_code = 403
    url = "http://127.0.0.1:8001/x"
outer = FileError("2 files failed")
outer.failed_files = {"a": Failed("a\\n  b"), "c": OSError(28, "No space left on device")}
raise outer from OSError("a word", "for a number")"""
    with client(tmp_path, body) as child:
        causes = causes_of(child)
    assert causes is not None
    assert [cause.kinds[0] for cause in causes] == ["FileError", "Failed", "OSError", "OSError"]
    assert causes[1].kinds[:2] == ("Failed", "FileError")
    assert (causes[1].message, causes[1].status, causes[1].elsewhere) == ("a b", 403, True)
    assert (causes[2].errno, causes[2].elsewhere) == (28, False)
    assert causes[3].errno is None


def test_a_long_story_in_another_script_is_cut_and_arrives(tmp_path: Path) -> None:
    body = """\
error = OSError("\\U0001f525" * 100_000)
error.failed_files = {str(n): OSError("\\U0001f525" * 100_000) for n in range(100)}
raise error"""
    with client(tmp_path, body) as child:
        causes = causes_of(child)
    assert causes
    assert len(causes) < 100


def test_an_endless_chain_of_causes_has_an_end(tmp_path: Path) -> None:
    body = """\
error, other = OSError("one"), OSError("other")
error.failed_files, other.failed_files = {"a": other}, {"b": error}
raise error"""
    with client(tmp_path, body) as child:
        causes = causes_of(child)
    assert causes is not None
    assert [cause.message for cause in causes] == ["one", "other"]


@pytest.mark.parametrize(("body", "ending"), [("os.abort()", "SIGABRT"), ("os._exit(3)", "exit status 3")])
def test_a_client_that_breaks_down_tells_nothing_and_how_it_ended_is_known(
    tmp_path: Path, body: str, ending: str
) -> None:
    with client(tmp_path, body) as child:
        assert causes_of(child) is None
        assert child.ending() == ending


def test_whoever_leaves_kills_a_client_that_hears_nothing_any_more(tmp_path: Path) -> None:
    with client(tmp_path, "print(os.getpid(), flush=True)\nos.kill(os.getpid(), signal.SIGSTOP)") as child:
        assert not child.has_ended(0.0)
        while not (said := (tmp_path / "log").read_text().strip()).isdecimal():
            assert not child.has_ended(0.05), said
        process = psutil.Process(int(said))
    psutil.wait_procs([process], timeout=WAIT_S)
    assert not process.is_running()


def test_a_client_ends_when_its_parent_is_gone(tmp_path: Path) -> None:
    with client(tmp_path, "print(os.getpid(), flush=True)\nimport time\ntime.sleep(600)") as child:
        while not (said := (tmp_path / "log").read_text().strip()).isdecimal():
            assert not child.has_ended(0.05), said
        # What the system does with the pipes of a parent that was killed.
        assert child._process.stdin is not None
        child._process.stdin.close()
        assert child.has_ended(WAIT_S)


def test_the_log_is_for_its_owner_only(tmp_path: Path) -> None:
    with client(tmp_path, "pass") as child:
        assert causes_of(child) == ()
    assert (tmp_path / "log").stat().st_mode & 0o077 == 0
