"""What the page of a package index lists, as values. Asks nobody, runs nothing.

- Read are the page that pip reads (PEP 503, and a page of links) and its JSON (PEP 691).
- Of the files only wheels of the wanted package count, by the name that pip gives it; test versions do not.
- What cannot be understood lists nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

from modelfetch.manifest import check_digest

_RELEASE = re.compile(r"(?P<release>[0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(?:\.post[0-9]+)?(?:\+[a-z0-9.]+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Wheel:
    """One file of a package. `age` orders versions, the newer the greater; `sha256` is None where none is told."""

    url: str
    version: str
    age: tuple[int, ...]
    sha256: str | None


def newest_wheel(content: bytes, content_type: str, package: str) -> Wheel | None:
    """The first wheel of the newest version of `package` that the page lists; None where it lists none."""
    wheels = (wheel for link in _links(content, content_type) if (wheel := _wheel(link, package)))
    return max(wheels, key=lambda wheel: wheel.age, default=None)


def _links(content: bytes, content_type: str) -> Iterator[tuple[str, str | None]]:
    """Each file's address, and its sha256 where it is told."""
    text = content.decode("utf-8", errors="replace")
    if "json" in content_type.lower():
        yield from _json_links(text)
        return
    page = _Anchors()
    page.feed(text)
    for address in page.addresses:
        url, fragment = urldefrag(address)
        yield url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None


def _json_links(text: str) -> Iterator[tuple[str, str | None]]:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        return
    files = document.get("files") if isinstance(document, dict) else None
    for file in files if isinstance(files, list) else ():
        if isinstance(file, dict) and isinstance(url := file.get("url"), str):
            hashes = file.get("hashes")
            sha256 = hashes.get("sha256") if isinstance(hashes, dict) else None
            yield url, sha256 if isinstance(sha256, str) else None


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.addresses += [value for name, value in attrs if name == "href" and value]


def _wheel(link: tuple[str, str | None], package: str) -> Wheel | None:
    url, sha256 = link
    try:
        file = unquote(urlsplit(url).path).rpartition("/")[2]
    except ValueError:
        return None
    name, _, rest = file.partition("-")
    version = rest.partition("-")[0]
    release = _RELEASE.fullmatch(version)
    if not file.endswith(".whl") or re.sub(r"[-_.]+", "-", name).lower() != package or release is None:
        return None
    age = tuple(int(number) for number in release["release"].split("."))
    return Wheel(url, version, age, sha256 if sha256 and check_digest(sha256, kind="sha256") else None)
