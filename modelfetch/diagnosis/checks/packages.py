"""The packages that run models: which versions, whether they go together, and whether they start fast.

- What goes together is what the packages' own metadata says, not a table of ours.
- Packages that only some models or some tools need are warnings; torch's and transformers' own needs are errors.
- Missing byte code is a warning only where it stays missing: every process compiles nine hundred modules then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from modelfetch.config.values import Settings
from modelfetch.diagnosis.checks.check import Check, note, well
from modelfetch.diagnosis.checks.interpreter import NO_MODELS
from modelfetch.diagnosis.facts import Facts
from modelfetch.diagnosis.finding import Finding, Rank, Severity
from modelfetch.diagnosis.machine import Machine
from modelfetch.diagnosis.probes.packages import SHOWN, PackageFacts
from modelfetch.diagnosis.tables import version

# What a smoke test imports. What another package wants and lacks breaks that package only.
_NEEDED_TO_RUN = {"torch", "torchvision", "transformers", "accelerate", "safetensors", "tokenizers", "huggingface-hub"}

_PROXIES = ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
# What the hubs' own clients ask through, and the package without which it speaks no SOCKS.
_SOCKS = {"httpx": "socksio", "httpx2": "socksio", "requests": "pysocks"}

_ABSENT = "it is not installed"

_NAMES = {"torch": "torch.nvidia-libs", "torchvision": "torch.vision-mismatch", "torchaudio": "torch.vision-mismatch"}


# Its metadata does not say so.
_TORCH_WITH_NUMPY_2 = (2, 3)

# torch 2.14 goes with torchvision 0.29 and torchaudio 2.14.
_MINORS_AHEAD = {"torchvision": 15, "torchaudio": 0}


def check_packages(facts: Facts) -> list[Finding]:
    packages = facts[PackageFacts]
    shown = {name: packages.versions[name] for name in SHOWN if name in packages.versions}
    listed = ", ".join(f"{name} {release}" for name, release in shown.items())
    return [
        well("packages", listed or "none of the packages that run models is installed", versions=shown),
        *_twice(packages),
        *_replaced(packages),
        *_absent(packages),
        *_binary_break(packages),
        *_in_the_way(packages, facts[Machine].environment, facts[Settings]),
        *_without_socks(packages, facts[Machine].environment),
    ]


def _twice(packages: PackageFacts) -> Iterator[Finding]:
    for name, versions in sorted(packages.duplicates.items()):
        yield Finding(
            "py.dup",
            Severity.ERROR,
            f"{name} is installed twice in one folder ({' and '.join(versions)})",
            {"versions": list(versions)},
            effect=NO_MODELS if name in _NEEDED_TO_RUN else "",
            rank=Rank.PACKAGES,
            fix=(f"python -m pip install --force-reinstall --no-deps {name}",),
            verify="modelfetch doctor packages",
        )


def _replaced(packages: PackageFacts) -> Iterator[Finding]:
    for name, release in sorted(packages.conda.items()):
        yield Finding(
            "py.dup",
            Severity.WARNING,
            f"conda installed {name} {release}, and something else replaced it by {packages.versions[name]}",
            {"conda": release, "found": packages.versions[name]},
            rank=Rank.PACKAGES,
            advice="The next `conda install` may bring parts of the old one back; use one of the two for it.",
            fix=(f"conda remove --force {name} && python -m pip install --force-reinstall --no-deps {name}",),
            verify="modelfetch doctor packages",
        )


def _absent(packages: PackageFacts) -> Iterator[Finding]:
    if "torch" in packages.versions:
        for name, package, models in (
            ("tf.absent", "transformers", "models"),
            ("acc.absent", "accelerate", "models on a GPU"),
        ):
            if package not in packages.versions:
                title = f"{package} is not installed, which running {models} needs"
                yield note(name, title, advice=f"pip install {package}")


def _in_the_way(packages: PackageFacts, environment: Mapping[str, str], settings: Settings) -> Iterator[Finding]:
    if "hf-xet" in packages.versions and _is_mirror(environment, settings) and not _has_no_xet(environment):
        yield note(
            "xet",
            "HF_ENDPOINT names a mirror, and hf-xet goes past it to the hosts that Hugging Face names",
            advice="export HF_HUB_DISABLE_XET=1 keeps its client on the mirror, where modelfetch stays anyway.",
        )
    old = packages.versions.get("pynvml")
    if old and version(old) < (12,):
        yield Finding(
            "pynvml.old",
            Severity.WARNING,
            f"pynvml {old} stands in the way of nvidia-ml-py's module of the same name",
            rank=Rank.PACKAGES,
            fix=("python -m pip uninstall -y pynvml && python -m pip install --force-reinstall nvidia-ml-py",),
            verify="modelfetch doctor packages",
        )


def _without_socks(packages: PackageFacts, environment: Mapping[str, str]) -> Iterator[Finding]:
    proxies = [name for name in _PROXIES if environment.get(name, "").lower().startswith("socks")]
    lacking = {
        package: extra
        for package, extra in _SOCKS.items()
        if package in packages.versions and extra not in packages.versions
    }
    if proxies and lacking:
        extras = " ".join(dict.fromkeys(lacking.values()))
        yield Finding(
            "net.socks",
            Severity.WARNING,
            f"{proxies[0]} names a SOCKS proxy, which {' and '.join(lacking)} cannot use without {extras}",
            {"packages": sorted(lacking)},
            effect="other tools download nothing",
            rank=Rank.PACKAGES,
            advice="modelfetch speaks SOCKS by itself, and so does uv; pip does once PySocks is there.",
            fix=(f"uv pip install {extras}", f"python -m pip install {extras}"),
            verify="modelfetch doctor packages",
        )


def _binary_break(packages: PackageFacts) -> Iterator[Finding]:
    torch, numpy = packages.versions.get("torch", ""), packages.versions.get("numpy", "")
    if torch and version(torch) < _TORCH_WITH_NUMPY_2 and version(numpy) >= (2,):
        yield Finding(
            "py.numpy",
            Severity.WARNING,
            f"torch {torch} was built for numpy 1, and numpy {numpy} is installed",
            {"torch": torch, "numpy": numpy},
            effect="tensors cannot be turned into arrays, which tokenizers and pictures need",
            rank=Rank.PACKAGES,
            fix=('python -m pip install "numpy<2"',),
            verify="modelfetch doctor packages",
        )


def _is_mirror(environment: Mapping[str, str], settings: Settings) -> bool:
    hosts = {endpoint.url for endpoint in settings.endpoints if endpoint.hub == "huggingface"}
    return bool(environment.get("HF_ENDPOINT")) and "https://huggingface.co" not in hosts


def _has_no_xet(environment: Mapping[str, str]) -> bool:
    return environment.get("HF_HUB_DISABLE_XET", "").lower() in {"1", "on", "yes", "true"}


def check_requirements(facts: Facts) -> list[Finding]:
    packages = facts[PackageFacts]
    findings = [
        Finding(
            _NAMES.get(name, "tf.deps" if name == "transformers" else "py.deps"),
            Severity.ERROR if name in _NEEDED_TO_RUN else Severity.WARNING,
            f"{name} {packages.versions[name]} needs {requirement}, and {found}",
            {"package": name, "requirement": requirement},
            effect=NO_MODELS if name in _NEEDED_TO_RUN else "",
            rank=Rank.TORCH if name == "torch" else Rank.PACKAGES,
            fix=(_mending(name, requirement, packages.versions.get("torch", "")),),
            verify="modelfetch doctor requirements",
        )
        for name in packages.requirements
        for requirement, found in _unmet(packages, packages.requirements[name], facts[Machine])
        # That there is no torch the check of torch tells, with the one that goes with the driver.
        if "torch" in packages.versions or not re.match(r"torch\b", requirement)
    ]
    findings += [
        Finding(
            "tf.optional",
            Severity.WARNING,
            f"transformers uses {requirement}, and {found}",
            {"requirement": requirement},
            rank=Rank.PACKAGES,
            fix=(f'python -m pip install "{requirement}"',),
            verify="modelfetch doctor requirements",
        )
        for requirement, found in _unmet(packages, packages.optional, facts[Machine])
        if found != _ABSENT and not any(finding.evidence.get("requirement") == requirement for finding in findings)
    ]
    return findings or [well("requirements", "the installed versions go together")]


def _mending(name: str, requirement: str, torch: str) -> str:
    """What brings `requirement` of the package `name`; what is made for one torch follows the torch that is there."""
    numbers = version(torch)
    if name not in _MINORS_AHEAD or not requirement.startswith("torch=") or numbers[:1] != (2,):
        return f'python -m pip install "{requirement}"'
    major = 2 if name == "torchaudio" else 0
    build = torch.partition("+")[2]
    index = f" --index-url https://download.pytorch.org/whl/{build}" if re.match(r"cpu|cu\d|rocm", build) else ""
    return f'python -m pip install "{name}=={major}.{numbers[1] + _MINORS_AHEAD[name]}.*"{index}'


def _unmet(
    packages: PackageFacts, texts: Iterable[str], machine: Machine, extra: str = ""
) -> Iterator[tuple[str, str]]:
    """Which of the requirements are not met: the requirement, and what there is instead."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker and not requirement.marker.evaluate({**_marker_values(machine), "extra": extra}):
            continue
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        wanted = f"{requirement.name}{extras}{requirement.specifier}"
        name = canonicalize_name(requirement.name)
        installed = packages.versions.get(name)
        if installed is None:
            yield wanted, _ABSENT
        elif not requirement.specifier.contains(installed, prereleases=True):
            yield wanted, f"{installed} is installed"
        else:
            for wanted_extra in sorted(requirement.extras):
                yield from _unmet(packages, packages.requirements.get(name, ()), machine, wanted_extra)


