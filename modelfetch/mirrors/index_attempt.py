"""Tries one package index with two requests: what it lists of one package, and the beginning of a file of that.

- A small file comes whole and is held to the digest that the index lists; of a large one a few megabytes come.
- That it does not have the package is no problem: an index of one's own need not have everything.
- What it lists tells how far a mirror is behind: the newest version, or for conda the day of its list.
"""

from __future__ import annotations

import hashlib
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from modelfetch.config import Index
from modelfetch.http import Network, Response
from modelfetch.http.firewall import redirect_target
from modelfetch.mirrors.index_page import Wheel, newest_wheel
from modelfetch.mirrors.trial import IndexTrial
from modelfetch.mirrors.trying import Attempt
from modelfetch.planning.retry import Fault, FaultError, Kind

# A wheel of this size comes whole; of PyTorch's, which have a hundred times that, so much is enough.
SAMPLE_BYTES = 4 << 20
# PyTorch's page of links for one build has 2 MB.
_LONGEST_PAGE = 16 << 20
# Released every other week, and half a megabyte: it shows how old a mirror is and costs nobody much.
_PACKAGE = "huggingface-hub"
# What is asked for below each kind of index, and which package its page is about.
_PAGES = {"pypi": (f"/{_PACKAGE}/", _PACKAGE), "torch": ("/cpu/torch/", "torch"), "torch-links": ("/cpu/", "torch")}
# A channel of conda's has no page of one package, but one list of all, which is made anew every few minutes.
_CONDA_LIST = "/conda-forge/noarch/repodata.json.zst"
_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
_SIZE = re.compile(r"bytes 0-[0-9]+/([0-9]{1,15})")


class IndexAttempt(Attempt[IndexTrial]):
    """Tries a package index."""

    def __init__(self, index: Index, network: Network, limit_s: float) -> None:
        super().__init__(IndexTrial(index), network, limit_s)

    def _run(self) -> None:
        began = time.monotonic()
        if self.trial.index.kind == "conda":
            self._fetch(self.trial.index.url + _CONDA_LIST, None, began)
            return
        path, package = _PAGES[self.trial.index.kind]
        response = self._ask(self.trial.index.url + path, {"Accept": _ACCEPT})
        try:
            if response.status == 404:
                self._learn(latency_s=time.monotonic() - began, note=f"it does not have {package}")
                return
            _expect(response, {200})
            content = response.read(_LONGEST_PAGE)
        finally:
            response.close()
        wheel = newest_wheel(content, response.headers.get("content-type", ""), package)
        if wheel is None:
            raise FaultError(Fault(Kind.PORTAL, f"it lists no file of {package}"))
        self._learn(latency_s=time.monotonic() - began, newest=f"{package} {wheel.version}", age=wheel.age)
        self._fetch(redirect_target(response.url, wheel.url), wheel, time.monotonic())

    def _fetch(self, url: str, wheel: Wheel | None, began: float) -> None:
        response = self._ask(url, {"Range": f"bytes=0-{SAMPLE_BYTES - 1}"})
        try:
            _expect(response, {200, 206})
            if self.trial.latency_s is None:
                self._learn(latency_s=time.monotonic() - began)
            if wheel is None:
                self._note_day(response)
            size = _whole_size(response)
            self._learn(served_by=urlsplit(response.url).hostname)
            content = self._measure(response, SAMPLE_BYTES)
        finally:
            response.close()
        if wheel is not None and wheel.sha256 is not None and size == len(content):
            right = hashlib.sha256(content).hexdigest() == wheel.sha256
            self._learn(digest_right=right)
            if not right:
                raise FaultError(Fault(Kind.DIGEST, wheel.url.rpartition("/")[2]))

    def _note_day(self, response: Response) -> None:
        try:
            changed = parsedate_to_datetime(response.headers["last-modified"]).astimezone(UTC).date()
        except (KeyError, ValueError):
            return
        self._learn(newest=f"list of {changed}", age=(changed.toordinal(),))


def _expect(response: Response, statuses: set[int]) -> None:
    if response.status not in statuses:
        raise FaultError(Fault(Kind.STATUS, f"from {urlsplit(response.url).hostname}", response.status))
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FaultError(Fault(Kind.ENCODED))


def _whole_size(response: Response) -> int | None:
    """The size of the whole file, where it is told."""
    if response.status == 200:
        return response.length
    match = _SIZE.fullmatch(response.headers.get("content-range", "").strip())
    return int(match[1]) if match else None
