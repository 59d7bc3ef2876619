"""Pass 2: patterns of hot ops become calls of the kernel library.

A library call is a domain call (`webbuild.models.ops`) under another prefix. What the library
cannot serve is left as it is, for `legalize`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tvm
from tvm import relax, tirx
from tvm.relax.dpl import DFPattern, is_op, is_tuple_get_item, rewrite_call, wildcard
from tvm.relax.dpl.pattern import ExternFuncPattern
from tvm_ffi import structural_equal

from webbuild.models.ops import LIBRARY, PREFIX, DomainCall, domain_call
from webgpu_kernels.attrs import BadAttributeError
from webgpu_kernels.launch import Tier
from webgpu_kernels.registry import lower

from .legalize import domain_call_of
from .modules import replaced

CanCut = Callable[[list[str], int], bool]
Matched = Mapping[DFPattern, relax.Expr]

_LIBRARY_OPS = ("rope_append", "attention", "decode_attention", "text_attention")


def match(module: tvm.IRModule, tier: Tier, can_cut: CanCut) -> tvm.IRModule:
    """Sends to the library what it has kernels for, the largest patterns first.

    can_cut: whether the named stored arrays may be bound from a given row on (`Segments.can_cut`).
    """
    rules = [rule(tier, can_cut) for rule in (_Embed, _Glu, _TwoSums, _Sum, _Product, _Domain)]
    functions = {}
    for variable, function in module.functions_items():
        if isinstance(function, relax.Function):
            for rule in rules:
                function = rewrite_call(rule.pattern, rule.rewrite, function)
            functions[variable] = function
    return relax.transform.DeadCodeElimination()(replaced(module, functions))


class _Rule:
    """A pattern and what a match becomes."""

    pattern: DFPattern

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        self.tier = tier
        self.can_cut = can_cut

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        """The library call that replaces `call`, or `call` itself."""
        raise NotImplementedError

    def library_call(
        self,
        original: relax.Call,
        op: str,
        inputs: Mapping[str, relax.Expr],
        output: str,
        attrs: Mapping[str, Any],
    ) -> relax.Expr:
        """The call of library op `op`, or `original` if the library has no kernel for it."""
        try:
            lower(op, attrs, self.tier)
        except BadAttributeError:
            return original
        return domain_call(op, inputs, output, original.ty, attrs, prefix=LIBRARY)


def _domain(op: str = "") -> DFPattern:
    callee = ExternFuncPattern(PREFIX + op if op else "")
    return is_op("relax.call_dps_packed")(callee, wildcard())


class _Linear(_Rule):
    """[rms_norm](x or take(x, rows)) · Wᵀ, and what subclasses add to it."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.x, self.rows, self.gamma = wildcard(), wildcard(), wildcard()
        self.gathered = is_op("relax.take")(self.x, self.rows)
        source = self.gathered | self.x
        self.norm = is_op("relax.nn.rms_norm")(source, self.gamma)
        self.weight = _domain("dequantize")
        self.core = is_op("relax.matmul")(
            self.norm | source, is_op("relax.permute_dims")(self.weight)
        )

    def linear(
        self,
        call: relax.Call,
        matched: Matched,
        addends: tuple[relax.Expr, ...] = (),
        glu: bool = False,
    ) -> relax.Expr:
        """The `linear` that stands for the match; vectors among `addends` are biases."""
        weight = domain_call_of(matched[self.weight])
        assert weight is not None
        x = matched[self.x]
        biases = [addend for addend in addends if addend.ty.ndim == 1]
        residuals = [addend for addend in addends if addend.ty.ndim != 1]
        norm = matched.get(self.norm)
        gathered = matched.get(self.gathered)
        unfit = (
            x.ty.ndim != 2
            or len(biases) > 1
            or len(residuals) > 1
            or any(not structural_equal(r.ty.shape, call.ty.shape) for r in residuals)
            or (norm is not None and [int(axis) for axis in norm.attrs.axes] != [-1])
            or (gathered is not None and gathered.attrs.axis != 0)
            or not isinstance(x.ty.shape.values[0], tirx.Var)  # an embedding's table, not tokens
        )
        if unfit:
            return call
        N, K = weight.attrs["N"], weight.attrs["K"]
        if any(int(bias.ty.shape.values[0]) != N for bias in biases):
            return call
        if glu:
            N //= 2
            arrays = [array.name for array in (*weight.inputs.values(), *biases)]
            if not self.can_cut(arrays, N):
                return call
        rows_symbol = str(call.ty.shape.values[0].name)
        attrs = {
            "N": N,
            "K": K,
            "quant": weight.attrs["quant"],
            # Prefill computes many rows at once, but for its head.
            "mode": "gemm" if rows_symbol == "tokens" else "gemv",
            "norm": None if norm is None else float(norm.attrs.epsilon),
            "bias": bool(biases),
            "residual": bool(residuals),
            "glu": glu,
            "gather": gathered is not None,
            "rows_symbol": rows_symbol,
        }
        inputs = {"x": x, **weight.inputs}
        if norm is not None:
            inputs["gamma"] = matched[self.gamma]
        if biases:
            inputs["bias"] = biases[0]
        if residuals:
            inputs["residual"] = residuals[0]
        if gathered is not None:
            inputs["rows"] = matched[self.rows]
        return self.library_call(call, "linear", inputs, "y", attrs)


