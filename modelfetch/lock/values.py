"""What a lock file holds, as values. Decides only.

- A model is known by its repository and the revision that was asked for: locking it again replaces it, also when
  another hub answered this time.
- While its bytes stay the same what is known of a file only grows: the digests that another hub lists, and the places
  where it was seen. Whoever happens to answer today is then no change in a diff.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from modelfetch.errors import NotFoundError, UsageError
from modelfetch.manifest import Digests, Entry, Manifest
from modelfetch.reference import Reference

_SHORTEST_COMMIT = 7


@dataclass(frozen=True)
class LockedModel:
    """A model at one commit, as it was pulled.

    `manifest` is the whole listing, of which `paths` were brought; each of those has its sha256. `seen` are the hosts
    that listed these very bytes, by path.
    """

    manifest: Manifest
    paths: frozenset[str]
    seen: Mapping[str, tuple[str, ...]]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The files that were brought."""
        return tuple(entry for entry in self.manifest.entries if entry.path in self.paths)

    @property
    def left(self) -> tuple[Entry, ...]:
        """The rest of the listing, which stayed at the hub."""
        return tuple(entry for entry in self.manifest.entries if entry.path not in self.paths)

    @property
    def reference(self) -> Reference:
        """What was asked for, with the hub that answered."""
        return Reference.of(self.manifest.repo, self.manifest.hub, self.manifest.revision)

    @property
    def name(self) -> tuple[str, str]:
        """What a lock has one of: a repository at the revision that was asked for. The default branch comes first."""
        return self.manifest.repo, self.manifest.revision or ""

    def is_meant_by(self, reference: Reference) -> bool:
        """Whether `reference` names this model: by its repository, its hub or none, its revision or commit or none."""
        manifest = self.manifest
        if reference.repo != manifest.repo or reference.hub not in {None, manifest.hub}:
            return False
        revision = reference.revision
        if revision in {None, manifest.revision}:
            return True
        assert revision is not None
        return len(revision) >= _SHORTEST_COMMIT and manifest.commit.startswith(revision.lower())


@dataclass(frozen=True)
class Lock:
    """The models of one lock file, each once."""

    models: tuple[LockedModel, ...] = ()

    def with_model(self, model: LockedModel) -> Lock:
        """This lock with `model` in it, in the place of what it had under that name."""
        models = {each.name: each for each in self.models}
        old = models.get(model.name)
        models[model.name] = model if old is None else _with_what_was_known(model, old)
        return Lock(tuple(models[name] for name in sorted(models)))

    def meant_by(self, references: tuple[Reference, ...], *, where: str) -> tuple[LockedModel, ...]:
        """The models that `references` name, or all of them; `where` is the file's name for the error.

        Raises:
            NotFoundError: one of them names nothing in the lock, or nothing is in it.
            UsageError: one of them chooses a quantisation.
        """
        if not self.models:
            raise NotFoundError(f"no model is in `{where}`", hint=f"modelfetch pull OWNER/NAME --lock {where}")
        for reference in references:
            if reference.quant:
                raise UsageError(
                    f"`{reference}` chooses files, and a lock file has chosen them",
                    hint=f"write {replace(reference, quant=None)}",
                )
            if not any(model.is_meant_by(reference) for model in self.models):
                there = ", ".join(str(model.reference) for model in self.models)
                raise NotFoundError(
                    f"`{reference}` is not in `{where}`",
                    facts={"there is": there or "nothing"},
                    hint=f"modelfetch pull {reference} --lock {where}",
                )
        meant = {model.name for model in self.models for each in references if model.is_meant_by(each)}
        return tuple(model for model in self.models if model.name in meant or not references)


def _with_what_was_known(model: LockedModel, old: LockedModel) -> LockedModel:
    entries, seen = [], dict(model.seen)
    was = {entry.path: entry for entry in old.manifest.entries}
    for entry in model.manifest.entries:
        known = was.get(entry.path)
        if known is None or known.size != entry.size or known.digests.agree(entry.digests) is not True:
            entries.append(entry)
            continue
        ours, theirs = entry.digests, known.digests
        digests = Digests(ours.sha256 or theirs.sha256, ours.git_sha1 or theirs.git_sha1)
        entries.append(replace(entry, digests=digests))
        if entry.path in model.paths:
            places = {*seen.get(entry.path, ()), *old.seen.get(entry.path, ())}
            seen[entry.path] = tuple(sorted(places))
    return replace(model, manifest=replace(model.manifest, entries=tuple(entries)), seen=seen)
