"""Pass 9: a planned Relax function, read as calls on buffers.

It runs on the module after StaticPlanBlockMemory: straight-line code that allocates storages and
calls PrimFuncs and library ops on them, outputs last.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import tvm
from tvm import relax

from webbuild.models.ops import LIBRARY, DomainCall, read_domain_call
from webbuild.schema.program import Expr

from .expressions import convert

Kind = Literal["weight", "storage", "buffer", "input"]


@dataclass(frozen=True, slots=True)
class Operand:
    """A buffer that a call reads or writes. name: of the array, buffer or input; index: storage."""

    kind: Kind
    name: str = ""
    index: int = -1
    shape: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class TirCall:
    """A call of PrimFunc `name`; the operands are its parameters."""

    name: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class LibraryCall:
    """A call of a library op; operands by the names that kernels give them, output included."""

    op: str
    attrs: dict[str, Any]
    operands: dict[str, Operand]


@dataclass(slots=True)
class Plan:
    """A function: bytes of its storages, and its calls in order."""

    storages: list[Expr] = field(default_factory=list)
    calls: list[TirCall | LibraryCall] = field(default_factory=list)


Value = Operand | list[Any] | int | None  # tuples are lists; a storage is its index


def walk(function: relax.Function, parameter: Callable[[str], Operand], output: Operand) -> Plan:
    """The plan of `function`.

    parameter: what a parameter of that name stands for; a tuple's items are named `name.i`.
    output: where the function's result goes.
    """
    return _Walk(function, parameter, output).plan


class _Walk:
    def __init__(
        self, function: relax.Function, parameter: Callable[[str], Operand], output: Operand
    ) -> None:
        self.plan = Plan()
        self.output = output
        self.values: dict[Any, Value] = {}
        for param in function.params:
            if isinstance(param.ty, tvm.ir.TupleType):
                self.values[param] = [
                    replace(parameter(f"{param.name}.{i}"), shape=_shape(item))
                    for i, item in enumerate(param.ty.fields)
                ]
            else:
                self.values[param] = replace(parameter(param.name), shape=_shape(param.ty))
        for block in function.body.blocks:
            for binding in block.bindings:
                self.values[binding.var] = self._bind(binding.value)
        result = self._value(function.body.body)
        assert isinstance(result, Operand) and result.kind == "buffer", "the result is no output"

    def _value(self, expr: Any) -> Value:
        if expr in self.values:
            return self.values[expr]
        if isinstance(expr, relax.Tuple):
            return [self._value(item) for item in expr.fields]
        if isinstance(expr, relax.TupleGetItem):
            items = self._value(expr.tuple_value)
            assert isinstance(items, list)
            value: Value = items[expr.index]
            return value
        raise NotImplementedError(f"{type(expr).__name__} as a value: {expr}")

    def _operand(self, expr: Any) -> Operand:
        value = self._value(expr)
        assert isinstance(value, Operand), f"{expr} is no buffer"
        return value

    def _bind(self, expr: Any) -> Value:
        if not isinstance(expr, relax.Call):
            return self._value(expr)
        if isinstance(expr.op, tvm.ir.GlobalVar):
            operands = tuple(self._operand(arg) for arg in expr.args)
            self.plan.calls.append(TirCall(expr.op.name_hint, operands))
            return None
        found = read_domain_call(expr.op, expr.args, LIBRARY)
        if found is not None:
            self._library(found, expr.args[-1])
            return None
        match expr.op.name:
            case "relax.memory.alloc_storage":
                self.plan.storages.append(convert(expr.args[0].values[0]))
                return len(self.plan.storages) - 1
            case "relax.memory.alloc_tensor":
                storage = self._value(expr.args[0])
                assert isinstance(storage, int) and convert(expr.args[1]) == 0
                return Operand("storage", index=storage, shape=_sizes(expr.args[2]))
            case "relax.builtin.alloc_tensor":  # not planned, because it leaves the function
                return replace(self.output, shape=_sizes(expr.args[0]))
            case "relax.reshape" | "relax.memory.view":
                return replace(self._operand(expr.args[0]), shape=_sizes(expr.args[1]))
        raise NotImplementedError(f"{expr.op.name} after memory planning: {expr}")

    def _library(self, call: DomainCall, output: Any) -> None:
        operands = {name: self._operand(expr) for name, expr in call.inputs.items()}
        operands[call.output] = self._operand(output)
        self.plan.calls.append(LibraryCall(call.op, call.attrs, operands))


def _shape(type_: Any) -> tuple[Expr, ...]:
    return tuple(convert(size) for size in type_.shape.values)


def _sizes(shape: Any) -> tuple[Expr, ...]:
    return tuple(convert(size) for size in shape.values)
