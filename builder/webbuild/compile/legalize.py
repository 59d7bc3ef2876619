"""Pass 3: whatever no library kernel took becomes TIR that TVM can schedule."""

from __future__ import annotations

import json
from typing import Any

import tvm
from tvm import relax
from tvm.relax.expr_functor import PyExprMutator, mutator

from webbuild.models.ops import PAGES, DomainCall, read_domain_call

from . import domain, encoder_domain

# How FuseOps treats a PrimFunc: this kind takes element-wise consumers into its output.
_OUT_EWISE_FUSABLE = 4


def legalize(module: tvm.IRModule) -> tvm.IRModule:
    """Lowers our own ops to `domain`'s TIR and TVM's to TOPI's.

    `dequantize` goes into the product or the gather that reads it: a whole f32 matrix never exists.
    """
    module = _rewrite(_IntoConsumers, module)
    module = relax.transform.DeadCodeElimination()(module)
    module = _rewrite(_Domain, module)
    return relax.transform.LegalizeOps()(module)


def domain_call_of(expr: relax.Expr) -> DomainCall | None:
    """`expr` as a call of a domain op, or None."""
    if not isinstance(expr, relax.Call) or getattr(expr.op, "name", "") != "relax.call_dps_packed":
        return None
    return read_domain_call(expr.args[0], list(expr.args[1].fields))


def _rewrite(kind: type[Any], module: tvm.IRModule) -> tvm.IRModule:
    mutator = kind(module)
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            mutator.builder_.update_func(variable, mutator.visit_expr(function))
    return mutator.builder_.get()


@mutator
class _IntoConsumers(PyExprMutator):
    """matmul(x, permute_dims(dequantize(w))) and take(dequantize(w), ids) as one PrimFunc each."""

    def _bound(self, expr: relax.Expr) -> relax.Expr:
        value = self.lookup_binding(expr) if isinstance(expr, relax.Var) else None
        return expr if value is None else value

    def _dequantize(self, expr: relax.Expr) -> DomainCall | None:
        call = domain_call_of(self._bound(expr))
        return call if call and call.op == "dequantize" else None

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        name = getattr(call.op, "name", "")
        if name == "relax.matmul":
            transposed = self._bound(call.args[1])
            if getattr(getattr(transposed, "op", None), "name", "") == "relax.permute_dims":
                weight = self._dequantize(transposed.args[0])
                if weight and call.args[0].ty.ndim == 2:
                    return self._fused(domain.linear, "linear", call.args[0], weight)
        elif name == "relax.take" and call.attrs.axis == 0:
            weight = self._dequantize(call.args[0])
            if weight and call.args[1].ty.ndim == 1:
                return self._fused(domain.take_rows, "take_rows", call.args[1], weight)
        return super().visit_call_(call)

    def _fused(self, te: Any, name: str, first: relax.Expr, weight: DomainCall) -> relax.Expr:
        quant, shape = weight.attrs["quant"], (weight.attrs["N"], weight.attrs["K"])
        return self.builder_.call_te(
            lambda *tensors: te(quant, shape, *tensors),
            self.visit_expr(first),
            *map(self.visit_expr, weight.inputs.values()),
            primfunc_name_hint=name,
            primfunc_attrs={"op_pattern": _OUT_EWISE_FUSABLE},
        )


@mutator
class _Domain(PyExprMutator):
    """The remaining domain ops, one PrimFunc each."""

    def __init__(self, module: tvm.IRModule) -> None:
        super().__init__(module)
        self.functions: dict[tuple[Any, ...], tvm.ir.GlobalVar] = {}

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        found = domain_call_of(call)
        if found is None or not hasattr(self, f"_{found.op}"):
            return super().visit_call_(call)
        inputs = {name: self.visit_expr(value) for name, value in found.inputs.items()}
        lowered: relax.Expr = getattr(self, f"_{found.op}")(found.attrs, inputs, call.ty)
        return lowered

    def _dequantize(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        return self.builder_.call_te(
            lambda *arrays: domain.dequantize(attrs["quant"], (attrs["N"], attrs["K"]), arrays),
            *inputs.values(),
            primfunc_name_hint="dequantize",
        )

    def _resolve(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        return self.builder_.call_te(domain.resolve, *inputs.values(), primfunc_name_hint="resolve")

    def _rope_append(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        if attrs["qk_norm"] is not None:
            gammas = inputs.pop("q_gamma"), inputs.pop("k_gamma")
            inputs["qkv"] = self.builder_.emit_te(
                lambda *tensors: domain.qk_norm(attrs, *tensors),
                inputs["qkv"],
                *gammas,
                primfunc_name_hint="qk_norm",
            )
        return self._tir(domain.rope_append, attrs, inputs, out)

    def _attention(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        inputs.pop("tiles", None)  # how the library cuts the work; not needed here
        return self._tir(domain.attention, attrs, inputs, out)

    def _decode_attention(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        pages = {name: inputs[name] for name in ("kv_k", "kv_v", *PAGES)}
        q = self.builder_.emit(self._rope_append(attrs, inputs, out), name_hint="q")
        return self._attention(attrs, {"q": q, **pages}, out)

    def _text_attention(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        return self._tir(encoder_domain.text_attention, attrs, inputs, out, ())

    def _layer_norm(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        columns = int(out.shape.values[-1])
        return self._tir(encoder_domain.layer_norm, attrs, inputs, out, (columns,))

    def _pool(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        return self._tir(encoder_domain.pool, attrs, inputs, out, (int(out.shape.values[-1]),))

    def _gelu(self, attrs: Any, inputs: Any, out: Any) -> relax.Expr:
        return self.builder_.call_te(
            encoder_domain.gelu, *inputs.values(), primfunc_name_hint="gelu"
        )

    def _tir(
        self, make: Any, attrs: Any, inputs: Any, out: Any, about: tuple[Any, ...] | None = None
    ) -> relax.Expr:
        """about: what `make` takes beside attrs; None: the type of the KV pages."""
        about = (inputs["kv_k"].ty.dtype,) if about is None else about
        key = (make, json.dumps(attrs), about)
        if key not in self.functions:  # parsing TVMScript is slow, and layers are alike
            function = make(attrs, *about)
            self.functions[key] = self.builder_.add_func(function, make.__name__)
        return relax.call_tir(self.functions[key], list(inputs.values()), out)
