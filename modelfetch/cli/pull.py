"""`modelfetch pull`."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelfetch.cli._output import format_bytes, format_duration, print_json, print_path, say
from modelfetch.errors import SmokeError, UsageError

if TYPE_CHECKING:
    from modelfetch.cli._progress import PullProgress
    from modelfetch.cli._progress_json import JsonProgress
    from modelfetch.config import Settings
    from modelfetch.pulling import Pulled, Request
    from modelfetch.store import Snapshot

_EPILOG = """\b
Examples:
  modelfetch pull Qwen/Qwen3-0.6B
  modelfetch pull Qwen/Qwen3-0.6B --source modelscope
  modelfetch pull Qwen/Qwen3-0.6B --endpoint https://hf-mirror.com
  modelfetch pull bartowski/Qwen2.5-7B-Instruct-GGUF:Q4_K_M --local-dir /data/qwen
  modelfetch pull Qwen/Qwen3-0.6B --via sdk
  modelfetch pull Qwen/Qwen3-0.6B --lock models.lock
  modelfetch pull --locked models.lock
"""


@click.command(epilog=_EPILOG)
@click.argument("references", metavar="[REF...]", nargs=-1)
@click.option(
    "--source", metavar="NAME", help="auto, huggingface (hf), modelscope (ms), or an endpoint of mirrors.yaml."
)
@click.option("--endpoint", "endpoints", metavar="NAME|URL", multiple=True, help="Only from here; may be repeated.")
@click.option(
    "--send-token-to", "send_tokens_to", metavar="ORIGIN", multiple=True, help="An origin that may see your token."
)
@click.option("--revision", metavar="R", help="A branch, a tag or a commit; the default branch otherwise.")
@click.option("--include", metavar="GLOB", multiple=True, help="Exactly these files; may be repeated.")
@click.option("--exclude", metavar="GLOB", multiple=True, help="Not these files; may be repeated.")
@click.option("--all-files", is_flag=True, help="Also other formats of the same weights.")
@click.option(
    "--local-dir", type=click.Path(file_okay=False, path_type=Path), help="Put the files in this folder, too."
)
@click.option("--link/--no-link", default=True, help="Make the view that transformers finds (default: yes).")
@click.option(
    "--via",
    type=click.Choice(["direct", "sdk"]),
    default="direct",
    show_default=True,
    help="sdk: let the hub's own client fetch, for what only that can; verified all the same.",
)
@click.option("--connections", type=click.IntRange(1, 64), help="At most so many at once for each endpoint.")
@click.option("--limit-rate", metavar="SIZE", help="Bytes per second, such as 20M.")
@click.option("--offline", is_flag=True, help="Use no network: what the store has, or an error.")
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, and fetch nothing.")
@click.option(
    "--lock",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Then write down in this file which bytes came; what it says of other models stays.",
)
@click.option(
    "--locked",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Exactly the bytes that this lock file names, of REF or of all its models, from any source.",
)
@click.option("--smoke", is_flag=True, help="Then load the model and make it work; exit status 10 when it does not.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document (docs/json.md).")
@click.option(
    "--progress", type=click.Choice(["auto", "json"]), default="auto", help="json: one object a line on stderr."
)
@click.option("-q", "--quiet", is_flag=True, help="No progress, no notes; errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Tell every step and fault.")
def command(  # noqa: PLR0913 - the options that are not fields of a request
    *,
    references: tuple[str, ...],
    revision: str | None,
    lock: Path | None,
    locked: Path | None,
    smoke: bool,
    as_json: bool,
    progress: str,
    quiet: bool,
    verbose: bool,
    **choices: Any,
) -> int:
    """Bring models: fast, whole, verified, and kept once for every tool.

    REF is [hub:]owner/name[@revision][:QUANT], or the address of a model's page.

    Whatever stops a pull, the same command goes on from there.
    """
    from modelfetch import config
    from modelfetch.pulling import run
    from modelfetch.pulling.locking import check_lock, lock_pulled

    settings = _with_options(
        config.load(), choices.pop("connections"), choices.pop("limit_rate"), choices.pop("offline")
    )
    if lock and locked:
        raise _does_not_go_with_locked("--lock", "one reads a lock file, the other writes one")
    # What is left of the options are fields of a request, by name.
    requests = _requests(references, revision, locked, choices)
    if choices["local_dir"] and len(requests) > 1:
        raise UsageError(
            f"--local-dir is one model's folder, and there are {len(requests)} models",
            hint="pull them one by one, each into a folder of its own",
        )
    if lock:
        check_lock(lock)
    documents, status = [], 0
    for request in requests:
        with _listener(progress, quiet=quiet, verbose=verbose) as listener:
            pulled = run(request, settings=settings, listener=listener)
        if lock and not request.dry_run:
            lock_pulled(lock, request, pulled)
        document = _document(pulled, request)
        if not quiet and progress == "auto":
            _tell(request, pulled, listener.faults)
        if not as_json and pulled.folder:
            print_path(pulled.folder)
        if smoke and pulled.snapshot:
            document["smoke"], passed = _smoke(settings, pulled.snapshot, as_json=as_json)
            status = status if passed else SmokeError.exit_status
        documents.append(document)
    if as_json:
        print_json(documents[0] if len(documents) == 1 else documents)
    return status


def _requests(
    references: tuple[str, ...], revision: str | None, locked: Path | None, choices: dict[str, Any]
) -> list[Request]:
    from modelfetch import lock
    from modelfetch.pulling import Request
    from modelfetch.reference import parse

    asked = tuple(parse(text) for text in references)
    if locked is None:
        if not asked:
            raise click.UsageError("Name a model, or a lock file with --locked.", click.get_current_context())
        return [Request(reference.at(revision), **choices) for reference in asked]
    if revision:
        raise _does_not_go_with_locked("--revision", "the lock file says which commit comes")
    models = lock.read(locked).meant_by(asked, where=str(locked))
    return [Request(model.reference, locked=model, **choices) for model in models]


def _does_not_go_with_locked(option: str, why: str) -> UsageError:
    return UsageError(f"{option} does not go with --locked", facts={"why": why}, hint=f"leave {option} away")


def _with_options(settings: Settings, connections: int | None, limit_rate: str | None, offline: bool) -> Settings:
    from modelfetch.config import parse_size

    return replace(
        settings,
        connections=connections or settings.connections,
        limit_rate=parse_size(limit_rate) if limit_rate else settings.limit_rate,
        offline=offline or settings.offline,
    )


def _listener(kind: str, *, quiet: bool, verbose: bool) -> PullProgress | JsonProgress:
    from modelfetch.cli._progress import PullProgress
    from modelfetch.cli._progress_json import JsonProgress

    return JsonProgress() if kind == "json" else PullProgress(quiet=quiet, verbose=verbose)


def _smoke(settings: Settings, snapshot: Snapshot, *, as_json: bool) -> tuple[dict[str, Any], bool]:
    """The smoke test's document, and whether it did not fail."""
    from modelfetch.cli._smoke_report import render, show
    from modelfetch.cli._smoke_test import test_model
    from modelfetch.smoketest import SmokeOptions, Verdict
    from modelfetch.store import Store

    result = test_model(Store.open(settings.home), snapshot, SmokeOptions())
    if not as_json:
        show(render(result))
    return result.to_json(), result.verdict is not Verdict.FAIL


