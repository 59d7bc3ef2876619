"""`webbuild tune`: asks a pack or a shape what to tune, searches, and keeps records."""

from __future__ import annotations

import asyncio
import runpy
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from rich.table import Table

from webbuild.errors import InvalidOptionError
from webbuild.pack import Reporter
from webbuild.pack.output import named_write_errors
from webbuild.schema.folder import PackFolder
from webbuild.tables import show
from webgpu_kernels.attrs import BadAttributeError
from webgpu_kernels.launch import Tier
from webgpu_kernels.records import RecordsError, TuningRecord, merge, read_records, write_records
from webgpu_kernels.registry import OPS

from .open_runner import RunnerOptions, open_runner
from .rules import ROWS
from .search import Op, Outcome, make_jobs, make_op, search

if TYPE_CHECKING:
    from webbuild.compile.pipeline import TvmOp


TVM = "tvm"
"""What `--ops` calls the functions that TVM schedules."""


@dataclass(frozen=True)
class TuneOptions:
    """What the command line says."""

    pack: Path | None
    shapes: tuple[str, ...]
    runner: RunnerOptions
    ops: tuple[str, ...] = ()
    tier: str | None = None
    seconds: float = 120.0
    out: Path = Path("tuning.json")
    rules: tuple[Path, ...] = ()
    library: bool = True
    """False: as a pack that was made with `--no-library`."""
    seed: int = 1
    """Of the search for traces."""


def tune(options: TuneOptions, reporter: Reporter) -> Outcome:
    """Tunes and merges the records into `options.out`.

    Ctrl-C keeps what was measured, and ends the command with status 130.
    Raises InvalidOptionError, and what opening a pack or a runner raises.
    """
    for path in options.rules:
        if not path.is_file():
            raise InvalidOptionError(f"--rules {path}: there is no such file")
        try:
            runpy.run_path(str(path))
        except Exception as error:
            raise InvalidOptionError(
                f"--rules {path}: {type(error).__name__}: {error}; mend the file"
            ) from error
    known = _read(options.out)
    _check_writable(options.out)
    ops, tvm_ops = _ops(options, reporter)
    outcome = Outcome()
    interrupted = False
    try:
        asyncio.run(_run(options, ops, tvm_ops, outcome, reporter))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if outcome.records:
            write_records(options.out, merge(known, outcome.records))
    for line in (*outcome.refused, *outcome.skipped):
        reporter.warn(line)
    _print(outcome)
    kept = f"{len(outcome.records)} records kept in {options.out}" if outcome.records else "nothing"
    if interrupted:
        reporter.warn(f"interrupted: {kept}")
        raise click.exceptions.Exit(130)
    reporter.step(f"{kept}\nNext: webbuild pack MODEL --records {options.out}")
    return outcome


async def _run(
    options: TuneOptions,
    ops: Sequence[Op],
    tvm_ops: Sequence[TvmOp],
    outcome: Outcome,
    reporter: Reporter,
) -> None:
    async with open_runner(options.runner, reporter.step) as runner:
        adapter = runner.adapter
        if not adapter.kind.vendor:
            raise InvalidOptionError(
                "this adapter does not tell its vendor, so no runtime could find its records: "
                "tune in another browser"
            )
        reporter.step(f"Tuning on {adapter.description or adapter.kind.vendor or 'an adapter'}")
        jobs = make_jobs(ops, adapter, options.ops, outcome)
        if tvm_ops:
            from .trace_search import make_tvm_jobs

            jobs += make_tvm_jobs(tvm_ops, adapter, options.seed, outcome)
        if not jobs:
            raise InvalidOptionError("there is nothing to tune: no kernel asked for has a choice")
        with reporter.items("Tuning", len(jobs)) as done:
            await search(runner, jobs, options.seconds, outcome, done)


def _read(path: Path) -> list[TuningRecord]:
    if not path.exists():
        return []
    try:
        return read_records(path)
    except RecordsError as error:
        raise InvalidOptionError(f"--out: {error}") from None


def _check_writable(path: Path) -> None:
    """Raises OutputNotWritableError or DiskFullError now, not when measurements are to be kept."""
    with named_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.part"):
            pass


def _ops(options: TuneOptions, reporter: Reporter) -> tuple[list[Op], list[TvmOp]]:
    """What was asked for: library ops, and functions that TVM schedules."""
    unknown = set(options.ops) - ROWS.keys() - {TVM}
    if unknown:
        raise InvalidOptionError(
            f"--ops: no kernel is called {', '.join(sorted(unknown))}; there are "
            f"{', '.join(ROWS)}, {TVM}"
        )
    tiers: tuple[Tier, ...] = get_args(Tier)
    if options.tier is not None and options.tier not in tiers:
        raise InvalidOptionError(f"--tier is {options.tier}; it can be {' or '.join(tiers)}")
    wanted = [tier for tier in tiers if options.tier in (None, tier)]
    if options.pack is None and not options.shapes:
        raise InvalidOptionError("name a PACK, or an op with --shape")
    ops = [parse_shape(shape, tier) for shape in options.shapes for tier in wanted]
    if options.pack is None:
        return ops, []
    from webbuild.compile import compile_model

    folder = PackFolder.open(options.pack)
    reporter.step("Reading the pack's ops")
    limits = folder.manifest.limits
    int8 = any(tier.kv_dtype == "int8" for tier in folder.program.tiers.values())
    compiled = compile_model(
        folder.manifest.model.config,
        folder.manifest.quantization,
        prefill_chunk=limits.prefill_chunk,
        max_batch=limits.max_batch,
        context_length=limits.default_context_length,
        library=options.library,
        kv="int8" if int8 else "float",
    )
    own = [make_op(op.op, dict(op.attrs), op.tier) for op in compiled.ops if op.tier in wanted]
    tvm = TVM in options.ops or not options.ops
    return [*own, *ops], [op for op in compiled.tvm_ops if tvm and op.tier in wanted]


def parse_shape(text: str, tier: Tier) -> Op:
    """`linear mode=gemv quant=q4 N=576 K=1536`, as on the command line.

    Raises InvalidOptionError.
    """
    op, *pairs = text.split()
    if op not in OPS:
        raise InvalidOptionError(f"--shape: no op is called {op}; there are {', '.join(OPS)}")
    attrs: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidOptionError(f"--shape: {pair!r} is no NAME=VALUE")
        attrs[name] = _value(value)
    try:
        return make_op(op, attrs, tier)
    except (BadAttributeError, TypeError) as error:
        raise InvalidOptionError(f"--shape: {error}") from None


def _value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _print(outcome: Outcome) -> None:
    if not outcome.records:
        return
    table = Table(box=None, pad_edge=False)
    for title in ("kernel", "tier", "tuning"):
        table.add_column(title, overflow="fold")
    for title in ("µs", "default µs", "ratio"):
        table.add_column(title, justify="right")
    for record in outcome.records:
        table.add_row(
            record.key,
            record.tier,
            record.tuning,
            f"{record.microseconds:,.1f}",
            f"{record.baseline:,.1f}",
            f"{record.baseline / record.microseconds:.2f}",
        )
    show(table, width=140)
