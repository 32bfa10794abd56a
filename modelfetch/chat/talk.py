"""A conversation in progress: the model is loaded when it is needed, asked, and loaded again after it has died.

- What was said is a value of the caller's; when the child dies, nothing of it is lost.
- What the model cannot read is left out from its beginning, and told with the numbers.
- A model without a chat template goes on from the text alone: it is told nothing of what was said before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from modelfetch.chat import failures
from modelfetch.chat.conversation import Conversation, Exchange
from modelfetch.chat.fragments import Fragment
from modelfetch.chat.process import ModelProcess
from modelfetch.chat.protocol import Ask, Began, Ended, Load, Raised, Ready, Report, Started, TooLong, Wrote
from modelfetch.chat.state import State
from modelfetch.chat.unfolding import Part, Parted, Plain, Unfolding
from modelfetch.errors import SmokeError
from modelfetch.model.placement import DoesNotFit, NoDevice, Placed, next_wish
from modelfetch.model.thinking import Reply


@dataclass(frozen=True)
class LeftOut:
    """So many of the oldest exchanges are no longer told to the model, because the whole was so long."""

    exchanges: int
    prompt_tokens: int
    context_tokens: int


@dataclass(frozen=True)
class Replied:
    """The reply is over. `conversation` has it; it is as before where the reply was empty."""

    conversation: Conversation
    reply: Reply
    ended: Ended


Told = Part | LeftOut | Replied
Listener = Callable[[Report], None]


class Talk:
    """Ask it one thing after another, and close it. `listener` is given what is reported while the model loads."""

    def __init__(self, load: Load, name: str, listener: Listener) -> None:
        self.name = name
        self._load = load
        self._listener = listener
        self._process: ModelProcess | None = None
        self._ready: Ready | None = None
        self._phase = "starting"
        self._number = 0
        self._presses = 0

    @property
    def is_loaded(self) -> bool:
        """Whether there is a process that holds the model."""
        return self._process is not None

    def load(self) -> Ready:
        """Load the model, unless it is there; on the CPU where the GPU's memory runs out and was not asked for by name.

        Raises:
            SmokeError: it cannot be loaded, with why.
        """
        if self._ready is not None and self._process is not None and not self._process.has_ended():
            return self._ready
        heard: list[Report] = []
        try:
            self._ready = self._start(self._load, heard)
        except SmokeError:
            wish = next_wish(self._load.wish, heard)
            if wish is None:
                raise
            self._load = replace(self._load, wish=wish)
            self._ready = self._start(self._load, heard)
        return self._ready

    def ask(self, state: State, question: str) -> Iterator[Told]:
        """Ask `question` after what was said, and give the reply as it is written; the last is `Replied`.

        Raises:
            SmokeError: the model or its process broke. The next question loads it again where that is needed.
            UsageError: the question alone is longer than the model can read.
        """
        self._number += 1
        self._presses = 0
        self.load()
        begun = self._begin(state, question)
        left_out = begun.conversation.left_out - state.conversation.left_out
        if begun.too_long is not None:
            yield LeftOut(left_out, begun.too_long.prompt_tokens, begun.too_long.context_tokens)
        unfolding = _unfolding(state, begun.began)
        while True:
            match self._heard():
                case Wrote(_, text, special, thinking):
                    yield from unfolding.put(Fragment(text, special, thinking))
                case Ended() as ended:
                    break
        yield from unfolding.finish()
        reply = unfolding.reply()
        exchange = Exchange(question, reply.answer, reply.thinking, cut=ended.why == "stop")
        yield Replied(begun.conversation.after(exchange), reply, ended)

    def interrupt(self) -> None:
        """Stop the reply that is being written; the second time, end the child that does not stop. For a signal."""
        self._presses += 1
        if self._process is None:
            return
        if self._presses == 1:
            self._process.stop(self._number)
        else:
            self._process.kill()

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            process, self._process = self._process, None
            process.close()

    def _start(self, load: Load, heard: list[Report]) -> Ready:
        self.close()
        self._process = ModelProcess(load)
        failure: Raised | DoesNotFit | NoDevice | None = None
        while (report := self._process.next_report()) is not None:
            heard.append(report)
            self._listener(report)
            match report:
                case Ready():
                    return report
                case Started(phase):
                    self._phase = phase
                case Placed():
                    # What did not fit before had another place.
                    failure = None
                case Raised() | DoesNotFit() | NoDevice():
                    failure = report
        died = self._died()
        raise failures.reported(failure, self.name) if failure else died

    def _begin(self, state: State, question: str) -> _Begun:
        """Ask, with fewer of the oldest exchanges until the model can read it all."""
        assert self._process is not None
        conversation, too_long = state.conversation, None
        while True:
            told = conversation.messages(question) if state.model.template else Conversation().messages(question)
            sampling = state.settings.sampling(state.model.defaults)
            self._process.tell(Ask(self._number, told, sampling, state.thinking))
            report = self._heard()
            while not isinstance(report, Began | TooLong):
                report = self._heard()
            if isinstance(report, Began):
                return _Begun(conversation, report, too_long)
            too_long = too_long or report
            shorter = conversation.shortened() if state.model.template else None
            if shorter is None:
                raise failures.too_long(report)
            conversation = shorter

    def _heard(self) -> Report:
        """What the child says of a reply; its failures are raised."""
        assert self._process is not None
        report = self._process.next_report()
        match report:
            case None:
                raise self._died()
            case Raised() | DoesNotFit() | NoDevice():
                raise failures.reported(report, self.name)
            case Started(phase):
                self._phase = phase
        return report

    def _died(self) -> SmokeError:
        assert self._process is not None
        process, self._process = self._process, None
        ending = process.close()
        if self._presses > 1:
            return failures.ended_by_the_user(self.name)
        return failures.ended(ending, self.name, self._phase)


@dataclass(frozen=True)
class _Begun:
    """A reply that begins, after `conversation`, which was cut down where `too_long` is set: the first that was not."""

    conversation: Conversation
    began: Began
    too_long: TooLong | None


def _unfolding(state: State, began: Began) -> Unfolding | Parted | Plain:
    if not state.model.template:
        return Plain()
    return Parted() if began.parted else Unfolding(began.prompt_end)
