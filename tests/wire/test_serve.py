"""What `serve` answers: both dialects, ranges, digests, and nothing beyond the manifest whatever name is asked for."""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelfetch.manifest import Digests, Facts
from modelfetch.piecelist import MEDIA_TYPE, address, from_bytes
from modelfetch.planning.scheduler import PIECE
from modelfetch.serve import Server
from modelfetch.serve import connection as connection_module
from modelfetch.serve import huggingface as huggingface_dialect
from tests.catalogue import FolderCatalogue, FolderSnapshot, pieces_of, write_snapshot
from tests.plain_http import fetch
from tests.pulling import noise

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

    def test_a_file_whose_git_sha1_nobody_computed_is_served_as_a_large_one(self, tmp_path: Path) -> None:
        snapshot = write_snapshot(tmp_path, REPO, {"big.txt": b"big"})
        sha256 = hashlib.sha256(b"big").hexdigest()
        (entry,) = snapshot.manifest.entries
        manifest = replace(snapshot.manifest, entries=(replace(entry, digests=Digests(sha256)),))
        with Server(FolderCatalogue([replace(snapshot, manifest=manifest)])) as server:
            (row,) = fetch(f"{server.url}/api/models/{REPO}?blobs=true").json["siblings"]
            assert row["lfs"]["sha256"] == sha256
            headers = fetch(f"{server.url}/{REPO}/resolve/main/big.txt").headers
            assert headers["etag"] == headers["x-linked-etag"] == f'"{sha256}"'

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

    @BOTH
    def test_the_pieces_of_a_file_are_at_its_address(self, tmp_path: Path, path: str) -> None:
        content = noise(2 * PIECE + 1000)
        model = write_snapshot(tmp_path, REPO, {"model.safetensors": content})
        with Server(FolderCatalogue([model])) as server:
            reply = fetch(address(server.url + path))
            assert (reply.status, reply.headers["content-type"]) == (200, MEDIA_TYPE)
            assert from_bytes(reply.body) == pieces_of(content)
            head = fetch(address(server.url + path), method="HEAD")
            assert (head.status, head.headers["content-type"], head.body) == (200, MEDIA_TYPE, b"")
            assert int(head.headers["content-length"]) == len(reply.body)

    @BOTH
    def test_a_file_whose_pieces_are_not_known_has_no_list(self, server: Server, path: str) -> None:
        reply = fetch(address(server.url + path))
        assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (404, "application/json")
        assert fetch(address(server.url + path.replace("model.safetensors", "absent"))).status == 404
        assert fetch(server.url + path).body == LARGE

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


class TestHostileNames:
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
