"""What was said so far, and what of it the model is told. Decides only.

- Thoughts are kept for the user and never put back into what the model is told, as the templates of such models want.
- A question without an answer leaves nothing behind: templates want the two to take turns.
- The oldest exchanges are left out when the model cannot read it all; they stay in what is saved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Message:
    """One entry of what a chat template is given."""

    role: str
    content: str


@dataclass(frozen=True)
class Exchange:
    """A question and its answer. `cut` is true where the user stopped the reply."""

    question: str
    answer: str
    thinking: str | None = None
    cut: bool = False


@dataclass(frozen=True)
class Conversation:
    """The exchanges so far, oldest first. The first `left_out` of them the model is no longer told."""

    system: str | None = None
    exchanges: tuple[Exchange, ...] = ()
    left_out: int = 0

    def messages(self, question: str) -> tuple[Message, ...]:
        """What the model is told when it is asked `question`."""
        told = [Message("system", self.system)] if self.system else []
        for exchange in self.exchanges[self.left_out :]:
            told += [Message("user", exchange.question), Message("assistant", exchange.answer)]
        return (*told, Message("user", question))

    def after(self, exchange: Exchange) -> Conversation:
        """With one more exchange, if there was an answer."""
        return replace(self, exchanges=(*self.exchanges, exchange)) if exchange.answer else self

    def with_system(self, text: str) -> Conversation:
        """With another system prompt; none where `text` is empty. What was said stays."""
        return replace(self, system=text or None)

    def cleared(self) -> Conversation:
        """Without anything that was said. The system prompt stays."""
        return Conversation(self.system)

    def shortened(self) -> Conversation | None:
        """With the oldest exchange that is still told left out; None where there is none."""
        return replace(self, left_out=self.left_out + 1) if self.left_out < len(self.exchanges) else None
