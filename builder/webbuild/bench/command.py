"""`webbuild bench`: runs a benchmark and writes what was asked for."""

from __future__ import annotations

import json

import click

from .plan import BenchOptions
from .plot import write_plot
from .run import run_benchmark
from .table import print_report
from .trace import chrome_trace


def bench(options: BenchOptions, quiet: bool) -> None:
    """Measures, prints tables, writes files. Raises what `run_benchmark` raises."""

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    report = run_benchmark(options, say)
    print_report(report)
    if options.json_file:
        options.json_file.write_text(json.dumps(report.to_json(), indent=2) + "\n", "utf-8")
    if options.trace:
        options.trace.write_text(json.dumps(chrome_trace(report)), "utf-8")
    if options.plot:
        write_plot(report, options.plot)
