"""One smoke test as commands run it: what is known of the bytes first, a line of progress, and the result kept."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from modelfetch.cli._cells import shown, width
from modelfetch.cli._output import say
from modelfetch.cli._waiting import WaitingLine, line_columns
from modelfetch.errors import StoreError

if TYPE_CHECKING:
    from modelfetch.smoketest import BytesKnown, SmokeOptions, SmokeResult
    from modelfetch.smoketest.observations import Observation
    from modelfetch.store import Snapshot, Store

_PHASES = {
    "bytes": "asking what is known of its bytes",
    "import": "importing torch and transformers",
    "structure": "holding the class against the headers",
    "tokenizer": "loading the tokenizer",
    "load": "loading the weights",
    "weights": "looking at every weight",
    "loss": "reading plain text",
    "generate": "writing",
}


def test_model(store: Store, model: Snapshot | Path, options: SmokeOptions) -> SmokeResult:
    """Test one model, and keep what a whole test of a snapshot said. Prints no result."""
    from modelfetch.smoketest import Level, smoke

    name = str(model) if isinstance(model, Path) else model.model
    with _Progress(name, trusts_code=options.trust_remote_code) as progress:
        if isinstance(model, Path):
            return smoke(model, options, listener=progress)
        progress.show_phase("bytes")
        result = smoke(model, options, known=known_bytes(store, model), listener=progress)
    if options.level is Level.EXERCISE:
        _keep(store, model, options, result)
    return result


def known_bytes(store: Store, snapshot: Snapshot) -> BytesKnown:
    """What verification knows of the bytes; what is not as it was when it was last read is read now."""
    from modelfetch.smoketest import BytesKnown
    from modelfetch.smoketest.observations import MAX_EXAMPLES, Names
    from modelfetch.verification import verify

    report = verify(store, [snapshot], deep=False)
    damaged = [f"{each.path}: {each.problem.value}" for each in report.findings if each.can_be_repaired]
    names = Names(len(damaged), tuple(damaged[:MAX_EXAMPLES]))
    return BytesKnown(report.known_bytes, report.checked_bytes, names)


def holds_still(store: Store, snapshot: Snapshot, options: SmokeOptions) -> bool:
    """Whether a test now could only say again what the last one said: it passed, and nothing is other than it was."""
    from modelfetch.smoketest.circumstances import circumstances_of
    from modelfetch.smoketest.kept import changes

    if changes(snapshot.smoke, circumstances_of(snapshot, options)):
        return False
    return not known_bytes(store, snapshot).damaged.total


def _keep(store: Store, snapshot: Snapshot, options: SmokeOptions, result: SmokeResult) -> None:
    """`ls` shows what the last test said. That it cannot be kept is no failure of the model."""
    from modelfetch.smoketest.circumstances import circumstances_of
    from modelfetch.smoketest.kept import to_keep

    tested_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    document = to_keep(result, tested_at, circumstances_of(snapshot, options), snapshot.smoke)
    try:
        store.note_smoke(snapshot, document)
    except StoreError as error:
        say(f"warning: the result was not kept: {error.message}")


class _Progress(WaitingLine):
    """What of a test is being waited for, and the end of what the model writes as it writes it."""

    def __init__(self, name: str, *, trusts_code: bool) -> None:
        super().__init__()
        self._name = name
        self._trusts_code = trusts_code

    def __call__(self, observation: Observation) -> None:
        from modelfetch.smoketest.observations import Planned, Wrote

        if isinstance(observation, Planned) and self._trusts_code:
            # Before the child starts: Ctrl-C is still in time.
            self.show("")
            for path, what in observation.code.items():
                say(f"may run with your rights: {path}, {what}")
        if isinstance(observation, Wrote):
            head = f"{self._name}: {_PHASES['generate']}: "
            self.show(head + end_of(observation.text.rstrip("\ufffd"), line_columns() - width(head)))
        self.show_phase(getattr(observation, "phase", None))

    def show_phase(self, phase: str | None) -> None:
        """Say what is being done; a phase that is over at once is not named."""
        if phase in _PHASES:
            self.show(f"{self._name}: {_PHASES[phase]}")


def end_of(text: str, columns: int) -> str:
    """The end of `text` that fits into so many columns, in one line."""
    signs = list(shown(" ".join(text.split())))
    while width("".join(signs)) > max(0, columns):
        del signs[0]
    return "".join(signs)
