"""Pass 8: a scheduled TIR function becomes WGSL kernels and how to launch them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import s_tir, tirx
from tvm.target import Target

from webbuild.schema import Kernel
from webbuild.schema.kernels import Access
from webbuild.schema.program import Expr

from .expressions import binary, convert, product

TARGET = Target({"kind": "webgpu", "max_num_threads": 256}, host="llvm")

BYTES = {"float16": 2, "float32": 4, "int32": 4, "uint32": 4}

_T = s_tir.transform
_X = tirx.transform

#: TVM's own lowering (`tvm.s_tir.pipeline`) as far as the split into host and device functions;
#: what follows there turns the host part into machine code, and we read it instead.
_LOWER = tvm.transform.Sequential(
    [
        _X.ForceNarrowIndexToInt32(),  # WGSL has no 64-bit integers
        _T.CanonicalizeLoop(),
        _T.LowerCrossThreadReduction(),
        _T.LowerInitBlock(),
        _T.PlanAndUpdateBufferAllocationLocation(),
        _T.ConvertBlocksToOpaque(),
        _T.LiftThreadBinding(),
        _T.ManifestSharedMemoryLocalStage(),
        _T.CompactBufferAllocation(),
        _T.LowerAutoCopy(),
        _T.UnifyThreadBinding(),
        _T.LowerMatchBuffer(),
        _T.StmtSimplify(),
        _T.AnnotateIrregularLoop(),
        _T.InjectSoftwarePipeline(),
        _T.LowerOpaqueBlock(),
        _X.FlattenBuffer(),
        _X.NarrowDataType(32),
        _T.LoopPartition(),
        _X.VectorizeLoop(True),
        _T.InjectVirtualThread(),
        _T.InjectDoubleBuffer(),
        _X.StorageRewrite(),
        _T.HoistIfThenElse(),
        _X.UnrollLoop(),
        _T.RenormalizeSplitPattern(),
        _X.StmtSimplify(),
        _X.RemoveNoOp(),
        _T.RewriteUnsafeSelect(),
        _X.CommonSubexprElim(),
        _X.VerifyMemory(),
        _X.AnnotateEntryFunc(),
        _T.ThreadSync("shared"),
        _T.InferFragment(),
        _T.LowerThreadAllreduce(),
        _T.MergeSharedMemoryAllocations(),
        _X.SplitHostDevice(),
    ]
)
_DEVICE_FUNCTION = 2  # tvm.ir.CallingConv.DEVICE_KERNEL_LAUNCH

_BANNER = re.compile(r"\A(?://[^\n]*\n)+")
_BINDING = re.compile(
    r"@binding\((\d+)\) var<(storage, read_write|storage, read|uniform)> \w+ : ([\w<>]+)"
)
_WORKGROUP_SIZE = re.compile(r"@workgroup_size\((\d+), (\d+), (\d+)\)")
_WORKGROUP_ARRAY = re.compile(r"var<workgroup> \w+ : array<(?:vec(\d)<(\w+)>|(\w+)), (\d+)>")
_FIELDS = re.compile(r"struct PODArgs \{(.*?)\}\n(@group\(0\) @binding\()\d+", re.DOTALL)
_FIELD = re.compile(r"podArgs\.(\w+)")
_SCALAR_BYTES = {"f16": 2, "f32": 4, "i32": 4, "u32": 4}


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One launch of a kernel of a PrimFunc.

    arguments: for each binding, the number of the PrimFunc's parameter, or the name of a scratch
    buffer, parameters first and in their order. params: all symbols of the PrimFunc's own shapes;
    grid: over these. So all schedules of a PrimFunc have the same bindings and params. others:
    the same work under other schedules.
    """

    kernel: Kernel
    arguments: tuple[int | str, ...]
    params: tuple[str, ...]
    grid: tuple[Expr, Expr, Expr]
    others: tuple[Dispatch, ...] = ()