def _marker_values(machine: Machine) -> dict[str, str]:
    """What a requirement's condition is about, for the Python that is looked at and not for the one that looks."""
    interpreter = machine.interpreter
    if not interpreter.release:
        return {}
    return {
        "python_version": ".".join(interpreter.release.split(".")[:2]),
        "python_full_version": interpreter.release,
        "implementation_name": interpreter.implementation,
        "platform_machine": machine.architecture,
    }


def check_byte_code(facts: Facts) -> list[Finding]:
    uncompiled = facts[PackageFacts].uncompiled
    switched_off = bool(facts[Machine].environment.get("PYTHONDONTWRITEBYTECODE"))
    stuck = [name for name, is_writable in uncompiled.items() if switched_off or not is_writable]
    if not stuck:
        return [well("byte-code", "byte code is kept")]
    why = "PYTHONDONTWRITEBYTECODE is set" if switched_off else "its folder cannot be written"
    return [
        Finding(
            "py.bytecode",
            Severity.WARNING,
            f"the byte code of {' and '.join(stuck)} is not kept, because {why}",
            {"packages": stuck},
            rank=Rank.PACKAGES,
            advice="Every start compiles it again, which takes longer than all the rest.",
            fix=("modelfetch doctor --fix byte-code",),
            verify="modelfetch doctor byte-code",
        )
    ]


CHECKS = (
    Check(
        "packages",
        "python",
        "the packages that run models",
        (PackageFacts,),
        ("py.dup", "tf.absent", "acc.absent", "py.numpy", "pynvml.old", "xet", "net.socks"),
        check_packages,
    ),
    Check(
        "requirements",
        "python",
        "whether the installed versions go together",
        (PackageFacts,),
        ("py.deps", "tf.deps", "tf.optional", "torch.nvidia-libs", "torch.vision-mismatch"),
        check_requirements,
    ),
    Check("byte-code", "python", "whether byte code is kept", (PackageFacts,), ("py.bytecode",), check_byte_code),
)
