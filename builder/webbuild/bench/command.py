"""`webbuild bench`: runs a benchmark, or reads reports, and writes what was asked for."""

from __future__ import annotations

import json
from collections.abc import Callable

import click

from webbuild.errors import InvalidOptionError
from webbuild.schema.bench_report import BenchReport

from .plan import BenchOptions, check_outputs
from .plot import write_plot
from .report import join_reports, read_report
from .run import run_benchmark
from .table import print_report
from .trace import chrome_trace


def bench(options: BenchOptions, quiet: bool) -> None:
    """Measures packs, or reads reports (files that end in .json), prints tables, writes files.

    Raises what `run_benchmark`, `read_report` and `join_reports` raise.
    """

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    if any(path.suffix == ".json" for path in options.packs):
        report = _read(options)
    else:
        report = _measure(options, say)
    print_report(report)
    if options.json_file:
        options.json_file.write_text(report.model_dump_json(indent=2) + "\n", "utf-8")
    if options.plot:
        write_plot(report, options.plot)


def _measure(options: BenchOptions, say: Callable[[str], None]) -> BenchReport:
    measured = run_benchmark(options, say)
    if options.trace:
        options.trace.write_text(json.dumps(chrome_trace(measured)), "utf-8")
    return measured.report


def _read(options: BenchOptions) -> BenchReport:
    if any(path.suffix != ".json" for path in options.packs) or len(options.packs) > 2:
        raise InvalidOptionError("give one or two packs to measure, or one or two reports to read")
    if options.trace:
        raise InvalidOptionError("--trace: a report does not hold when each step ran; measure anew")
    check_outputs(options)
    first, *others = [read_report(path) for path in options.packs]
    return join_reports(first, others[0]) if others else first