@dataclass(slots=True)
class Lowered:
    """A PrimFunc as launches. shapes: of its parameters; scratch: bytes by name."""

    shapes: tuple[tuple[Expr, ...], ...]
    scratch: dict[str, Expr] = field(default_factory=dict)
    dispatches: list[Dispatch] = field(default_factory=list)

    @property
    def single(self) -> Dispatch | None:
        """The only launch of a PrimFunc that has one, and needs no scratch."""
        return self.dispatches[0] if len(self.dispatches) == 1 and not self.scratch else None


def lower(name: str, function: tirx.PrimFunc) -> Lowered:
    """Generates the kernels of a scheduled PrimFunc. `name` is what their names start with."""
    function = function.with_attr("global_symbol", name)
    module = _X.BindTarget(TARGET)(tvm.IRModule({name: function}))
    module = _LOWER(module)
    kernels = {}
    host = None
    for variable, part in module.functions_items():
        if int(part.attrs.get("calling_conv", 0)) == _DEVICE_FUNCTION:
            kernels[variable.name_hint] = _kernel(variable, part)
        else:
            host = part
    assert host is not None, f"{name} has no host part"
    return _Host(host, kernels).lowered


def _kernel(variable: tvm.ir.GlobalVar, function: tirx.PrimFunc) -> Kernel:
    _, _, finalize = tirx.get_tir_pipeline("s_tir")
    module = finalize()(tvm.IRModule({variable: function}))
    source = tvm.get_global_func("target.build.webgpu")(module, TARGET).inspect_source()
    entry_point = variable.name_hint
    wgsl = _BANNER.sub("", source).strip() + "\n"
    bindings: list[Access] = []
    for number, kind, _ in _BINDING.findall(wgsl):
        if kind != "uniform":
            assert int(number) == len(bindings), f"{entry_point} numbers its bindings otherwise"
            bindings.append("read_write" if "write" in kind else "read")
    size = _WORKGROUP_SIZE.search(wgsl)
    assert size is not None, f"cannot read the WGSL of {entry_point}"
    shared = sum(
        int(lanes or 1) * _SCALAR_BYTES[vector or scalar] * int(count)
        for lanes, vector, scalar, count in _WORKGROUP_ARRAY.findall(wgsl)
    )
    return Kernel(
        name=entry_point,
        origin="tvm",
        wgsl=wgsl,
        entry_point=entry_point,
        workgroup_size=(int(size[1]), int(size[2]), int(size[3])),
        workgroup_bytes=shared,
        bindings=tuple(bindings),
        features=("shader-f16",) if "enable f16;" in wgsl else (),
    )


