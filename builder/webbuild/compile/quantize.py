"""Pass 1: weights become the arrays that the pack stores, with a `dequantize` at each use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from webbuild.models.ops import domain_call
from webbuild.quantize import Quantization, StoredArray
from webbuild.quantize.base import MatrixFormat
from webbuild.weights.parameter import Parameter


@dataclass(frozen=True, slots=True)
class Weight:
    """A matrix parameter: its stored arrays and how kernels call the format."""

    parameter: Parameter
    arrays: tuple[StoredArray, ...]
    quant: MatrixFormat

    @property
    def roles(self) -> tuple[str, ...]:
        """What kernels call the arrays."""
        return ("q_weight", "q_scale") if len(self.arrays) == 2 else ("weight",)


def matrices(parameters: Sequence[Parameter], quantization: Quantization) -> dict[str, Weight]:
    """The matrices among `parameters`, by name."""
    return {
        parameter.name: Weight(
            parameter, quantization.stored(parameter), quantization.matrix_format
        )
        for parameter in parameters
        if len(parameter.shape) == 2
    }


def array_type(array: StoredArray, tier: str) -> relax.TensorType:
    """How a kernel of `tier` sees a stored array.

    Without `shader-f16` a shader cannot name f16: it sees words of two, the first in the low half.
    """
    if array.dtype == "float16" and tier == "f32":
        return relax.TensorType([-(-prod(array.shape) // 2)], "uint32")
    return relax.TensorType(list(array.shape), array.dtype)


@mutator
class _Quantizer(PyExprMutator):
    """Gives each use of a matrix a `dequantize` of its own, so that each can be fused away."""

    def __init__(self, uses: Mapping[tvm.ir.Var, tuple[Weight, Sequence[relax.Var]]]) -> None:
        super().__init__()
        self.uses = uses

    def visit_var_(self, var: relax.Var) -> relax.Expr:
        if var not in self.uses:
            return super().visit_var_(var)
        weight, arrays = self.uses[var]
        N, K = weight.parameter.shape
        out = relax.TensorType([N, K], "float32")
        inputs = dict(zip(weight.roles, arrays, strict=True))
        attrs: dict[str, Any] = {"N": N, "K": K, "quant": weight.quant}
        return self.builder_.emit(
            domain_call("dequantize", inputs, "w", out, attrs), name_hint="dequantize"
        )


def quantize(module: tvm.IRModule, weights: Mapping[str, Weight], tier: str) -> tvm.IRModule:
    """Turns every matrix parameter of every function into its stored arrays."""
    functions = {}
    for variable, function in module.functions_items():
        params: list[relax.Var] = []
        uses = {}
        for param in function.params:
            weight = weights.get(param.name)
            if weight is None:
                params.append(param)
                continue
            arrays = [relax.Var(a.name, array_type(a, tier)) for a in weight.arrays]
            uses[param] = (weight, arrays)
            params.extend(arrays)
        body = _Quantizer(uses).visit_expr(function.body)
        functions[variable] = relax.Function(
            params, body, function.ret_ty, function.is_pure, function.attrs
        )
    return tvm.IRModule(functions)
