"""Asks the sources of a file for the list of its pieces, once its bytes turned out to be wrong.

- Not before: a file that is right costs no request.
- All at once, each once, and no longer than PATIENCE_S for all together: who is silent, or goes on for ever, is as good
  as one who has no list.
- First for the head of the answer alone: a hub that knows nothing of lists would send the file.
- No redirect is followed: a list is at the file's own address, or nowhere.
- What comes is no longer than a list can be, and a list of this file, or it is dropped. Whether it is right is for the
  file's digest to say.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence

from modelfetch.hashing import Pieces
from modelfetch.http.firewall import headers_for
from modelfetch.http.network import Network
from modelfetch.http.session import Response, Session
from modelfetch.manifest import Entry
from modelfetch.piecelist import MEDIA_TYPE, address, from_bytes, is_of, most_bytes
from modelfetch.planning.retry import FaultError
from modelfetch.transfer.job import Source

# Far more than two answers of a few kilobytes take, and little beside what fetching half a file again takes.
PATIENCE_S = 5.0

_Answers = queue.SimpleQueue[tuple[int, Pieces | None]]


def ask_for_pieces(entry: Entry, sources: Sequence[Source], network: Network) -> list[Pieces]:
    """The lists that came, those of the first sources first; of several that are equal, one."""
    answers: _Answers = queue.SimpleQueue()
    until = time.monotonic() + PATIENCE_S
    sessions: list[Session] = []
    found: dict[int, Pieces | None] = {}
    for number, source in enumerate(sources):
        session = Session(network, stall_s=PATIENCE_S)
        try:
            # A daemon: who never answers must not keep the process from ending.
            threading.Thread(target=_ask, args=(number, entry, source, session, answers), daemon=True).start()
        except RuntimeError:
            break  # a limit on threads: a list is not worth one that a lane may need
        sessions.append(session)
    try:
        while len(found) < len(sessions):
            number, pieces = answers.get(timeout=max(0.0, until - time.monotonic()))
            found[number] = pieces
    except queue.Empty:
        for session in sessions:
            session.abort()
    return list(dict.fromkeys(pieces for number in sorted(found) if (pieces := found[number])))


def _ask(number: int, entry: Entry, source: Source, session: Session, answers: _Answers) -> None:
    pieces = None
    try:
        pieces = _list_at(source, entry, session)
    except FaultError:
        pass  # nobody depends on a list, and the lanes meet the same fault where it matters
    finally:
        answers.put((number, pieces))
        session.forget()


def _list_at(source: Source, entry: Entry, session: Session) -> Pieces | None:
    url = address(source.url)
    headers = headers_for(url, {}, source.credential)
    head = session.open(url, headers, method="HEAD")
    head.close()
    if not _is_list(head):
        return None
    response = session.open(url, headers)
    try:
        pieces = from_bytes(response.read(most_bytes(entry.size))) if _is_list(response) else None
    finally:
        response.close()
    return pieces if pieces and is_of(pieces, entry) else None


def _is_list(response: Response) -> bool:
    return response.status == 200 and response.headers.get("content-type") == MEDIA_TYPE
