"""The simulated hub keeps its promises: what other tests prove against it rests on these."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from tests.plain_http import Reply, fetch
from tests.simulator import (
    Cut,
    Endless,
    FakeHub,
    Fault,
    Flip,
    Gzip,
    HostileName,
    HugeListing,
    IgnoreRange,
    NextElsewhere,
    Portal,
    RedirectTo,
    Slow,
    Stall,
    Status,
    Truncate,
    WrongRange,
    WrongSize,
)

REPO = "own/name"
SMALL = b"{}"
LARGE = bytes(range(256)) * 2048
FILES = {"config.json": SMALL, "folder/notes.txt": b"notes", "model.safetensors": LARGE}
LARGE_SHA256 = hashlib.sha256(LARGE).hexdigest()
HF_LARGE = f"/{REPO}/resolve/main/model.safetensors"
HF_SMALL = f"/{REPO}/resolve/main/config.json"
MS_LARGE = f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=model.safetensors"
MS_SMALL = f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=config.json"
MS_LISTING = f"/api/v1/models/{REPO}/repo/files?Revision=master&Recursive=True"
TREE = f"/api/models/{REPO}/tree/main?recursive=true"


def fetch_data(hub: FakeHub, **headers: str) -> Reply:
    """The large file from the CDN, through the hub's redirect."""
    return fetch(fetch(hub.url + HF_LARGE).headers["location"], headers=headers)


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class TestHonestHub:
    def test_model_info_names_the_commit_and_with_blobs_every_digest(self) -> None:
        with FakeHub({REPO: {**FILES, "README.md": b"---\nlicense: mit\n---\n"}}) as hub:
            info = fetch(f"{hub.url}/api/models/{REPO}?blobs=true").json
            assert info["sha"] == hub.commit(REPO)
            assert info["cardData"] == {"license": "mit"}
            assert info["gated"] is False
        siblings = {row["rfilename"]: row for row in info["siblings"]}
        assert siblings["config.json"] == {"rfilename": "config.json", "size": 2, "blobId": git_sha1(SMALL)}
        assert siblings["model.safetensors"]["lfs"]["sha256"] == LARGE_SHA256
        assert siblings["model.safetensors"]["size"] == len(LARGE)

    def test_tree_comes_in_pages_that_link_to_the_next(self) -> None:
        with FakeHub({REPO: FILES}, page_size=2) as hub:
            rows = []
            url: str | None = hub.url + TREE
            while url:
                page = fetch(url)
                rows += page.json
                link = page.headers.get("link")
                url = link[1 : link.index(">")] if link else None
        assert [row["path"] for row in rows] == ["config.json", "folder", "folder/notes.txt", "model.safetensors"]
        assert rows[1]["type"] == "directory"
        assert rows[3]["lfs"]["oid"] == LARGE_SHA256

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_resolve_redirects_large_files_to_the_cdn_with_their_digest(self, method: str) -> None:
        with FakeHub({REPO: FILES}) as hub:
            reply = fetch(hub.url + HF_LARGE, method=method)
            assert reply.status == 302
            assert reply.headers["location"].startswith(hub.cdn_url + "/")
            assert reply.headers["x-repo-commit"] == hub.commit(REPO)
        assert reply.headers["x-linked-etag"] == f'"{LARGE_SHA256}"'
        assert reply.headers["x-linked-size"] == str(len(LARGE))

    def test_resolve_serves_small_files_itself(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            reply = fetch(hub.url + HF_SMALL)
            head = fetch(hub.url + HF_SMALL, method="HEAD")
        assert (reply.status, reply.body) == (200, SMALL)
        assert reply.headers["etag"] == f'"{git_sha1(SMALL)}"'
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "2")

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [
            ("bytes=0-0", 0, 1),
            ("bytes=10-99", 10, 100),
            ("bytes=524287-", 524287, 524288),
            ("bytes=-5", 524283, 524288),
        ],
    )
    def test_a_single_range_is_exactly_the_bytes_asked_for(self, asked: str, start: int, stop: int) -> None:
        with FakeHub({REPO: FILES}) as hub:
            reply = fetch_data(hub, Range=asked)
        assert reply.status == 206
        assert reply.body == LARGE[start:stop]
        assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(LARGE)}"

    def test_a_range_past_the_end_is_416(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            reply = fetch_data(hub, Range=f"bytes={len(LARGE)}-")
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(LARGE)}")

    def test_modelscope_lists_every_file_with_size_and_sha256(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            document = fetch(hub.url + MS_LISTING).json
        assert (document["Code"], document["Success"]) == (200, True)
        rows = {row["Path"]: row for row in document["Data"]["Files"]}
        assert rows["folder"]["Type"] == "tree"
        assert rows["folder/notes.txt"]["Name"] == "notes.txt"
        large = rows["model.safetensors"]
        assert (large["Type"], large["Size"], large["Sha256"], large["IsLFS"]) == (
            "blob",
            len(LARGE),
            LARGE_SHA256,
            True,
        )

    def test_modelscope_can_list_without_sha256(self) -> None:
        with FakeHub({REPO: FILES}, sha256_listed=False) as hub:
            rows = fetch(hub.url + MS_LISTING).json["Data"]["Files"]
        assert {row["Sha256"] for row in rows} == {""}

    def test_modelscope_sends_small_files_whole_and_redirects_large_ones(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            small = fetch(hub.url + MS_SMALL, headers={"Range": "bytes=1-1"})
            large = fetch(hub.url + MS_LARGE)
            data = fetch(large.headers["location"], headers={"Range": "bytes=1-3"})
        assert (small.status, small.body) == (200, SMALL)
        assert (large.status, data.body) == (302, LARGE[1:4])

    @pytest.mark.parametrize(
        ("path", "token", "status", "code"),
        [
            ("/api/models/no/body", None, 401, None),
            ("/api/models/no/body", "any", 404, "RepoNotFound"),
            (f"/api/models/{REPO}/revision/nope", None, 404, "RevisionNotFound"),
            (f"/{REPO}/resolve/main/nope", None, 404, "EntryNotFound"),
            ("/gated/one/resolve/main/config.json", None, 401, "GatedRepo"),
            ("/gated/one/resolve/main/config.json", "wrong", 403, "GatedRepo"),
            ("/gated/one/resolve/main/config.json", "right", 200, None),
        ],
    )
    def test_huggingface_says_why_it_refuses(self, path: str, token: str | None, status: int, code: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        with FakeHub({REPO: FILES, "gated/one": FILES}, gated=frozenset({"gated/one"}), token="right") as hub:
            reply = fetch(hub.url + path, headers=headers)
        assert (reply.status, reply.headers.get("x-error-code")) == (status, code)

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/api/v1/models/no/body/repo/files", 404),
            (f"/api/v1/models/{REPO}/repo/files?Revision=nope", 404),
            (f"/api/v1/models/{REPO}/repo?Revision=master&FilePath=nope", 404),
            ("/api/v1/models/gated/one/repo/files", 401),
            ("/api/v1/repos/internalAccelerationInfo", 404),
        ],
    )
    def test_modelscope_refuses_in_its_envelope(self, path: str, status: int) -> None:
        with FakeHub({REPO: FILES, "gated/one": FILES}, gated=frozenset({"gated/one"}), token="right") as hub:
            reply = fetch(hub.url + path)
        assert (reply.status, reply.json["Success"]) == (status, False)

    def test_a_file_on_disk_is_served_like_bytes(self, tmp_path: Path) -> None:
        path = tmp_path / "weights"
        path.write_bytes(LARGE)
        with FakeHub({REPO: {"model.safetensors": path}}) as hub:
            assert fetch_data(hub).body == LARGE
            assert fetch_data(hub, Range="bytes=7-300000").body == LARGE[7:300001]

    def test_the_branch_moves_and_the_old_commit_stays(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            old = hub.commit(REPO)
            hub.replace(REPO, {"config.json": b"[1]"})
            assert hub.commit(REPO) != old
            assert fetch(hub.url + HF_SMALL).body == b"[1]"
            assert fetch(f"{hub.url}/{REPO}/resolve/{old}/config.json").body == SMALL

    def test_a_signed_address_lives_for_so_many_requests(self) -> None:
        with FakeHub({REPO: FILES}, cdn_life_requests=1) as hub:
            location = fetch(hub.url + HF_LARGE).headers["location"]
            assert [fetch(location).status for _ in range(2)] == [200, 403]
            assert fetch(hub.cdn_url + urlsplit(location).path).status == 403

    def test_a_signed_address_lives_for_so_long(self) -> None:
        with FakeHub({REPO: FILES}, cdn_life_s=0.0) as hub:
            assert fetch_data(hub).status == 403

    def test_a_hub_without_a_cdn_serves_large_files_itself(self) -> None:
        with FakeHub({REPO: FILES}, cdn=False) as hub:
            replies = [fetch(hub.url + path, headers={"Range": "bytes=2-4"}) for path in (HF_LARGE, MS_LARGE)]
        assert [(reply.status, reply.body) for reply in replies] == [(206, LARGE[2:5])] * 2

    def test_the_log_knows_ranges_bytes_origins_and_connections(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            fetch_data(hub, Range="bytes=0-99")
            first, second = hub.requests
            assert (first.origin, first.status, first.phase) == ("hub", 302, "redirect")
            assert (second.origin, second.status, second.range, second.bytes_sent) == ("cdn", 206, "bytes=0-99", 100)
            assert second.file == "model.safetensors"
            assert hub.bytes_sent("*.safetensors") == hub.bytes_sent() == 100
            assert hub.bytes_sent("*.json") == 0

    def test_one_connection_serves_many_requests(self) -> None:
        with FakeHub({REPO: FILES}) as hub:
            connection = http.client.HTTPConnection(urlsplit(hub.url).netloc, timeout=30)
            for path in (HF_SMALL, HF_LARGE, MS_SMALL):
                connection.request("GET", path)
                connection.getresponse().read()
            connection.close()
            assert len({request.connection for request in hub.requests}) == 1

    def test_closing_breaks_idle_and_stalled_connections(self) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(Stall(0))]) as hub:
            idle = socket.create_connection(("127.0.0.1", urlsplit(hub.url).port or 0), timeout=30)
            location = urlsplit(fetch(hub.url + HF_LARGE).headers["location"])
            stalled = http.client.HTTPConnection(location.netloc, timeout=30)
            stalled.request("GET", f"{location.path}?{location.query}")
            response = stalled.getresponse()
        assert idle.recv(1) == b""
        with pytest.raises(http.client.IncompleteRead):
            response.read()
        idle.close()
        stalled.close()


class TestFaults:
    def test_a_budget_is_spent_and_a_list_reads_as_a_sequence(self) -> None:
        faults = [Fault(Status(503), times=2), Fault(Status(429, {"Retry-After": "7"}))]
        with FakeHub({REPO: FILES}, faults=faults) as hub:
            replies = [fetch(hub.url + HF_SMALL) for _ in range(4)]
        assert [reply.status for reply in replies] == [503, 503, 429, 200]
        assert replies[2].headers["retry-after"] == "7"

    def test_a_fault_hits_only_its_path_phase_and_origin(self) -> None:
        faults = [
            Fault(Status(500), path="*.txt", times=None),
            Fault(Status(501), phase="metadata", path="/api/models/*", times=None),
            Fault(Status(502), phase="redirect", times=None),
            Fault(Status(503), origin="cdn", times=None),
        ]
        with FakeHub({REPO: FILES}) as hub:
            location = fetch(hub.url + HF_LARGE).headers["location"]
            hub.set_faults(*faults)
            assert fetch(f"{hub.url}/{REPO}/resolve/main/folder/notes.txt").status == 500
            assert fetch(hub.url + TREE).status == 501
            assert fetch(hub.url + HF_LARGE).status == 502
            assert fetch(location).status == 503
            assert fetch(hub.url + HF_SMALL).status == 200
            assert fetch(hub.url + MS_LISTING).status == 200

    @pytest.mark.parametrize("by", ["rst", "fin"])
    def test_cut_breaks_the_body_off(self, by: Any) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(Cut(1000, by))]) as hub:
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)) as failure:
                fetch_data(hub)
            assert hub.bytes_sent() == 1000
            assert fetch_data(hub).body == LARGE
        if by == "fin":
            assert isinstance(failure.value, http.client.IncompleteRead)
            assert failure.value.partial == LARGE[:1000]

    def test_stall_sends_no_more_and_keeps_the_connection(self) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(Stall(1000))]) as hub:
            location = urlsplit(fetch(hub.url + HF_LARGE).headers["location"])
            connection = http.client.HTTPConnection(location.netloc, timeout=30)
            connection.request("GET", f"{location.path}?{location.query}")
            response = connection.getresponse()
            assert response.read(1000) == LARGE[:1000]
            connection.sock.settimeout(0.3)
            with pytest.raises(TimeoutError):
                response.read(1)
            connection.close()

    def test_a_slow_answer_is_whole(self) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(Slow(20_000_000))]) as hub:
            assert fetch_data(hub).body == LARGE

    def test_range_ignored_truncated_and_lied_about(self) -> None:
        faults = [Fault(IgnoreRange()), Fault(Truncate(3)), Fault(WrongRange(5))]
        with FakeHub({REPO: FILES}, faults=faults) as hub:
            ignored, short, wrong = (fetch_data(hub, Range="bytes=10-19") for _ in range(3))
        assert (ignored.status, ignored.body) == (200, LARGE)
        assert (short.status, short.body, short.headers["content-length"]) == (206, LARGE[10:13], "3")
        assert short.headers["content-range"] == f"bytes 10-19/{len(LARGE)}"
        assert (wrong.body, wrong.headers["content-range"]) == (LARGE[10:20], f"bytes 15-24/{len(LARGE)}")

    def test_a_lying_truncation_names_the_whole_length(self) -> None:
        with (
            FakeHub({REPO: FILES}, faults=[Fault(Truncate(3, lying=True))]) as hub,
            pytest.raises(http.client.IncompleteRead) as failure,
        ):
            fetch_data(hub)
        assert (failure.value.partial, failure.value.expected) == (LARGE[:3], len(LARGE) - 3)

    @pytest.mark.parametrize("on_disk", [True, False])
    def test_flip_injures_the_byte_at_its_offset_whatever_the_range(self, tmp_path: Path, *, on_disk: bool) -> None:
        (tmp_path / "weights").write_bytes(LARGE)
        files = {"model.safetensors": tmp_path / "weights" if on_disk else LARGE}
        with FakeHub({REPO: files}, faults=[Fault(Flip(300_000), times=None)]) as hub:
            got = fetch_data(hub, Range="bytes=299999-300001").body
            other = fetch_data(hub, Range="bytes=0-299999").body
        assert got == bytes([LARGE[299_999], LARGE[300_000] ^ 0xFF, LARGE[300_001]])
        assert other == LARGE[:300_000]

    def test_gzip_portal_and_redirect_replace_what_was_asked(self) -> None:
        faults = [Fault(Gzip()), Fault(Portal())]
        with FakeHub({REPO: FILES}, faults=faults) as hub:
            zipped, portal = fetch_data(hub), fetch_data(hub)
            hub.set_faults(Fault(RedirectTo("http://127.0.0.1:9/elsewhere")))
            moved = fetch(hub.url + HF_LARGE)
        assert (zipped.headers["content-encoding"], gzip.decompress(zipped.body)) == ("gzip", LARGE)
        assert (portal.status, portal.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert (moved.status, moved.headers["location"]) == (302, "http://127.0.0.1:9/elsewhere")

    def test_an_endless_body_goes_on_after_the_file(self) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(Endless())]) as hub:
            location = urlsplit(fetch(hub.url + HF_LARGE).headers["location"])
            connection = http.client.HTTPConnection(location.netloc, timeout=30)
            connection.request("GET", f"{location.path}?{location.query}")
            response = connection.getresponse()
            assert response.getheader("Content-Length") is None
            assert len(response.read(3 * len(LARGE))) == 3 * len(LARGE)
            connection.close()
            response.close()

    @pytest.mark.parametrize("path", [TREE, f"/api/models/{REPO}?blobs=true", MS_LISTING])
    def test_listings_lie_about_names_and_sizes(self, path: str) -> None:
        with FakeHub({REPO: FILES}, faults=[Fault(HostileName("../../x")), Fault(WrongSize(99))]) as hub:
            named, sized, honest = (fetch(hub.url + path).body for _ in range(3))
        assert b"../../x" in named
        assert b"config.json" not in named
        assert sized.count(b": 99") == 1
        assert b"config.json" in honest

    def test_a_listing_is_huge_or_goes_on_elsewhere(self) -> None:
        faults = [Fault(HugeListing(5_000_000)), Fault(NextElsewhere("http://127.0.0.1:9/next"))]
        with FakeHub({REPO: FILES}, faults=faults) as hub:
            huge, linked = (fetch(urljoin(hub.url, TREE)) for _ in range(2))
        assert len(huge.body) > 5_000_000
        assert huge.json == linked.json
        assert linked.headers["link"] == '<http://127.0.0.1:9/next>; rel="next"'
