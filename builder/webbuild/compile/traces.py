"""Traces: schedules of TVM's functions that were searched and measured, applied once more.

A trace is the list of a schedule's steps with every decision, in MetaSchedule's JSON. Applied to
the same function it gives the same schedule, and so the same kernel, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import prod
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import Schedule
from tvm.s_tir.schedule import Trace

from webgpu_kernels.launch import Tier
from webgpu_kernels.records import TuningRecord

_ENTRY = "main"  # the name that traces give their function


def tuning_key(name: str, function: tirx.PrimFunc) -> str:
    """What records of a function are kept by: `tvm.NAME.HASH N=… K=…`.

    The hash stands for the whole function, its shapes included, so no other function's record
    counts; N, the output's sizes that are known, and K, of the reduction, are for the reader.
    """
    text = f"{tvm_ffi.structural_hash(copied(function), map_free_vars=True) % 2**64:016x}"
    sizes = {
        "N": prod(int(n) for n in function.params[-1].shape if isinstance(n, tirx.IntImm)),
        "K": max((_reduced(block) for block in blocks(function)), default=1),
    }
    shown = "".join(f" {letter}={size}" for letter, size in sizes.items() if size > 1)
    return f"tvm.{re.sub(r'[0-9]+', '', name)}.{text[:10]}{shown}"


def blocks(function: tirx.PrimFunc) -> list[tirx.SBlock]:
    """The blocks of a function, in order, without its root."""
    schedule = Schedule(tvm.IRModule({_ENTRY: copied(function)}))
    root = schedule.get_sblock("root", _ENTRY)
    return [schedule.get(child) for child in schedule.get_child_blocks(root)]


def _reduced(block: tirx.SBlock) -> int:
    extents = [
        one.dom.extent for one in block.iter_vars if one.iter_type == tirx.IterVar.CommReduce
    ]
    return prod(int(n) for n in extents if isinstance(n, tirx.IntImm))


def as_json(trace: Trace) -> list[Any]:
    """A trace as lists, texts and numbers."""
    result: list[Any] = json.loads(json.dumps(trace.as_json(), default=_plainly))
    return result


def _plainly(value: Any) -> Any:
    return value.value if hasattr(value, "value") else list(value)


def tuning_of(trace: Sequence[Any]) -> str:
    """A trace's name as a tuning: `trace:` and ten hex digits of its hash."""
    text = json.dumps(trace, separators=(",", ":"))
    return f"trace:{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def replay(function: tirx.PrimFunc, trace: Sequence[Any]) -> tirx.PrimFunc | None:
    """The function under a trace; None if the trace is not one of this function."""
    schedule = Schedule(tvm.IRModule({_ENTRY: copied(function)}))
    try:
        Trace.apply_json_to_schedule(list(trace), schedule)
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError):
        return None
    return schedule.mod[_ENTRY].with_attr("tirx.is_scheduled", True)


def copied(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """A function of its own, called `main`: schedules change in place what they should not."""
    copy = tvm.ir.load_json(tvm.ir.save_json(function))
    return copy.without_attr("global_symbol").with_attr("global_symbol", _ENTRY)


def advised_traces(
    records: Iterable[TuningRecord], tier: Tier, advised: Callable[[str], Iterable[str]]
) -> Callable[[str], Mapping[str, Sequence[Any]]]:
    """For a tuning key, the traces that records advise, by tuning."""
    known = {
        (record.key, record.tuning): record.trace
        for record in records
        if record.trace is not None and record.tier == tier
    }

    def traces(key: str) -> Mapping[str, Sequence[Any]]:
        found = {name: known.get((key, name)) for name in advised(key)}
        return {name: trace for name, trace in found.items() if trace is not None}

    return traces
