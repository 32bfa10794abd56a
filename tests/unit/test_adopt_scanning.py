"""What is found where other tools keep models: which one it is, which files, what is claimed, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelfetch.adopt import Place, Tool, known_places, place_at
from modelfetch.adopt.candidate import Candidate, Scan
from modelfetch.adopt.scanning import scan_place
from modelfetch.config import load
from modelfetch.errors import NotFoundError
from modelfetch.manifest import Digests
from tests.other_tools import (
    huggingface_cache,
    link,
    older_modelscope_repository,
    ollama_model,
    write,
    write_all,
)
from tests.stored import COMMIT, digests_of

FILES = {"config.json": b"{}", "model.safetensors": bytes(200_000), "sub/vocab.txt": b"a\n"}
OTHER_COMMIT = "ab" * 20


def scan(path: Path) -> Scan:
    return scan_place(place_at(path))


def only(found: Scan) -> Candidate:
    (candidate,) = found.candidates
    return candidate


def contents(candidate: Candidate) -> dict[str, bytes]:
    return {found.path: found.file.read_bytes() for found in candidate.files}


def refused(found: Scan) -> dict[str, str]:
    return {refusal.path.name: refusal.why for refusal in found.refusals}


class TestHuggingFace:
    def test_the_folders_and_the_reference_tell_the_model(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path / "hub", FILES)
        candidate = only(scan(tmp_path / "hub"))
        assert (candidate.hub, candidate.repo, candidate.revision, candidate.commit) == (
            "huggingface",
            "own/name",
            None,
            COMMIT,
        )
        assert contents(candidate) == FILES
        assert candidate.listing is None

    def test_what_a_link_leads_to_is_named_by_its_claim(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES)
        claims = {found.path: (found.claim, found.lfs) for found in only(scan(tmp_path)).files}
        assert claims["model.safetensors"] == (Digests(digests_of(FILES["model.safetensors"]).sha256), True)
        assert claims["config.json"] == (Digests(git_sha1=digests_of(FILES["config.json"]).git_sha1), False)

    def test_the_cached_listing_is_the_whole_one(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, {"config.json": b"{}"}, tree=FILES)
        candidate = only(scan(tmp_path))
        assert candidate.listing is not None
        assert {entry.path for entry in candidate.listing} == FILES.keys()
        assert contents(candidate) == {"config.json": b"{}"}

    @pytest.mark.parametrize("damage", [b"{", b"[]", b'{"format_version": 2, "files": {}}', b"[" * 100_000])
    def test_a_listing_that_cannot_be_read_is_as_good_as_none(self, tmp_path: Path, damage: bytes) -> None:
        huggingface_cache(tmp_path, FILES, tree=FILES)
        write(tmp_path / f"models--own--name/trees/{COMMIT}.json", damage)
        assert only(scan(tmp_path)).listing is None

    def test_the_git_id_of_a_pointer_is_no_claim(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES, tree={"config.json": b"{}"})
        tree = tmp_path / f"models--own--name/trees/{COMMIT}.json"
        document = json.loads(tree.read_bytes())
        document["files"]["model.safetensors"] = {"size": 200_000, "blob_id": "0" * 40, "xet_hash": "ab" * 32}
        write(tree, json.dumps(document).encode())
        found = {found.path: found.claim for found in only(scan(tmp_path)).files}
        assert found["model.safetensors"] == Digests(digests_of(FILES["model.safetensors"]).sha256)
        listing = only(scan(tmp_path)).listing
        assert listing is not None
        assert {entry.path: bool(entry.digests) for entry in listing} == {
            "config.json": True,
            "model.safetensors": False,
        }

    def test_a_file_that_its_listing_does_not_have_is_refused(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES, tree={"config.json": b"{}", "model.safetensors": bytes(300_000)})
        found = scan(tmp_path)
        assert contents(only(found)).keys() == {"config.json"}
        assert refused(found).keys() == {"model.safetensors", "vocab.txt"}

    def test_a_branch_a_tag_and_a_commit_without_either(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES, branch="v1.0")
        huggingface_cache(tmp_path, FILES, commit=OTHER_COMMIT, branch=None)
        for name in (f"modelfetch/{OTHER_COMMIT}", "no revision"):
            write(tmp_path / "models--own--name/refs" / name, OTHER_COMMIT.encode())
        revisions = {candidate.commit: candidate.revision for candidate in scan(tmp_path).candidates}
        assert revisions == {COMMIT: "v1.0", OTHER_COMMIT: OTHER_COMMIT}

    def test_the_default_branch_goes_before_another_one(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES)
        write(tmp_path / "models--own--name/refs/a-branch", COMMIT.encode())
        assert only(scan(tmp_path)).revision is None

    def test_files_without_links_have_their_claims_from_the_listing(self, tmp_path: Path) -> None:
        snapshot = huggingface_cache(tmp_path, FILES, tree=FILES)
        for name, content in FILES.items():
            (snapshot / name).unlink()
            write(snapshot / name, content)
        candidate = only(scan(tmp_path))
        assert all(found.claim for found in candidate.files)
        assert contents(candidate) == FILES

    def test_a_blob_in_the_shared_store_is_found_and_claimed_by_its_own_name(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES)
        sha256 = digests_of(FILES["model.safetensors"]).sha256
        blob = tmp_path / f"models--own--name/blobs/{sha256}"
        write(tmp_path / "blobs/ab/abcd", blob.read_bytes())
        blob.unlink()
        link(blob, "../../blobs/ab/abcd")
        found = next(found for found in only(scan(tmp_path)).files if found.path == "model.safetensors")
        assert (found.file, found.claim.sha256) == ((tmp_path / "blobs/ab/abcd").resolve(), sha256)

    def test_a_repository_of_another_kind_or_an_older_name_is_no_model_of_a_name(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, FILES)
        (tmp_path / "models--own--name").rename(tmp_path / "datasets--own--name")
        assert scan_place(Place(Tool.HUGGINGFACE, tmp_path, "given")).candidates == []
        (tmp_path / "datasets--own--name").rename(tmp_path / "models--gpt2")
        candidate = only(scan(tmp_path))
        assert (candidate.label, candidate.repo) == ("gpt2", None)

    def test_hostile_names_and_links_are_refused_by_name(self, tmp_path: Path) -> None:
        secret = write(tmp_path / "secret", b"secret")
        cache = tmp_path / "hub"
        snapshot = huggingface_cache(cache, FILES)
        link(snapshot / "leak.bin", secret)
        link(snapshot / "nowhere.bin", "../../blobs/none")
        link(snapshot / "loop.bin", "loop.bin")
        link(snapshot / "etc", "/etc")
        write(snapshot / "a\nb", b"x")
        write(snapshot / "con.txt", b"x")
        os.mkfifo(snapshot / "pipe")
        write(cache / "models--own--name/snapshots/main/x", b"x")
        found = scan(cache)
        assert contents(only(found)) == FILES
        assert refused(found) == {
            "leak.bin": f"it leads out of `{cache}`, to `{secret}`",
            "nowhere.bin": "it leads nowhere",
            "loop.bin": "it leads nowhere",
            "etc": f"it leads out of `{cache}`, to `/etc`",
            "a\nb": "its name holds the character '\\n'",
            "con.txt": "its name uses the reserved name 'con.txt'",
            "pipe": "it is no file",
            "main": "it is not named by a commit",
        }

    @pytest.mark.parametrize("part", ["snapshots", "blobs", f"snapshots/{COMMIT}", ""])
    def test_a_folder_that_is_a_link_out_of_the_cache_brings_nothing(self, tmp_path: Path, part: str) -> None:
        cache, elsewhere = tmp_path / "hub", tmp_path / "elsewhere"
        huggingface_cache(cache, FILES)
        folder = cache / "models--own--name" / part
        folder.rename(elsewhere)
        link(folder, elsewhere)
        assert scan_place(Place(Tool.HUGGINGFACE, cache, "given")).candidates == []

    def test_a_link_into_our_own_store_is_ours(self, tmp_path: Path) -> None:
        snapshot = huggingface_cache(tmp_path / "hub", FILES)
        payload = write(tmp_path / "store/payload", b"ours")
        link(snapshot / "ours.bin", payload)
        found = scan_place(place_at(tmp_path / "hub"), ours=tmp_path / "store")
        assert contents(only(found)) == {**FILES, "ours.bin": b"ours"}

    def test_names_that_fall_together_are_refused_as_a_whole(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path, {"README.md": b"a", "readme.md": b"b"})
        found = scan(tmp_path)
        assert found.candidates == []
        assert "falls together" in refused(found)[COMMIT]


class TestModelScope:
    @pytest.mark.parametrize(
        ("layout", "name"),
        [
            ("hub/own/na___me-1___5", "own/na.me-1.5"),
            ("hub/models/own/name", "own/name"),
            ("models/own/na___me", "own/na.me"),
            ("own/name", "own/name"),
        ],
    )
    def test_every_older_layout_is_known(self, tmp_path: Path, layout: str, name: str) -> None:
        older_modelscope_repository(tmp_path / layout, FILES)
        candidate = only(scan(tmp_path))
        assert (candidate.hub, candidate.repo, candidate.revision, candidate.commit) == ("modelscope", name, None, None)
        assert contents(candidate) == FILES

    @pytest.mark.parametrize(("revision", "expected"), [("master", None), ("v1.0.1", "v1.0.1"), ("a b", None)])
    def test_the_current_layout_is_known(self, tmp_path: Path, revision: str, expected: str | None) -> None:
        write_all(tmp_path / "models/own--na.me/snapshots" / revision, FILES)
        candidate = only(scan(tmp_path))
        assert (candidate.repo, candidate.revision) == ("own/na.me", expected)
        assert contents(candidate) == FILES

    def test_the_noted_id_says_which_underscores_are_dots(self, tmp_path: Path) -> None:
        older_modelscope_repository(tmp_path / "hub/own/a___b___c", FILES, model_id="own/a___b.c")
        assert only(scan(tmp_path)).repo == "own/a___b.c"

    def test_a_note_is_never_loaded_and_not_believed_about_another_name(self, tmp_path: Path) -> None:
        folder = older_modelscope_repository(tmp_path / "hub/own/name", FILES, model_id="evil/other")
        assert only(scan(tmp_path)).repo == "own/name"
        ran = tmp_path / "ran"
        write(folder / ".mdl", f"cos\nsystem\n(S'touch {ran}'\ntR.".encode())
        assert only(scan(tmp_path)).repo == "own/name"
        assert not ran.exists()

    def test_a_link_that_the_client_made_beside_a_name_with_dots_is_the_same_model(self, tmp_path: Path) -> None:
        older_modelscope_repository(tmp_path / "hub/own/na___me", FILES)
        link(tmp_path / "hub/own/na.me", "na___me")
        assert only(scan(tmp_path)).folder.name == "na___me"

    def test_what_is_unfinished_or_the_clients_own_is_no_file_of_the_model(self, tmp_path: Path) -> None:
        folder = write_all(tmp_path / "models/own--name/snapshots/master", FILES)
        names = ("x.incomplete", "x.parallel_tmp", "x_0_8388607", ".mv", "._____temp/y", ".modelfetch/stamps.jsonl")
        write_all(folder, dict.fromkeys(names, b"x"))
        write(tmp_path / "models/._____temp/own/name/z", b"x")
        assert contents(only(scan(tmp_path))) == FILES

    def test_a_repository_that_is_a_link_out_of_the_cache_brings_nothing(self, tmp_path: Path) -> None:
        elsewhere = write_all(tmp_path / "elsewhere", FILES)
        older_modelscope_repository(tmp_path / "ms/hub/own/name", {"config.json": b"{}"})
        link(tmp_path / "ms/hub/own/other", elsewhere)
        found = scan(tmp_path / "ms")
        assert only(found).repo == "own/name"
        assert refused(found).keys() == {"config.json", "model.safetensors", "vocab.txt"}

    def test_other_folders_beside_the_models_are_none(self, tmp_path: Path) -> None:
        older_modelscope_repository(tmp_path / "hub/own/name", FILES)
        write_all(tmp_path / "hub/datasets/own", FILES)
        write_all(tmp_path / "ast_indexer/x", FILES)
        write_all(tmp_path / "any/program", FILES)
        assert only(scan(tmp_path)).repo == "own/name"


class TestOllama:
    def test_the_weights_of_a_model_are_found_without_a_repository(self, tmp_path: Path) -> None:
        weights = b"GGUF" + bytes(100)
        blob = ollama_model(tmp_path, weights)
        candidate = only(scan(tmp_path))
        assert (candidate.label, candidate.hub, candidate.repo) == ("smollm2:latest", None, None)
        assert contents(candidate) == {"smollm2-latest.gguf": weights}
        assert candidate.files[0].claim.sha256 == blob.name.removeprefix("sha256-")

    def test_names_are_as_ollama_shows_them(self, tmp_path: Path) -> None:
        for name in ("registry.ollama.ai/own/m/7b", "hf.co/own/m-GGUF/Q4_K_M"):
            ollama_model(tmp_path, b"GGUF", name=name)
        labels = {candidate.label for candidate in scan(tmp_path).candidates}
        assert labels == {"own/m:7b", "hf.co/own/m-GGUF:Q4_K_M"}

    def test_one_model_can_be_named_by_its_manifest(self, tmp_path: Path) -> None:
        ollama_model(tmp_path, b"GGUF")
        ollama_model(tmp_path, b"GGUF", name="registry.ollama.ai/own/m/7b")
        assert only(scan(tmp_path / "manifests/registry.ollama.ai/own/m/7b")).label == "own/m:7b"

    @pytest.mark.parametrize("damage", [b"{", b"[]", b'{"layers": 3}', b"[" * 100_000])
    def test_a_manifest_that_cannot_be_read_is_refused_and_stops_no_other(self, tmp_path: Path, damage: bytes) -> None:
        ollama_model(tmp_path, b"GGUF")
        write(tmp_path / "manifests/registry.ollama.ai/own/m/7b", damage)
        found = scan(tmp_path)
        assert only(found).label == "smollm2:latest"
        assert refused(found) == {"7b": "it is no manifest of Ollama's"}

    def test_a_digest_that_is_a_path_is_none(self, tmp_path: Path) -> None:
        ollama_model(tmp_path, b"GGUF")
        document = b'{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "../../secret"}]}'
        write(tmp_path / "manifests/registry.ollama.ai/own/m/7b", document)
        assert only(scan(tmp_path)).label == "smollm2:latest"


class TestFolders:
    def test_a_folder_of_files_is_a_model_without_a_name(self, tmp_path: Path) -> None:
        write_all(tmp_path / "mine", FILES)
        candidate = only(scan(tmp_path / "mine"))
        assert (candidate.label, candidate.repo, candidate.commit) == ("mine", None, None)
        assert contents(candidate) == FILES

    def test_a_folder_of_models_has_those_that_look_like_one(self, tmp_path: Path) -> None:
        write(tmp_path / "README.txt", b"my models")
        write_all(tmp_path / "one", FILES)
        write_all(tmp_path / "hub/own/two", FILES)
        write_all(tmp_path / "pictures", {"cat.jpg": b"x"})
        assert [candidate.label for candidate in scan(tmp_path).candidates] == ["two", "one"]

    def test_one_file_is_a_model(self, tmp_path: Path) -> None:
        file = write(tmp_path / "model.gguf", b"GGUF")
        assert contents(only(scan(file))) == {"model.gguf": b"GGUF"}

    def test_notes_of_hugging_faces_client_tell_commit_and_digests(self, tmp_path: Path) -> None:
        write_all(tmp_path, FILES)
        _note(tmp_path, {name: (COMMIT, content) for name, content in FILES.items()})
        candidate = only(scan(tmp_path))
        assert (candidate.hub, candidate.repo, candidate.commit) == ("huggingface", None, COMMIT)
        assert all(found.claim.agree(digests_of(FILES[found.path])) for found in candidate.files)

    def test_a_file_that_is_not_as_noted_or_of_another_commit_is_refused(self, tmp_path: Path) -> None:
        files = {**FILES, "old.bin": b"old", "mine.txt": b"mine"}
        write_all(tmp_path, files)
        _note(tmp_path, {name: (COMMIT, FILES[name]) for name in FILES} | {"old.bin": (OTHER_COMMIT, b"old")})
        os.utime(tmp_path / "config.json", (4e9, 4e9))
        found = scan(tmp_path)
        assert contents(only(found)).keys() == {"model.safetensors", "sub/vocab.txt"}
        assert refused(found).keys() == {"config.json", "old.bin", "mine.txt"}

    def test_a_repository_of_an_older_client_is_known_by_its_notes(self, tmp_path: Path) -> None:
        older_modelscope_repository(tmp_path / "moved", FILES, model_id="own/name")
        candidate = only(scan(tmp_path / "moved"))
        assert (candidate.hub, candidate.repo) == ("modelscope", "own/name")
        older_modelscope_repository(tmp_path / "unknown", FILES)
        assert only(scan(tmp_path / "unknown")).repo is None


class TestPlaces:
    @pytest.mark.parametrize("below", ["", "models--own--name", f"models--own--name/snapshots/{COMMIT}"])
    def test_a_path_is_what_it_looks_like(self, tmp_path: Path, below: str) -> None:
        huggingface_cache(tmp_path / "hub", FILES)
        huggingface_cache(tmp_path / "hub", FILES, repo="own/other")
        place = place_at(tmp_path / "hub" / below)
        assert (place.tool, place.root) == (Tool.HUGGINGFACE, tmp_path / "hub")
        names = [candidate.repo for candidate in scan_place(place).candidates]
        assert names == (["own/name"] if below else ["own/name", "own/other"])

    def test_the_folder_above_a_cache_is_the_cache(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path / "hf/hub", FILES)
        ollama_model(tmp_path / ".ollama/models", b"GGUF")
        assert place_at(tmp_path / "hf") == Place(Tool.HUGGINGFACE, tmp_path / "hf/hub", "given")
        assert place_at(tmp_path / ".ollama") == Place(Tool.OLLAMA, tmp_path / ".ollama/models", "given")

    def test_one_model_of_modelscopes_cache_can_be_named(self, tmp_path: Path) -> None:
        for name in ("own--name", "own--other"):
            write_all(tmp_path / "models" / name / "snapshots/master", FILES)
        assert only(scan(tmp_path / "models/own--other")).repo == "own/other"

    def test_a_link_that_is_given_is_what_it_leads_to(self, tmp_path: Path) -> None:
        huggingface_cache(tmp_path / "big/hub", FILES)
        link(tmp_path / "mine", tmp_path / "big/hub/models--own--name")
        assert only(scan(tmp_path / "mine")).repo == "own/name"
        file = link(tmp_path / "model.gguf", write(tmp_path / "elsewhere/m.gguf", b"GGUF"))
        assert contents(only(scan(file))) == {"m.gguf": b"GGUF"}

    def test_a_path_that_is_not_there_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(NotFoundError, match="nothing at"):
            place_at(tmp_path / "nowhere")

    @pytest.mark.parametrize(
        ("variables", "expected"),
        [
            ({}, {"huggingface": "/home/u/.cache/huggingface/hub", "modelscope": "/home/u/.cache/modelscope"}),
            ({"HF_HOME": "/big/hf"}, {"huggingface": "/big/hf/hub"}),
            ({"HF_HUB_CACHE": "/big/hub"}, {"huggingface": "/big/hub"}),
            ({"MODELSCOPE_CACHE": "/big/ms"}, {"modelscope": "/big/ms"}),
            ({"OLLAMA_MODELS": "/big/ollama"}, {"ollama": "/big/ollama"}),
            ({}, {"ollama": "/home/u/.ollama/models"}),
        ],
    )
    def test_the_known_places_follow_the_variables(
        self, variables: Mapping[str, str], expected: dict[str, str]
    ) -> None:
        environment = {"HOME": "/home/u", **variables}
        places = {place.tool: place for place in known_places(load(environment), environment)}
        for tool, path in expected.items():
            place = places[Tool(tool)]
            assert str(place.root) == path
            assert (place.origin != "default") is bool(variables)


def _note(folder: Path, files: Mapping[str, tuple[str, bytes]]) -> None:
    """What Hugging Face's client notes beside the files that it downloaded into a folder."""
    for name, (commit, content) in files.items():
        etag = digests_of(content).git_sha1
        note = folder / ".cache/huggingface/download" / f"{name}.metadata"
        write(note, f"{commit}\n{etag}\n{(folder / name).stat().st_mtime + 0.1}\n".encode())
