"""MetaSchedule's search for one function that TVM schedules: it draws traces from our spaces and
hears what they took on a device.

Its evolutionary search is driven by hand, batch by batch, so that any runner can measure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tvm
from tvm import tirx
from tvm.s_tir import meta_schedule as ms

from webbuild.compile.codegen import TARGET, Dispatch
from webbuild.compile.pipeline import TvmOp, retraced
from webbuild.compile.traces import as_json, copied, tuning_of
from webbuild.schema.check import MAX_GRID, MAX_INVOCATIONS, MAX_WORKGROUP_BYTES
from webbuild.schema.expression import evaluate

from .array import Array, Fill
from .case import KernelCase, Measurement
from .runner import Adapter
from .search import Job, Outcome, note, runs_tier
from .spaces import schedules

#: Tokens of the problem that is searched for: those of a decode step.
TOKENS = 1
#: A winner must not lose here, because prefill runs the same kernel.
MANY_TOKENS = 16
#: A trace is drawn for a function with so many tokens; it samples nothing from them.
_DRAWN_TOKENS = 8
#: Bytes of WGSL: unrolled loops reach hundreds of kB, which browsers compile for seconds.
_MOST_SOURCE = 24 << 10
_FILLS: dict[str, Fill] = {
    "float32": "f32",
    "float16": "f16",
    # Words hold nibbles or halves; these are finite as halves, and any nibbles will do.
    "uint32": "f16",
}
_BYTES = {"float32": 4, "float16": 2, "uint32": 4}
_ENDLESS = 1 << 20


class TraceSearch:
    """Candidates for a function; `take` and `hear` in turns.

    seed: of the search; with the same times it proposes the same traces.
    """

    def __init__(self, op: TvmOp, adapter: Adapter, seed: int) -> None:
        self.op = op
        self.seed = seed
        self.default = self._case("default", op.default, TOKENS)
        self._dispatches = {"default": op.default}
        self._traces: dict[str, list[Any]] = {}
        self._drawn: list[tuple[Any, str | None]] = []
        function = _sized(copied(op.function))
        self.problems: list[str] = []
        """Of spaces that TVM stopped."""
        self._spaces = schedules(function, adapter, seed, self.problems)
        if not self._spaces:
            return
        module = tvm.IRModule({"main": function})
        self._context = _context(module, seed)
        self._database = ms.database.MemoryDatabase()
        self._workload = self._database.commit_workload(module)

    @property
    def known(self) -> bool:
        """Whether any space knows the function."""
        return bool(self._spaces)

    def start(self, batch: int) -> None:
        """To be called once, before `take`. batch: most candidates at a time."""
        model = ms.cost_model.RandomModel(seed=self.seed)
        self._context.pre_tuning(_ENDLESS, batch, self._spaces, self._database, model)

    def take(self) -> list[KernelCase]:
        """The next candidates that WebGPU's limits allow; none: there are no more."""
        while True:
            drawn = self._context.generate_measure_candidates()
            if not drawn:
                return []
            self._drawn = [(one, self._add(one.sch.trace)) for one in drawn]
            names = dict.fromkeys(name for _, name in self._drawn if name is not None)
            if names:
                return [self.case(name) for name in names]
            self.hear({})

    def hear(self, took: Mapping[str, Measurement]) -> None:
        """What the candidates of the last `take` took, by name."""
        results = []
        for candidate, name in self._drawn:
            one = took.get(name) if name is not None else None
            if one is None or one.seconds is None:
                results.append(ms.runner.RunnerResult(None, (one and one.failure) or "refused"))
                continue
            results.append(ms.runner.RunnerResult([one.seconds], None))
            self._database.commit_tuning_record(
                ms.database.TuningRecord(
                    candidate.sch.trace,
                    self._workload,
                    [one.seconds],
                    TARGET,
                    candidate.args_info,
                )
            )
        self._context.notify_runner_results([one for one, _ in self._drawn], results)

    def trace(self, name: str) -> list[Any] | None:
        """The trace of that tuning; None for the default."""
        return self._traces.get(name)

    def case(self, name: str) -> KernelCase:
        """The candidate once more."""
        return self._case(name, self._dispatches[name], TOKENS)

    def many(self, name: str) -> KernelCase:
        """The candidate on more tokens."""
        return self._case(name, self._dispatches[name], MANY_TOKENS)

    def _add(self, trace: Any) -> str | None:
        """The name of a new candidate; None if its kernel cannot run, or is known."""
        text = as_json(trace)
        name = tuning_of(text)
        if name in self._traces:
            return None
        dispatch = retraced(self.op.name, self.op.function, self.op.default, text)
        if dispatch is None or not _within_limits(dispatch):
            return None
        if any(dispatch.kernel.wgsl == one.kernel.wgsl for one in self._dispatches.values()):
            return None
        self._traces[name] = text
        self._dispatches[name] = dispatch
        return name

    def _case(self, name: str, dispatch: Dispatch, tokens: int) -> KernelCase:
        symbols = dict.fromkeys(dispatch.params, tokens)
        output = len(self.op.function.params) - 1
        arrays = [
            _array(param, number, tokens, number == output)
            for number, param in enumerate(self.op.function.params)
        ]
        x, y, z = (evaluate(size, symbols) for size in dispatch.grid)
        return KernelCase(
            name=name,
            wgsl=dispatch.kernel.wgsl,
            entry_point=dispatch.kernel.entry_point,
            features=dispatch.kernel.features,
            access=dispatch.kernel.bindings,
            arrays=tuple(arrays[int(number)] for number in dispatch.arguments),
            outputs=(dispatch.arguments.index(output),),
            params=tuple(symbols.values()),
            grid=(x, y, z),
        )