def _tell(request: Request, pulled: Pulled, faults: Counter[tuple[str, str]]) -> None:
    """The closing sentence: how much, how fast, from where, what was reused, what misbehaved."""
    to_fetch = sum(file.size for file in pulled.files if file.state == "fetched")
    if request.dry_run:
        say(f"would fetch {format_bytes(to_fetch)}; nothing was fetched")
        return
    report, parts = pulled.report, []
    if report and report.transferred_bytes:
        whole = report.transferred_bytes
        shares = sorted(report.bytes_by_endpoint.items(), key=lambda item: -item[1])
        froms = ", ".join(f"{name} {sent * 100 // whole}%" if len(shares) > 1 else name for name, sent in shares)
        speed = f"{format_bytes(whole / max(pulled.seconds, 0.001))}/s"
        parts.append(f"fetched {format_bytes(whole)} in {format_duration(pulled.seconds)} ({speed}) from {froms}")
    if report and report.resumed_bytes:
        parts.append(f"went on from {format_bytes(report.resumed_bytes)}")
    if pulled.bytes_reused:
        parts.append(f"{format_bytes(pulled.bytes_reused)} were here already")
    if report:
        parts += [f"{', '.join(names)} sent wrong bytes of {path}" for path, names in report.wrong_senders.items()]
    parts += [f"{name}: {what}, {_times(count)}" for (name, what), count in summed(faults).most_common(3)]
    for note in pulled.late_notes:
        say(f"  {note}")
    say(f"{pulled.manifest.repo}: every byte verified; {'; '.join(parts) or 'nothing to do'}", style="green")


def summed(faults: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """The faults of each endpoint by their kind, and with the detail behind it only where that is always the same."""
    alike: dict[tuple[str, str], Counter[str]] = {}
    for (name, what), count in faults.items():
        alike.setdefault((name, what.partition(" (")[0]), Counter())[what] += count
    return Counter(
        {(name, next(iter(told)) if len(told) == 1 else kind): told.total() for (name, kind), told in alike.items()}
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _document(pulled: Pulled, request: Request) -> dict[str, Any]:
    manifest, report = pulled.manifest, pulled.report
    return {
        "repo": manifest.repo,
        "hub": manifest.hub,
        "revision": manifest.revision,
        "commit": manifest.commit,
        "snapshot": str(pulled.folder) if pulled.folder else None,
        "dry_run": request.dry_run,
        "bytes_total": pulled.bytes_total,
        "bytes_transferred": report.transferred_bytes if report else 0,
        "bytes_reused": pulled.bytes_reused,
        "bytes_resumed": report.resumed_bytes if report else 0,
        "seconds": round(pulled.seconds, 3),
        "licence": manifest.facts.licence,
        "gated": manifest.facts.gated,
        "notes": [*pulled.notes, *pulled.late_notes],
        "sources": [
            {
                "endpoint": name,
                "bytes": report.bytes_by_endpoint.get(name, 0),
                "failures": report.failures_by_endpoint.get(name, 0),
            }
            for name in sorted(report.bytes_by_endpoint.keys() | report.failures_by_endpoint.keys())
        ]
        if report
        else [],
        "files": [
            {"path": file.path, "size": file.size, "sha256": file.sha256, "state": file.state} for file in pulled.files
        ],
    }
