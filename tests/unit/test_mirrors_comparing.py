"""Who sends other bytes than the others: the rules at the head of `mirrors.comparing`."""

from __future__ import annotations

import pytest

from modelfetch.mirrors.comparing import Beginning, Verdict, compare

WRONG, UNDECIDED = True, False


def said(content: bytes, *, digest: str = "d", trusted: bool = False) -> Beginning:
    return Beginning("model.bin", digest, content, trusted)


@pytest.mark.parametrize(
    ("beginnings", "verdicts"),
    [
        ({"a": said(b"1234"), "b": said(b"1234")}, {}),
        ({"a": said(b"12"), "b": said(b"1234"), "c": said(b"")}, {}),
        ({"a": said(b"1234"), "b": said(b"9234", digest="another")}, {}),
        ({"a": said(b"1234", trusted=True), "b": said(b"9234")}, {"b": WRONG}),
        ({"a": said(b"1234", trusted=True), "b": said(b"9234"), "c": said(b"92")}, {"b": WRONG, "c": WRONG}),
        ({"a": said(b"1234"), "b": said(b"9234"), "c": said(b"12")}, {"b": WRONG}),
        ({"a": said(b"1234"), "b": said(b"9234")}, {"a": UNDECIDED, "b": UNDECIDED}),
        ({"a": said(b"1234", trusted=True), "b": said(b"9", trusted=True)}, {"a": UNDECIDED, "b": UNDECIDED}),
    ],
)
def test_whoever_differs_from_the_trusted_or_from_more_than_agree_is_wrong(
    beginnings: dict[str, Beginning], verdicts: dict[str, bool]
) -> None:
    assert {name: verdict.is_wrong for name, verdict in compare(beginnings).items()} == verdicts


def test_the_other_one_is_named() -> None:
    one, other = said(b"1234", trusted=True), said(b"9234")
    assert compare({"one": one, "other": other}) == {"other": Verdict(True, "other bytes of model.bin than one sends")}
    assert compare({"one": said(b"1"), "other": said(b"2")})["one"].text == (
        "sends other bytes of model.bin than other: one of them is wrong"
    )