def _context(module: tvm.IRModule, seed: int) -> ms.TuneContext:
    """What `ms.TuneContext(…)` makes, without its import of the tensor intrinsics of every
    processor, which takes half a minute and serves none of ours."""
    space = ms.space_generator.ScheduleFn(
        lambda schedule: None,  # the schedules are made already
        sch_rules=[],
        postprocs=[],
        mutator_probs={ms.mutator.MutateTileSize(): 1.0},
    )
    strategy = ms.search_strategy.EvolutionarySearch(
        population_size=32, init_min_unmeasured=8, genetic_num_iters=2
    )
    make = tvm.get_global_func("s_tir.meta_schedule.TuneContext")
    silent = tvm.runtime.convert(lambda *record: None)  # a logger
    context = make(module, TARGET, space, strategy, "main", 1, seed, silent)
    tvm.get_global_func("s_tir.meta_schedule.TuneContextInitialize")(context)
    return context


def make_tvm_jobs(ops: Iterable[TvmOp], adapter: Adapter, seed: int, outcome: Outcome) -> list[Job]:
    """Jobs for the functions that an adapter can run, that have inputs which can be any numbers,
    and that some space knows."""
    jobs: dict[tuple[str, str], Job] = {}
    for op in ops:
        if (op.tier, op.key) in jobs or not runs_tier(op.tier, adapter, outcome):
            continue
        if not can_make_inputs(op):
            note(
                outcome.skipped,
                f"{op.key}: not tuned, as nobody has written how to make the indices it reads",
            )
            continue
        search = TraceSearch(op, adapter, seed)
        for problem in search.problems:
            note(outcome.skipped, f"{op.key}: {problem}")
        if not search.known:
            note(outcome.skipped, f"{op.key}: no space knows how to schedule it")
            continue
        jobs[op.tier, op.key] = Job(op.key, op.tier, search.default, search=search)
    return list(jobs.values())


def can_make_inputs(op: TvmOp) -> bool:
    """Whether a function's inputs can be any numbers; integers are indices of something."""
    *inputs, output = op.function.params
    return output.dtype == "float32" and all(one.dtype in _FILLS for one in inputs)


def _sized(function: tirx.PrimFunc) -> tirx.PrimFunc:
    """The function for a known number of tokens, which MetaSchedule insists on."""
    buffers = {
        param: tirx.decl_buffer(
            [
                size if isinstance(size, tirx.IntImm) else tirx.IntImm("int64", _DRAWN_TOKENS)
                for size in param.shape
            ],
            param.dtype,
            name=param.name,
            elem_offset=param.elem_offset,
            offset_factor=param.offset_factor,
            data_alignment=param.data_alignment,
        )
        for param in function.params
    }
    return function.specialize(buffers)


def _array(param: Any, number: int, tokens: int, output: bool) -> Array:
    count = 1
    for size in param.shape:
        count *= int(size) if isinstance(size, tirx.IntImm) else tokens
    words = max(4, -(-count * _BYTES[str(param.dtype)] // 4))
    return Array(words, "nan" if output else _FILLS[str(param.dtype)], number + 1)


def _within_limits(dispatch: Dispatch) -> bool:
    kernel = dispatch.kernel
    x, y, z = kernel.workgroup_size
    grid = [evaluate(size, dict.fromkeys(dispatch.params, MANY_TOKENS)) for size in dispatch.grid]
    return (
        x * y * z <= MAX_INVOCATIONS
        and kernel.workgroup_bytes <= MAX_WORKGROUP_BYTES
        and max(grid) <= MAX_GRID
        and len(kernel.wgsl) <= _MOST_SOURCE
    )
