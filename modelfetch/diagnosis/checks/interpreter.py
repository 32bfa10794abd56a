"""The Python that is looked at: whether it starts, whether it is the one that is meant, what stands before it.

- An environment whose Python does not start is an error; its packages are told by their files.
- A Python that is too old for doctor's own advice is said to be so; doctor itself runs in another.
- Where packages come from unexpectedly (PYTHONPATH, the user's folder, another `pip`) is a warning.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.probes.interpreter import InterpreterFacts
from modelfetch.diagnosis.tables import Version, version, written

_MADE_ANEW = (
    "The Python that the environment was made with is gone, was replaced, or is another user's. This gives it one of"
    " the same version and leaves its packages."
)
NO_MODELS = "models cannot be run"
_PROVE = "modelfetch doctor interpreter"

# transformers 5 and every modelfetch want this; transformers 4 of 2025 wants 3.9.
_OLDEST_PYTHON: Version = (3, 11)


def check_interpreter(facts: Facts) -> list[Finding]:
    interpreter = facts[InterpreterFacts]
    if interpreter.problem is not None:
        return [_broken(interpreter)]
    findings = [*_other_than_meant(interpreter), *_too_old(interpreter), *_unexpected(interpreter)]
    if not interpreter.is_doctors_own:
        title = f"the packages are those of `{interpreter.executable}`, python {interpreter.release}"
        return [
            note("interpreter", title, advice="Doctor itself runs in another.", **_evidence(interpreter)),
            *findings,
        ]
    return findings or [well("interpreter", f"python {interpreter.release}", **_evidence(interpreter))]


def _evidence(interpreter: InterpreterFacts) -> dict[str, object]:
    return {"executable": interpreter.executable, "release": interpreter.release}


def _broken(interpreter: InterpreterFacts) -> Finding:
    prefix = Path(interpreter.prefix)
    is_environment = (prefix / "pyvenv.cfg").is_file()
    return Finding(
        "py.broken",
        Severity.ERROR,
        f"`{interpreter.executable}` cannot be used: {interpreter.problem}",
        _evidence(interpreter),
        effect=NO_MODELS,
        rank=Rank.SETTINGS,
        advice=_MADE_ANEW if is_environment else "",
        fix=_made_anew(prefix, interpreter.release) if is_environment else (),
        verify=f'modelfetch doctor interpreter --python "{interpreter.executable}"',
    )


def _made_anew(prefix: Path, release: str) -> tuple[str, ...]:
    """What gives an environment a Python and leaves its packages; `venv --upgrade` goes by the one that is gone."""
    minor = written(version(release)[:2])
    option = f" --python {minor}" if minor else ""
    return (
        f'rm -f "{prefix}"/bin/python* && python{minor or "3"} -m venv "{prefix}"',
        f'uv venv --allow-existing{option} "{prefix}"',
    )


def _other_than_meant(interpreter: InterpreterFacts) -> Iterator[Finding]:
    if interpreter.is_active or not interpreter.is_doctors_own:
        return
    yield Finding(
        "py.which",
        Severity.WARNING,
        f"doctor looks at `{interpreter.prefix}`, and the active environment is `{interpreter.active}`",
        _evidence(interpreter),
        rank=Rank.PACKAGES,
        advice="What is said here about packages is about the first one.",
        fix=(f'modelfetch doctor --python "{interpreter.active}"',),
        verify=f'modelfetch doctor interpreter --python "{interpreter.active}"',
    )


def _too_old(interpreter: InterpreterFacts) -> Iterator[Finding]:
    if version(interpreter.release) < _OLDEST_PYTHON:
        newer = ".".join(map(str, _OLDEST_PYTHON))
        yield Finding(
            "py.version",
            Severity.WARNING,
            f"python {interpreter.release} is older than {newer}, which today's transformers needs",
            _evidence(interpreter),
            rank=Rank.PACKAGES,
            advice="Models that need a newer transformers cannot be run in it.",
            fix=(f"uv venv --python {newer} .venv", f"python{newer} -m venv .venv"),
            verify="modelfetch doctor interpreter --python .venv",
        )


def _unexpected(interpreter: InterpreterFacts) -> Iterator[Finding]:
    if interpreter.shadowed:
        names = " and ".join(dict.fromkeys(name for name, _ in interpreter.shadowed))
        yield Finding(
            "py.pythonpath",
            Severity.WARNING,
            f"PYTHONPATH puts the {names} in `{interpreter.shadowed[0][1]}` before the one that is meant",
            {"packages": [list(pair) for pair in interpreter.shadowed]},
            rank=Rank.PACKAGES,
            fix=("unset PYTHONPATH",),
            verify=_PROVE,
        )
    if interpreter.from_user_site:
        yield Finding(
            "py.usersite",
            Severity.WARNING,
            f"{' and '.join(interpreter.from_user_site)} in the user's own folder stand beside the environment's",
            {"packages": list(interpreter.from_user_site)},
            rank=Rank.PACKAGES,
            advice="`pip install --user` put them there; every Python of this version sees them.",
            fix=("export PYTHONNOUSERSITE=1",),
            verify=_PROVE,
        )
    if interpreter.active and interpreter.is_active and _is_anothers(interpreter.pip_prefix, interpreter.prefix):
        by = "python -m pip" if interpreter.has_pip else "uv pip"
        yield Finding(
            "py.pip",
            Severity.WARNING,
            f"`pip` on PATH installs into `{interpreter.pip_prefix}`, not into the active environment",
            {"pip_prefix": interpreter.pip_prefix, "prefix": interpreter.prefix},
            rank=Rank.PACKAGES,
            advice=f"`{by} install` installs into the active one.",
            fix=(f"alias pip='{by}'",),
            verify=_PROVE,
        )


def _is_anothers(pip_prefix: str | None, prefix: str) -> bool:
    return pip_prefix is not None and Path(pip_prefix).resolve() != Path(prefix).resolve()


CHECKS = (
    Check(
        "interpreter",
        "python",
        "which Python this is, and what stands before its packages",
        (InterpreterFacts,),
        ("py.which", "py.broken", "py.version", "py.pythonpath", "py.usersite", "py.pip"),
        check_interpreter,
    ),
)
