"""`serve` on real sockets: both dialects, ranges, digests, and what is answered to clients that mean harm."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import queue
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelfetch.errors import StoreError, UsageError
from modelfetch.manifest import Facts
from modelfetch.reference import Reference
from modelfetch.serve import Served, Server
from modelfetch.serve import connection as connection_module
from modelfetch.serve import huggingface as huggingface_dialect
from tests.catalogue import FolderCatalogue, FolderSnapshot, write_snapshot
from tests.plain_http import fetch

REPO = "own/name"
LARGE = hashlib.shake_256(b"weights").digest(300_000)
FILES = {"config.json": b"{}", "empty.txt": b"", "sub/dir/ä b.txt": b"deep", "model.safetensors": LARGE}
FACTS = Facts(licence="mit", remote_code=True)
LEFT_OUT = {"pytorch_model.bin": b"duplicate"}
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
HF_LARGE = f"/{REPO}/resolve/main/model.safetensors"
MS_LARGE = f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=model.safetensors"
MS_LISTING = f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=True"
BOTH = pytest.mark.parametrize("path", [HF_LARGE, MS_LARGE, f"/models{HF_LARGE.replace('main', 'master')}"])


@pytest.fixture
def snapshot(tmp_path: Path) -> FolderSnapshot:
    return write_snapshot(tmp_path / "model", REPO, FILES, left_out=LEFT_OUT, facts=FACTS)


@pytest.fixture
def server(snapshot: FolderSnapshot) -> Iterator[Server]:
    with Server(FolderCatalogue([snapshot])) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection((server.address, server.port), timeout=30)


def send_raw(server: Server, data: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with connect(server) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


class TestHuggingFace:
    @pytest.mark.parametrize("path", ["", "/revision/main", "/revision/{commit}"])
    def test_info_names_the_commit_and_what_is_present(
        self, server: Server, snapshot: FolderSnapshot, path: str
    ) -> None:
        commit = snapshot.manifest.commit
        info = fetch(f"{server.url}/api/models/{REPO}{path.format(commit=commit)}?blobs=true").json
        assert info["sha"] == commit
        assert info["cardData"] == {"license": "mit"}
        assert info["tags"] == ["license:mit", "custom_code"]
        rows = {row["rfilename"]: row for row in info["siblings"]}
        assert set(rows) == set(FILES)
        assert rows["model.safetensors"]["lfs"]["sha256"] == LARGE_SHA256
        assert rows["config.json"]["blobId"] == hashlib.sha1(b"blob 2\0{}").hexdigest()

    def test_info_without_blobs_has_names_only(self, server: Server) -> None:
        rows = fetch(f"{server.url}/api/models/{REPO}").json["siblings"]
        assert {tuple(row) for row in rows} == {("rfilename",)}

    def test_tree_is_flat_unless_recursive(self, server: Server) -> None:
        flat = fetch(f"{server.url}/api/models/{REPO}/tree/main").json
        deep = fetch(f"{server.url}/api/models/{REPO}/tree/main?recursive=true").json
        below = fetch(f"{server.url}/api/models/{REPO}/tree/main/sub/dir").json
        assert [row["path"] for row in flat] == ["config.json", "empty.txt", "model.safetensors", "sub"]
        assert {row["path"]: row["type"] for row in deep} == {
            **dict.fromkeys(FILES, "file"),
            "sub": "directory",
            "sub/dir": "directory",
        }
        assert [row["path"] for row in below] == ["sub/dir/ä b.txt"]
        lfs = next(row["lfs"] for row in deep if row["path"] == "model.safetensors")
        assert (lfs["oid"], lfs["size"]) == (LARGE_SHA256, len(LARGE))

    def test_tree_comes_in_pages(self, tmp_path: Path) -> None:
        count = huggingface_dialect.PAGE_ENTRIES + 5
        many = write_snapshot(tmp_path, REPO, {f"part-{number:05}": b"x" for number in range(count)})
        with Server(FolderCatalogue([many])) as server:
            paths: list[str] = []
            url: str | None = f"{server.url}/api/models/{REPO}/tree/main?recursive=true"
            while url:
                page = fetch(url)
                paths += [row["path"] for row in page.json]
                link = page.headers.get("link")
                url = link[1 : link.index(">")] if link else None
            assert fetch(f"{server.url}/api/models/{REPO}/tree/main?cursor=x").json[0]["path"] == "part-00000"
        assert paths == sorted(many.paths)

    def test_resolve_carries_what_clients_read(self, server: Server, snapshot: FolderSnapshot) -> None:
        large = fetch(server.url + HF_LARGE, method="HEAD")
        small = fetch(f"{server.url}/{REPO}/resolve/{snapshot.manifest.commit}/config.json", method="HEAD")
        assert (large.status, large.body, large.headers["content-length"]) == (200, b"", str(len(LARGE)))
        assert large.headers["x-repo-commit"] == small.headers["x-repo-commit"] == snapshot.manifest.commit
        assert large.headers["etag"] == large.headers["x-linked-etag"] == f'"{LARGE_SHA256}"'
        assert large.headers["x-linked-size"] == str(len(LARGE))
        assert small.headers["etag"] == f'"{hashlib.sha1(b"blob 2" + bytes(1) + b"{}").hexdigest()}"'
        assert "x-linked-etag" not in small.headers

    def test_refs_name_every_revision(self, tmp_path: Path, snapshot: FolderSnapshot) -> None:
        tagged = write_snapshot(tmp_path / "tag", REPO, {"config.json": b"[]"}, revision="v1")
        with Server(FolderCatalogue([snapshot, tagged])) as server:
            branches = fetch(f"{server.url}/api/models/{REPO}/refs").json["branches"]
            assert fetch(f"{server.url}/{REPO}/resolve/v1/config.json").body == b"[]"
        assert {row["name"]: row["targetCommit"] for row in branches} == {
            "main": snapshot.manifest.commit,
            "v1": tagged.manifest.commit,
        }

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/api/models/no/body", "RepoNotFound"),
            ("/no/body/resolve/main/config.json", "RepoNotFound"),
            ("/api/models/no/body/refs", "RepoNotFound"),
            (f"/api/models/{REPO}/revision/nope", "RevisionNotFound"),
            (f"/api/models/{REPO}/tree/nope", "RevisionNotFound"),
            (f"/api/models/{REPO}/tree/main/nope", "EntryNotFound"),
            (f"/{REPO}/resolve/main/nope", "EntryNotFound"),
            (f"/{REPO}/resolve/main/pytorch_model.bin", "EntryNotFound"),
        ],
    )
    def test_what_is_missing_is_named(self, server: Server, path: str, code: str) -> None:
        reply = fetch(server.url + path)
        assert (reply.status, reply.headers["x-error-code"]) == (404, code)


class TestModelScope:
    def test_every_present_file_is_listed_with_its_sha256(self, server: Server) -> None:
        document = fetch(server.url + MS_LISTING).json
        assert (document["Code"], document["Success"]) == (200, True)
        rows = {row["Path"]: row for row in document["Data"]["Files"]}
        files = {path: row for path, row in rows.items() if row["Type"] == "blob"}
        assert {path: row["Sha256"] for path, row in files.items()} == {
            path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()
        }
        assert {path: row["Size"] for path, row in files.items()} == {path: len(FILES[path]) for path in FILES}
        assert set(rows) - set(files) == {"sub", "sub/dir"}

    def test_root_and_recursive_bound_the_listing(self, server: Server) -> None:
        base = f"{server.url}/api/v1/models/{REPO}/repo/files?Revision=master"
        flat = fetch(base).json["Data"]["Files"]
        below = fetch(f"{base}&Root=sub/").json["Data"]["Files"]
        assert [row["Path"] for row in flat] == ["config.json", "empty.txt", "model.safetensors", "sub"]
        assert [row["Path"] for row in below] == ["sub/dir"]

    def test_a_file_comes_with_its_sha256(self, server: Server) -> None:
        reply = fetch(f"{server.url}/api/v1/models/{REPO}/repo?FilePath=config.json")
        assert reply.headers["x-linked-etag"] == f'"{hashlib.sha256(b"{}").hexdigest()}"'

    def test_revisions_and_the_model_itself(self, server: Server) -> None:
        revisions = fetch(f"{server.url}/api/v1/models/{REPO}/revisions").json["Data"]["RevisionMap"]
        assert [row["Revision"] for row in revisions["Branches"]] == ["master"]
        assert fetch(f"{server.url}/api/v1/models/{REPO}").json["Data"]["License"] == "mit"

    @pytest.mark.parametrize(
        "path",
        [
            "/api/v1/models/no/body/repo/files",
            "/api/v1/models/no/body/revisions",
            f"/api/v1/models/{REPO}/repo/files?Revision=nope",
            f"/api/v1/models/{REPO}/repo?FilePath=nope",
            f"/api/v1/models/{REPO}/repo",
            f"/api/v1/models/{REPO}/other",
            "/api/v1/repos/internalAccelerationInfo",
        ],
    )
    def test_what_is_missing_is_refused_in_the_envelope(self, server: Server, path: str) -> None:
        reply = fetch(server.url + path)
        assert (reply.status, reply.json["Success"]) == (404, False)


class TestFiles:
    @BOTH
    def test_a_file_is_whole_and_its_ranges_are_its_slices(self, server: Server, path: str) -> None:
        assert fetch(server.url + path).body == LARGE
        for asked, start, stop in (("0-0", 0, 1), ("5-70004", 5, 70005), ("299999-", 299_999, 300_000)):
            reply = fetch(server.url + path, headers={"Range": f"bytes={asked}"})
            assert (reply.status, reply.body) == (206, LARGE[start:stop])
            assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"

    @BOTH
    def test_a_range_past_the_end_is_416(self, server: Server, path: str) -> None:
        reply = fetch(server.url + path, headers={"Range": "bytes=300000-"})
        assert (reply.status, reply.headers["content-range"], reply.body) == (416, "bytes */300000", b"")

    @BOTH
    def test_who_has_it_is_spared_the_body(self, server: Server, path: str) -> None:
        etag = fetch(server.url + path, method="HEAD").headers["etag"]
        reply = fetch(server.url + path, headers={"If-None-Match": etag})
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
        assert "content-length" not in reply.headers

    def test_empty_files_and_odd_names_are_served(self, server: Server) -> None:
        assert fetch(f"{server.url}/{REPO}/resolve/main/empty.txt").body == b""
        assert fetch(f"{server.url}/{REPO}/resolve/main/sub/dir/%C3%A4%20b.txt").body == b"deep"
        assert fetch(f"{server.url}/{REPO}/resolve/main/sub%2Fdir%2F%C3%A4%20b.txt").body == b"deep"

    def test_a_file_is_never_shown_as_a_page(self, server: Server) -> None:
        headers = fetch(f"{server.url}/{REPO}/resolve/main/sub/dir/%C3%A4%20b.txt").headers
        assert headers["content-disposition"] == "attachment; filename*=UTF-8''%C3%A4%20b.txt"
        assert headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("damage", ["shorter", "gone"])
    def test_a_damaged_copy_is_an_error_and_not_a_shorter_model(
        self, server: Server, snapshot: FolderSnapshot, damage: str
    ) -> None:
        file = snapshot.file("model.safetensors")
        file.unlink()
        if damage == "shorter":
            file.write_bytes(LARGE[:-1])
        reply = fetch(server.url + HF_LARGE)
        assert reply.status == 500
        assert str(snapshot.folder) not in reply.body.decode()
        assert fetch(f"{server.url}/{REPO}/resolve/main/config.json").status == 200

    def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(self, tmp_path: Path) -> None:
        huge = write_snapshot(tmp_path, REPO, {"model.safetensors": bytes(32 << 20)})
        with Server(FolderCatalogue([huge])) as server:
            connection = http.client.HTTPConnection(server.address, server.port, timeout=connection_module.IDLE_S / 2)
            connection.request("GET", HF_LARGE)
            response = connection.getresponse()
            os.truncate(huge.file("model.safetensors"), 1000)
            with pytest.raises(http.client.IncompleteRead):
                response.read()
            connection.close()

    def test_the_dialects_own_hub_wins(self, tmp_path: Path) -> None:
        from_one = write_snapshot(tmp_path / "one", REPO, {"from": b"huggingface"}, hub="huggingface")
        from_other = write_snapshot(tmp_path / "other", REPO, {"from": b"modelscope"}, hub="modelscope")
        with Server(FolderCatalogue([from_other, from_one])) as server:
            assert fetch(f"{server.url}/{REPO}/resolve/main/from").body == b"huggingface"
            assert fetch(f"{server.url}/api/v1/models/{REPO}/repo?FilePath=from").body == b"modelscope"

    def test_a_model_pulled_while_the_server_runs_is_found_at_once(
        self, tmp_path: Path, snapshot: FolderSnapshot
    ) -> None:
        catalogue = FolderCatalogue([])
        with Server(catalogue) as server:
            assert fetch(server.url + HF_LARGE).status == 404
            catalogue.found.append(snapshot)
            assert fetch(server.url + HF_LARGE).body == LARGE

    def test_a_person_sees_what_there_is(self, server: Server) -> None:
        reply = fetch(f"{server.url}/")
        assert f"huggingface:{REPO}" in reply.body.decode()


class TestHostileClients:
    @pytest.mark.parametrize(
        "file",
        [
            "../secret",
            "..%2Fsecret",
            "%2e%2e/secret",
            "/etc/passwd",
            "%2Fetc%2Fpasswd",
            "sub/../../secret",
            "sub//dir",
            "config.json%00",
            "C:%5Csecret",
            ".",
        ],
    )
    def test_no_name_leads_out_of_the_manifest(self, server: Server, snapshot: FolderSnapshot, file: str) -> None:
        (snapshot.folder.parent / "secret").write_bytes(b"secret")
        assert fetch(f"{server.url}/{REPO}/resolve/main/{file}").status == 404
        assert fetch(f"{server.url}/api/v1/models/{REPO}/repo?FilePath={file}").status == 404

    @pytest.mark.parametrize("part", ["..", "%2e%2e", "a%2Fb", "a:b", "a@b", "%0d%0aX-Evil:1", "a%00b"])
    def test_no_owner_name_or_revision_is_more_than_a_word(self, server: Server, part: str) -> None:
        for path in (f"/{part}/name", f"/own/{part}"):
            assert fetch(f"{server.url}/api/models{path}").status == 404
            assert fetch(f"{server.url}/api/v1/models{path}/repo/files").status == 404
        reply = fetch(f"{server.url}/api/models/{REPO}/revision/{part}")
        assert reply.status == 404
        assert "x-evil" not in reply.headers

    def test_a_host_that_is_none_gets_no_link(self, tmp_path: Path) -> None:
        many = write_snapshot(tmp_path, REPO, {f"{number:05}": b"x" for number in range(1001)})
        with Server(FolderCatalogue([many])) as server:
            url = f"{server.url}/api/models/{REPO}/tree/main"
            assert "link" not in fetch(url, headers={"Host": 'evil>; rel="next", <http://other'}).headers

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"\r\n\r\n", b"400"),
            (b"GET / HTTP/3.0\r\n\r\n", b"400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),
            (b"DELETE / HTTP/1.1\r\n\r\n", b"405"),
            (b"POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"405"),
            (b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"413"),
            (b"GET /" + b"a" * 100_000, b"431"),
            (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", b"431"),
        ],
    )
    def test_a_refused_client_is_told_and_the_connection_ends(self, server: Server, data: bytes, status: bytes) -> None:
        assert send_raw(server, data).startswith(b"HTTP/1.1 " + status)
        assert fetch(f"{server.url}/").status == 200

    def test_a_head_that_dribbles_in_is_refused(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "HEAD_S", 0.2)
        with connect(server) as client:
            client.settimeout(0.05)
            answer = b""
            while not answer:
                client.send(b"G")
                with contextlib.suppress(TimeoutError):
                    answer = client.recv(100)
        assert answer.startswith(b"HTTP/1.1 408")

    def test_an_idle_connection_is_ended_in_silence(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "IDLE_S", 0.2)
        assert send_raw(server, b"") == b""
        assert send_raw(server, b"HEAD / HTTP/1.1\r\n\r\n").count(b"HTTP/1.1") == 1

    def test_a_client_that_does_not_read_is_left(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_module, "STALL_S", 0.2)
        huge = write_snapshot(tmp_path, REPO, {"model.safetensors": bytes(32 << 20)})
        left: queue.Queue[Served] = queue.Queue()
        with Server(FolderCatalogue([huge]), observe=left.put) as server, connect(server) as client:
            client.sendall(f"GET {HF_LARGE} HTTP/1.1\r\n\r\n".encode())
            assert left.get(timeout=30).bytes_sent < 32 << 20

    def test_a_client_that_leaves_in_the_middle_harms_nobody(self, server: Server) -> None:
        for _ in range(3):
            with connect(server) as client:
                client.sendall(f"GET {HF_LARGE} HTTP/1.1\r\n\r\n".encode())
                client.recv(10)
        assert fetch(server.url + HF_LARGE).body == LARGE

    def test_beyond_the_cap_a_client_waits_to_be_let_in(self, snapshot: FolderSnapshot) -> None:
        with Server(FolderCatalogue([snapshot]), max_connections=1) as server:
            held = http.client.HTTPConnection(server.address, server.port, timeout=30)
            held.request("GET", "/")
            held.getresponse().read()
            with connect(server) as waiting:
                waiting.sendall(b"GET / HTTP/1.0\r\n\r\n")
                waiting.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    waiting.recv(1)
                held.close()
                waiting.settimeout(30)
                assert waiting.recv(15) == b"HTTP/1.1 200 OK"


class TestServer:
    def test_one_connection_serves_many_requests_and_pipelines(self, server: Server) -> None:
        request = f"GET /{REPO}/resolve/main/config.json HTTP/1.1\r\n"
        answer = send_raw(server, f"{request}\r\n{request}\r\n{request}Connection: close\r\n\r\n".encode())
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.count(b"Connection: keep-alive") == 2

    def test_head_sends_no_body_and_keeps_the_connection_usable(self, server: Server) -> None:
        connection = http.client.HTTPConnection(server.address, server.port, timeout=30)
        for method, body in (("HEAD", b""), ("GET", LARGE), ("HEAD", b"")):
            connection.request(method, HF_LARGE)
            assert connection.getresponse().read() == body
        connection.close()

    def test_every_request_is_observed(self, snapshot: FolderSnapshot) -> None:
        seen: list[Served] = []
        done = threading.Semaphore(0)

        def observe(served: Served) -> None:
            seen.append(served)
            done.release()

        with Server(FolderCatalogue([snapshot]), observe=observe) as server:
            fetch(server.url + HF_LARGE, headers={"Range": "bytes=0-9"})
            fetch(server.url + HF_LARGE, method="HEAD")
            for _ in range(2):
                assert done.acquire(timeout=30)
            send_raw(server, b"nonsense\r\n\r\n")
            assert done.acquire(timeout=30)
        # Each is told from its own connection's thread, so in any order.
        assert {(served.method, served.target, served.status, served.bytes_sent) for served in seen[:2]} == {
            ("GET", HF_LARGE, 206, 10),
            ("HEAD", HF_LARGE, 200, 0),
        }
        assert seen[2].status == 400
        assert {served.client for served in seen} == {"127.0.0.1"}

    @pytest.mark.parametrize("failure", [StoreError("`the store` is locked"), RuntimeError("a bug")])
    def test_a_catalogue_that_fails_is_a_500_and_not_the_end(self, failure: Exception) -> None:
        class Broken:
            def snapshots(self) -> list[FolderSnapshot]:
                raise failure

            def lookup(self, reference: Reference) -> FolderSnapshot | None:
                raise failure

        seen: list[Served] = []
        with Server(Broken(), observe=seen.append) as server:
            replies = [fetch(server.url + path) for path in (HF_LARGE, "/", MS_LISTING)]
        assert [reply.status for reply in replies] == [500] * 3
        assert not any(str(failure).encode() in reply.body for reply in replies)
        assert all(str(failure) in (served.error or "") for served in seen)
        assert len(seen) == 3

    def test_a_thread_that_cannot_be_had_costs_one_client(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real_start = threading.Thread.start
        failures = [RuntimeError("can't start new thread")]

        def start(thread: threading.Thread) -> None:
            if failures:
                raise failures.pop()
            real_start(thread)

        fetch(f"{server.url}/")
        monkeypatch.setattr(threading.Thread, "start", start)
        with connect(server) as unlucky:
            assert unlucky.recv(1) == b""
        assert fetch(f"{server.url}/").status == 200

    def test_closing_ends_idle_connections_and_frees_the_port(self, snapshot: FolderSnapshot) -> None:
        server = Server(FolderCatalogue([snapshot]))
        server.start()
        with connect(server) as idle:
            fetch(f"{server.url}/")
            server.close()
            idle.settimeout(connection_module.IDLE_S / 2)
            assert idle.recv(1) == b""
        server.close()
        with Server(FolderCatalogue([snapshot]), port=server.port) as again:
            assert again.port == server.port

    def test_a_taken_port_is_a_usage_error_with_a_hint(self, server: Server, snapshot: FolderSnapshot) -> None:
        with pytest.raises(UsageError, match="cannot be listened on") as failure:
            Server(FolderCatalogue([snapshot]), port=server.port)
        assert "--port 0" in (failure.value.hint or "")

    def test_ipv6_loopback_is_served(self, snapshot: FolderSnapshot) -> None:
        if not _has_ipv6():
            pytest.skip("this machine has no IPv6 loopback")
        with Server(FolderCatalogue([snapshot]), host="::1") as server:
            assert server.is_loopback
            assert fetch(server.url + HF_LARGE).body == LARGE


def _has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True
