"""What the exceptions of a hub's own client mean."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from modelfetch.config import Endpoint
from modelfetch.errors import (
    AccessError,
    DigestMismatchError,
    DiskFullError,
    GatedError,
    HostileHubError,
    ModelfetchError,
    NoSourceError,
    NotFoundError,
)
from modelfetch.sdk import Order
from modelfetch.sdk.failures import Cause, failed, read_causes, stalled
from modelfetch.sdk.scratch import Scratch
from tests.stored import manifest_of

SCRATCH = Scratch(Path("/store/partial-v1/sdk-0"))
HTTP_ERROR = ("HfHubHTTPError", "HTTPError", "OSError", "Exception")
API_ERROR = ("APIError", "HubError", "Exception")


def order(hub: str = "huggingface") -> Order:
    return Order(manifest_of({}, hub=hub), Endpoint("there", hub, "https://hub.example"))


def answer(**changes: Any) -> bytes:
    cause = {"kinds": ["OSError"], "message": "", "status": None, "errno": None, "elsewhere": False}
    return json.dumps({"causes": [{**cause, **changes}]}).encode()


@pytest.mark.parametrize(
    ("kinds", "status", "meaning"),
    [
        (("GatedRepoError", "RepositoryNotFoundError", *HTTP_ERROR), 403, GatedError),
        (("RepositoryNotFoundError", *HTTP_ERROR), 404, NotFoundError),
        (("RevisionNotFoundError", *HTTP_ERROR), 404, NotFoundError),
        (("RemoteEntryNotFoundError", *HTTP_ERROR, "EntryNotFoundError"), 404, NotFoundError),
        # The file is not in a cache; that says nothing of the hub.
        (("LocalEntryNotFoundError", "FileNotFoundError", "OSError", "EntryNotFoundError"), None, NoSourceError),
        (("DisabledRepoError", *HTTP_ERROR), 403, AccessError),
        (HTTP_ERROR, 401, AccessError),
        (HTTP_ERROR, 403, AccessError),
        (HTTP_ERROR, 503, NoSourceError),
        (("AuthenticationError", *API_ERROR), 401, AccessError),
        (("PermissionDeniedError", *API_ERROR), 403, AccessError),
        (("NotExistError", *API_ERROR), 404, NotFoundError),
        (("ServerError", *API_ERROR), 500, NoSourceError),
        (("FileIntegrityError", "HubError", "Exception"), None, DigestMismatchError),
        (("FileSizeMismatchError", "FileIntegrityError", "HubError", "Exception"), None, NoSourceError),
        (("TokenRefusedError", "Exception"), None, HostileHubError),
        (("RuntimeError", "Exception"), None, NoSourceError),
    ],
)
def test_a_class_or_a_status_has_one_meaning(
    kinds: tuple[str, ...], status: int | None, meaning: type[ModelfetchError]
) -> None:
    error = failed([Cause(kinds, "what it says", status)], order(), SCRATCH)
    assert type(error) is meaning
    assert f"{kinds[0]}: what it says" in error.render()


def test_the_first_cause_whose_meaning_is_clear_decides() -> None:
    outer = Cause(("FileDownloadError", "StorageError", "HubError"), "1 of 2 files failed")
    error = failed([outer, Cause(("NotExistError", *API_ERROR), "no such file", 404)], order("modelscope"), SCRATCH)
    assert type(error) is NotFoundError
    assert "no such file" in error.render()


def test_where_nothing_is_clear_the_first_cause_and_the_last_are_told() -> None:
    outer = Cause(("LocalEntryNotFoundError", "OSError"), "cannot find the files")
    inner = Cause(("ConnectionRefusedError", "OSError"), "[Errno 111] Connection refused", errno=errno.ECONNREFUSED)
    error = failed([outer, inner], order(), SCRATCH)
    assert type(error) is NoSourceError
    assert (error.facts["said"], error.facts["because"]) == (outer, inner)


def test_the_same_words_are_not_told_twice() -> None:
    causes = [Cause(HTTP_ERROR, "500 for that", 500), Cause(("HTTPStatusError", "HTTPError"), "500 for that", 500)]
    assert "because" not in failed(causes, order(), SCRATCH).facts


@pytest.mark.parametrize("kinds", [HTTP_ERROR, ("PermissionDeniedError", *API_ERROR)])
def test_a_refusal_from_where_the_hub_redirected_to_is_no_answer_about_access(kinds: tuple[str, ...]) -> None:
    assert type(failed([Cause(kinds, "expired", 403, elsewhere=True)], order(), SCRATCH)) is NoSourceError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_room_is_told_as_such_however_deep_it_is(number: int) -> None:
    causes = [Cause(("RuntimeError",), "failed"), Cause(("OSError",), "", errno=number)]
    assert type(failed(causes, order(), SCRATCH)) is DiskFullError


def test_what_is_kept_and_the_log_are_named() -> None:
    for error in (failed([Cause(("OSError",), "")], order(), SCRATCH), stalled(9.0, order(), SCRATCH)):
        assert error.facts["kept"] == SCRATCH.folder
        assert error.facts["log"] == SCRATCH.log


def test_whoever_is_refused_learns_which_variable_holds_the_token() -> None:
    error = failed([Cause(HTTP_ERROR, "", 401)], order("modelscope"), SCRATCH)
    assert "MODELSCOPE_API_TOKEN" in str(error.hint)


def test_a_client_of_hugging_face_that_stands_still_may_be_tried_without_xet() -> None:
    assert "HF_HUB_DISABLE_XET=1" in str(stalled(9.0, order(), SCRATCH).hint)
    assert "XET" not in str(stalled(9.0, order("modelscope"), SCRATCH).hint)


def test_neither_the_token_nor_a_signature_is_shown() -> None:
    message = "401 for https://cdn.example/x?X-Amz-Signature=abc with 11111111-2222 and Bearer hf_abcdefghijkl"
    causes = read_causes(answer(message=message), token="11111111-2222")
    assert causes is not None
    shown = str(causes[0])
    assert "11111111-2222" not in shown
    assert "Signature=abc" not in shown
    assert "hf_abcdefghijkl" not in shown


@pytest.mark.parametrize("said", [b"", b"{", b"[]", b"{}", b'{"causes": 1}', b'{"causes": [{}]}', b'{"causes": [1]}'])
def test_a_child_that_was_cut_off_has_not_told_how_it_went(said: bytes) -> None:
    assert read_causes(said, token=None) is None


def test_a_child_that_did_not_fail_has_no_causes() -> None:
    assert read_causes(b'{"causes": []}', token=None) == ()