def _either_side(value: DFPattern, other: DFPattern) -> DFPattern:
    return is_op("relax.add")(value, other) | is_op("relax.add")(other, value)


class _Product(_Linear):
    """The product alone."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.pattern = self.core

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        return self.linear(call, matched)


class _Sum(_Linear):
    """The product with a bias or a residual."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.addend = wildcard()
        self.pattern = _either_side(self.core, self.addend)

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        return self.linear(call, matched, (matched[self.addend],))


class _TwoSums(_Linear):
    """The product with a bias and a residual."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.first, self.second = wildcard(), wildcard()
        self.pattern = _either_side(_either_side(self.core, self.first), self.second)

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        return self.linear(call, matched, (matched[self.first], matched[self.second]))


class _Glu(_Linear):
    """silu(gate) · up of the two halves of one product, with or without bias."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.bias = wildcard()
        self.biased = is_op("relax.add")(self.core, self.bias)
        self.halves = is_op("relax.split")(self.biased | self.core)
        gate = is_op("relax.nn.silu")(is_tuple_get_item(self.halves, 0))
        up = is_tuple_get_item(self.halves, 1)
        self.pattern = is_op("relax.multiply")(gate, up) | is_op("relax.multiply")(up, gate)

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        split = matched[self.halves]
        widths = {int(half.shape.values[-1]) for half in split.ty.fields}
        if split.attrs.axis not in (-1, 1) or len(split.ty.fields) != 2 or len(widths) != 1:
            return call
        biases = (matched[self.bias],) if self.biased in matched else ()
        return self.linear(call, matched, biases, glu=True)


class _Embed(_Rule):
    """Rows of a table by token id."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.table, self.ids = _domain("dequantize"), _domain("resolve")
        self.pattern = is_op("relax.take")(self.table, self.ids)

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        table, ids = domain_call_of(matched[self.table]), domain_call_of(matched[self.ids])
        assert table is not None and ids is not None
        # The kernel's grid counts `tokens`; in decode there are as many as sequences.
        if call.attrs.axis != 0:
            return call
        attrs = {
            "vocab": table.attrs["N"],
            "D": table.attrs["K"],
            "quant": table.attrs["quant"],
        }
        return self.library_call(call, "embed", {**ids.inputs, **table.inputs}, "x", attrs)


class _Domain(_Rule):
    """Ops that models already call by the library's names."""

    def __init__(self, tier: Tier, can_cut: CanCut) -> None:
        super().__init__(tier, can_cut)
        self.pattern = _domain()

    def rewrite(self, call: relax.Call, matched: Matched) -> relax.Expr:
        found: DomainCall | None = domain_call_of(call)
        if found is None or found.op not in _LIBRARY_OPS:
            return call
        return self.library_call(call, found.op, found.inputs, found.output, found.attrs)