class _Host:
    """Reads the host part of a split PrimFunc: scratch buffers, and kernel calls in order."""

    def __init__(self, function: tirx.PrimFunc, kernels: dict[str, Kernel]) -> None:
        self.kernels = kernels
        # By identity: two parameters may have one name.
        self.places: dict[Any, int | str] = {p: i for i, p in enumerate(function.params)}
        self.aliases: dict[Any, Any] = {}
        self.lets: dict[Any, Any] = {}
        for param in function.params:
            assert tirx.is_buffer_var(param), f"scalar parameter {param.name} in a PrimFunc"
        shapes = (tuple(convert(n) for n in p.shape) for p in function.params)
        self.lowered = Lowered(tuple(shapes))
        sizes = (size for shape in self.lowered.shapes for size in shape)
        self.symbols = tuple(dict.fromkeys(size for size in sizes if isinstance(size, str)))
        self._statement(function.body)

    def _statement(self, statement: Any) -> None:
        if isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                self._statement(part)
        elif isinstance(statement, tirx.Bind):
            self.lets[statement.var] = statement.value
        elif isinstance(statement, tirx.AttrStmt):
            self._statement(statement.body)
        elif isinstance(statement, tirx.AllocBuffer):
            buffer = statement.buffer
            name = f"scratch{len(self.lowered.scratch)}"
            self.places[buffer] = name
            shape = tuple(convert(n, self.lets) for n in buffer.shape)
            self.lowered.scratch[name] = product(shape, BYTES[str(buffer.dtype)])
        elif isinstance(statement, tirx.DeclBuffer):
            self.aliases[statement.buffer] = statement.data
        elif isinstance(statement, tirx.Evaluate):
            self._call(statement.value)
        else:
            raise NotImplementedError(f"{type(statement).__name__} in host code: {statement}")

    def _call(self, call: Any) -> None:
        operator = getattr(getattr(call, "op", None), "name", None)
        if operator is None:  # a constant: nothing to do
            return
        if operator != "tirx.call_ffi_kernel":
            raise NotImplementedError(f"{operator} in host code: {call}")
        kernel = self.kernels[call.args[0].value]
        tags = list(call.attrs.launch_params)
        values = list(call.args[1:])
        values, extents = values[: len(values) - len(tags)], values[len(values) - len(tags) :]
        launch = {
            tag: convert(extent, self.lets) for tag, extent in zip(tags, extents, strict=True)
        }
        threads = tuple(launch.get(f"threadIdx.{d}", 1) for d in "xyz")
        assert threads == kernel.workgroup_size, f"{kernel.name}: {threads} threads"
        x, y, z = (launch.get(f"blockIdx.{d}", 1) for d in "xyz")
        arguments = []
        scalars = []
        for value in values:
            if getattr(getattr(value, "op", None), "name", "") == "tirx.buffer_data":
                arguments.append(self.places[self._root(value)])
            else:
                scalars.append(convert(value, self.lets))
        # TVM's kernels read their x from blockIdx.z * gridDim.x + blockIdx.x and stop beyond this.
        scalars.append(binary("-", x, 1))
        order = sorted(range(len(arguments)), key=lambda i: _order(arguments[i]))
        self.lowered.dispatches.append(
            Dispatch(
                _normal(kernel, order, scalars, self.symbols),
                tuple(arguments[number] for number in order),
                self.symbols,
                (x, y, z),
            )
        )

    def _root(self, value: Any) -> Any:
        while True:
            if hasattr(value, "op") and hasattr(value, "args"):
                value = value.args[0]
            elif value in self.aliases:
                value = self.aliases[value]
            else:
                return value


def _order(argument: int | str) -> tuple[bool, int | str]:
    """Parameters by number, then scratch buffers by name."""
    return isinstance(argument, str), argument


def _normal(
    kernel: Kernel, order: Sequence[int], scalars: Sequence[Expr], symbols: tuple[str, ...]
) -> Kernel:
    """The kernel with its bindings in `order`, and with `symbols` for its only params.

    scalars: what the params that it has now stand for, over symbols.
    """
    fields = _FIELDS.search(kernel.wgsl)
    assert fields is not None, f"cannot read the WGSL of {kernel.name}"
    lines = [line.split(":") for line in fields[1].strip().split("\n")]
    values = {
        name.strip(): _wgsl(value) if kind.strip(" ,") == "i32" else f"u32({_wgsl(value)})"
        for (name, kind), value in zip(lines, scalars, strict=True)
    }
    place = {old: new for new, old in enumerate(order)}
    head, tail = kernel.wgsl[: fields.start()], kernel.wgsl[fields.end() :]
    head = re.sub(r"@binding\((\d+)\)", lambda match: f"@binding({place[int(match[1])]})", head)
    code = _FIELD.sub(lambda match: values[match[1]], tail)
    if symbols:
        struct = "".join(f"  {name}: i32,\n" for name in symbols)
        head += f"struct PODArgs {{\n{struct}}}\n{fields[2]}{len(order)}"
    else:
        code = code.split("\n", 1)[1].lstrip("\n")  # without the rest of the binding
    return kernel.model_copy(
        update={
            "wgsl": head + code,
            "bindings": tuple(kernel.bindings[number] for number in order),
            "params": ("i32",) * len(symbols),
        }
    )


def _wgsl(expr: Expr) -> str:
    """An i32 expression; sizes are not negative, so `/` floors."""
    if isinstance(expr, int):
        return f"{expr}i"
    if isinstance(expr, str):
        return f"podArgs.{expr}"
    operator, left, right = expr
    if operator in ("min", "max"):
        return f"{operator}({_wgsl(left)}, {_wgsl(right)})"
    return f"({_wgsl(left)} {'/' if operator == '//' else operator} {_wgsl(right)})"
