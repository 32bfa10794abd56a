"""Runs a row: hubs, then every client in turn, and all again, so that a bad moment of the machine meets them all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import clients, hubs
from bench.hubs import Hubs
from bench.model import MadeModel, make
from bench.values import MIB, REPO, Before, Case, Model, Row, Run, Summary

_QUICK = 8
_PULL = f"modelfetch pull hf:{REPO} --endpoint $HUB"

Told = Callable[[str, str, Run], None]


@dataclass(frozen=True)
class Bench:
    """What is common to all rows: the folder to work in, how often to run, and whether nginx may be used."""

    folder: Path
    runs: int
    with_nginx: bool

    def run(self, row: Row, told: Told) -> Case:
        """Measure every client of the row."""
        model = make(row.model, self.folder / "models" / row.model.label)
        runs: dict[str, list[Run]] = {client: [] for client in row.lines}
        with hubs.running(row.hubs, model, self._new_folder("nginx"), with_nginx=self.with_nginx) as running:
            for _ in range(max(self.runs, row.least_runs)):
                for client in row.lines:
                    runs[client].append(self._run_once(row, client, running, model))
                    told(row.name, client, runs[client][-1])
        return Case(row.model, {client: Summary(of_client) for client, of_client in runs.items()})

    def _run_once(self, row: Row, client: str, running: Hubs, model: MadeModel) -> Run:
        command = row.lines[client]
        with self._place(row, running, model) as where:
            running.reset()
            _go_before(row, command, where, running)
            if row.before is not Before.KILLED_AT_HALF:
                running.reset()
            usage = clients.run(command, where)
            state = clients.judge(usage, where, model.sha256 if client in row.commands else {})
            return Run(usage, state, running.sent_bytes, running.requests)

    @contextmanager
    def _place(self, row: Row, running: Hubs, model: MadeModel) -> Iterator[clients.Place]:
        folder = self._new_folder("run")
        try:
            yield clients.place(folder, running.urls, model, row.limit_s)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _new_folder(self, name: str) -> Path:
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return folder


def only_with(row: Row, has: Callable[[str], bool]) -> Row:
    """The row with those clients only whose program is there."""

    def present(lines: Mapping[str, str]) -> Mapping[str, str]:
        return {client: line for client, line in lines.items() if has(line.split()[0])}

    return replace(row, commands=present(row.commands), yardsticks=present(row.yardsticks))


def quick(row: Row) -> Row:
    """The row with files an eighth as large, and an eighth as many of many; what happens at one byte stays there."""
    files = dict(row.model.files)
    if len(files) > 50:
        files = dict(list(files.items())[: len(files) // _QUICK])
    smaller = {name: size // _QUICK if size > MIB else size for name, size in files.items()}
    return replace(row, model=Model(smaller))


def _go_before(row: Row, command: str, where: clients.Place, running: Hubs) -> None:
    match row.before:
        case Before.NOTHING:
            pass
        case Before.DONE_ONCE:
            clients.run(command, where)
        case Before.KILLED_AT_HALF:
            clients.run_until(command, where, lambda: running.sent_bytes >= row.model.size_bytes // 2)
        case Before.COLD_PULL:
            clients.run(_PULL, where)
            clients.drop_from_page_cache(where.folder)
