"""`python -m bench`: measures the rows, prints the ratios, and writes bench/RESULTS.md after a whole run."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import clients, machine, report
from bench.rows import Bench, only_with, quick
from bench.table import ROWS
from bench.values import Row, Run

_RESULTS = Path(__file__).parent / "RESULTS.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the status tells only whether it could be run."""
    options = _parser().parse_args(arguments)
    programs = sorted({line.split()[0] for row in ROWS for line in row.lines.values()} | {"nginx"})
    missing = [program for program in programs if clients.find(program) is None]
    rows = [only_with(row, lambda program: program not in missing) for row in ROWS if _is_wanted(row, options.rows)]
    rows = [quick(row) for row in rows] if options.quick else rows
    notes = [f"not installed, and left out: {', '.join(missing)}"] if missing else []
    for note in notes:
        _say(note)
    results = []
    with tempfile.TemporaryDirectory(prefix="modelfetch-bench-", dir=options.folder) as folder:
        facts = machine.describe(Path(folder))
        bench = Bench(Path(folder), options.runs, "nginx" not in missing)
        for row in rows:
            results.append(report.measured(row, bench.run(row, _tell)))
            print("\n".join(["", row.title, *report.row_table(results[-1])]), flush=True)
    print("\n".join(["", *report.promise_table(results)]))
    facts |= {
        "load after": f"{os.getloadavg()[0]:.2f}",
        "modelfetch at": machine.revision(),
        "versions": ", ".join(f"{name} {number}" for name, number in machine.versions(programs).items()),
        "command": " ".join(["python -m bench", *(arguments if arguments is not None else sys.argv[1:])]),
    }
    output = options.output or (_RESULTS if not options.quick and not options.rows else None)
    if output:
        output.write_text(report.document(results, facts, [*notes, *options.note]), encoding="utf-8")
        _say(f"written: {output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("-n", dest="runs", type=int, default=3, help="runs of every client (default: 3)")
    parser.add_argument(
        "--rows", nargs="+", choices=[row.name for row in ROWS], metavar="NAME", help="only these rows: %(choices)s"
    )
    parser.add_argument("--quick", action="store_true", help="smaller files: to see that it works, not to compare")
    parser.add_argument("--folder", type=Path, help="work below this folder (default: the system's temporary one)")
    parser.add_argument("--output", type=Path, help=f"write the page here ({_RESULTS.name}, after a whole run)")
    parser.add_argument("--note", action="append", default=[], help="a line to put on the page; may be repeated")
    return parser


def _is_wanted(row: Row, names: Sequence[str] | None) -> bool:
    return names is None or row.name in names


def _tell(row: str, client: str, run: Run) -> None:
    _say(f"{row}: {client}: {run.usage.wall_s:.2f} s, {run.ending}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
