"""`child FD`: load the model that the first line on stdin names, then reply to each request; reports go to FD.

- An error in a reply ends the reply and not the process; an error in loading ends both.
- The model's own code finds nothing to read: what the program asks goes through a descriptor that it is not told of.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO, TextIO

from modelfetch.chat.child.inbox import Inbox
from modelfetch.chat.protocol import Load, Raised, Report, Started, to_line
from modelfetch.model.child import memory
from modelfetch.model.placement import DoesNotFit, Placed, needed_bytes
from modelfetch.processes import die_with_parent


class Reporting:
    """Call it with a report; it remembers what an error needs to be explained."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel
        self.phase = "start"
        self.placed: Placed | None = None

    def __call__(self, report: Report) -> None:
        if isinstance(report, Started):
            self.phase = report.phase
        if isinstance(report, Placed):
            self.placed = report
        self._channel.write(to_line(report).decode("ascii"))
        self._channel.flush()


def main() -> None:
    """Serve one program until it goes away."""
    die_with_parent()
    inbox = Inbox(_taken_stdin())
    with os.fdopen(int(sys.argv[1]), "w", encoding="ascii") as channel:
        report = Reporting(channel)
        try:
            _serve(inbox, report)
        except BrokenPipeError:
            pass
        except Exception as error:
            report(_explained(error, inbox.load, report))
    os._exit(0)


def _taken_stdin() -> BinaryIO:
    """The requests, with an empty stdin left in their place."""
    requests = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return requests


def _serve(inbox: Inbox, report: Reporting) -> None:
    report(Started("import"))
    # Here and not above: an import that fails is an answer, too.
    from modelfetch.chat.child.replies import Replies
    from modelfetch.model.child import loading, machine

    load, exercise = inbox.load, inbox.load.exercise
    machine.prepare()
    *before, placed = machine.settle(load.wish, exercise)
    for outcome in (*before, placed):
        report(outcome)
    if not isinstance(placed, Placed):
        return
    report(Started("tokenizer"))
    tokenizer = loading.load_tokenizer(
        load.folder,
        exercise.gguf_file,
        remote_code=exercise.remote_code,
        trust_remote_code=load.trust_remote_code,
    )
    report(Started("load"))
    replies = Replies(loading.load_model(load.folder, exercise, placed), tokenizer, load.folder)
    inbox.open()
    report(replies.ready())
    for ask in inbox:
        try:
            replies.write(ask, inbox.is_stopped, report)
        except BrokenPipeError:
            raise
        except Exception as error:
            report(_explained(error, load, report))


def _explained(error: Exception, load: Load, report: Reporting) -> DoesNotFit | Raised:
    device, dtype = (report.placed.device, report.placed.dtype) if report.placed else ("cpu", "float32")
    shortage = memory.shortage(error, device, needed_bytes(load.exercise, dtype), report.phase)
    return shortage or Raised(report.phase, type(error).__name__, str(error)[:2000])


if __name__ == "__main__":
    main()
