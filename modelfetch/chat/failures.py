"""What broke while a model was loaded or was replying, as one plain sentence with what helps. Decides only."""

from __future__ import annotations

from modelfetch.chat.process import Ending
from modelfetch.chat.protocol import WRITING, Raised, TooLong
from modelfetch.errors import ConfigError, ModelfetchError, SmokeError, UsageError
from modelfetch.model.contents import BrokenFile, NotExercised
from modelfetch.model.isolation import last_words
from modelfetch.model.kind import Kind
from modelfetch.model.placement import DoesNotFit, NoDevice
from modelfetch.units import format_bytes

_SMALLER = "free memory, try --dtype bfloat16, or take a smaller or quantised model"
# A package that is not installed is a matter of this machine, anything else of what was asked for.
_PACKAGES = {"gguf", "quantisation-backend"}


def not_a_talker(name: str, kind: Kind) -> UsageError:
    return UsageError(
        f"`{name}` is no model that writes: it is of the kind {kind.value}", hint=f"modelfetch smoke {name}"
    )


def not_loadable(name: str, why: NotExercised) -> ModelfetchError:
    """What the files alone say against it."""
    kind = ConfigError if why.check in _PACKAGES else UsageError
    return kind(f"`{name}` cannot be loaded: {why.reason}", facts=why.evidence, hint=why.hint)


def broken(name: str, files: tuple[BrokenFile, ...]) -> SmokeError:
    first, *more = files
    facts = {"also": ", ".join(each.path for each in more)} if more else {}
    return SmokeError(f"`{first.path}` of `{name}`: {first.problem}", facts=facts, hint=f"modelfetch smoke {name}")


def reported(failure: Raised | DoesNotFit | NoDevice, name: str) -> SmokeError:
    """What the child said was wrong."""
    match failure:
        case NoDevice():
            return SmokeError(f"`{failure.device}` cannot be used: {failure.reason}", hint=failure.hint)
        case DoesNotFit() if failure.phase == WRITING:
            return SmokeError(
                f"memory ran out on `{failure.device}` while `{name}` was writing",
                facts={"free": format_bytes(failure.available_bytes)},
                hint="a shorter conversation takes less (/clear forgets it), and so does --dtype bfloat16",
            )
        case DoesNotFit():
            return SmokeError(
                f"not enough memory on `{failure.device}` for `{name}`",
                facts={
                    "needed": f"{format_bytes(failure.needed_bytes)} for the weights alone",
                    "free": format_bytes(failure.available_bytes),
                    "noticed": failure.phase,
                },
                hint=_SMALLER,
            )
    first = failure.message.strip().partition("\n")[0][:300]
    return SmokeError(
        f"`{name}` failed while {failure.phase}: {first or failure.error}",
        facts={"error": failure.error},
        hint=f"modelfetch smoke {name}",
    )


def ended(ending: Ending, name: str, phase: str) -> SmokeError:
    """The child is gone without having said why."""
    log = last_words(ending.log)
    hint = f"modelfetch smoke {name}"
    if ending.garbled:
        why = "wrote what is no reply, and was ended"
    elif ending.signal == "SIGKILL":
        kernel = "the kernel did, for want of memory" if ending.for_memory else "most often the kernel does, for memory"
        why, hint, log = f"was killed while {phase}: {kernel}", _SMALLER, ""
    elif ending.signal:
        why, hint = f"crashed with {ending.signal} while {phase}", "modelfetch doctor --deep"
    else:
        why = f"ended by itself with status {ending.exit_status} while {phase}"
    facts = {"last lines": log} if log else {}
    return SmokeError(f"the process that held `{name}` {why}", facts=facts, hint=hint)


def ended_by_the_user(name: str) -> SmokeError:
    return SmokeError(f"the reply was ended together with the process that held `{name}`")


def too_long(report: TooLong) -> UsageError:
    return UsageError(
        f"the message is too long: it has {report.prompt_tokens:,} tokens, and the model can read "
        f"{report.context_tokens:,} with its reply",
        hint="say it in fewer words",
    )
