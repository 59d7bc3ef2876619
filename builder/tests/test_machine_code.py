"""What kernels become on GPUs that this machine does not have."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import pytest

from scripts.figures.machine_code import (
    AMD,
    AmdCode,
    IntelCode,
    NoCompilerError,
    compile_for_amd,
    compile_for_intel,
    kernels_of,
)
from webbuild.schema import Kernel

MOST_REGISTERS = 128
"""Of kernels that read weights for one row: so many leave a SIMD unit of an RDNA 2 eight subgroups,
whose loads hide each other's waits."""


Code = TypeVar("Code", AmdCode, IntelCode)


def compiled(
    compile_for: Callable[[str, dict[str, Kernel]], dict[str, Code]],
    gpu: str,
    kernels: dict[str, Kernel],
) -> dict[str, Code]:
    try:
        return compile_for(gpu, kernels)
    except NoCompilerError as error:
        pytest.skip(str(error))


users = cache(kernels_of)


@pytest.mark.parametrize(("gpu", "tier"), [("RAVEN", "f32"), ("VANGOGH", "f16"), ("NAVI31", "f16")])
def test_kernels_have_registers_enough(gpu: str, tier: str) -> None:
    told = users("llama-3.2-1b", "q4f16_1", tier)
    code = compiled(compile_for_amd, gpu, {key: kernel for key, (kernel, _) in told.items()})
    assert {told[key][0].name: one.spilled for key, one in code.items() if one.spilled} == {}
    single = {
        f"{kernel.name} {key}": code[key].registers
        for key, (kernel, functions) in told.items()
        if "decode" in functions and "columns" not in kernel.name
    }
    assert len(single) == 7
    assert {name: many for name, many in single.items() if many > MOST_REGISTERS} == {}


@pytest.mark.parametrize(("gpu", "tier"), [("KBL", "f32"), ("TGL", "f16"), ("LNL", "f16")])
def test_hot_loops_have_registers_enough_on_intel(gpu: str, tier: str) -> None:
    """A lane has half of AMD's registers. What a decode step runs for each weight stays in them, in
    loops what it runs for each position; elsewhere some goes to memory and back."""
    told = users("llama-3.2-1b", "q4f16_1", tier, gpu)
    decoding = {
        key: kernel
        for key, (kernel, functions) in told.items()
        if "decode" in functions or kernel.name == "attention_partial"
    }
    code = compiled(compile_for_intel, gpu, decoding)
    inside = {decoding[key].name: one.spilled_inside for key, one in code.items()}
    attention = {name: inside.pop(name) for name in list(inside) if name.startswith("attention")}
    # The loop that writes the rows of several columns runs once or a few times.
    several = {name: inside.pop(name) for name in list(inside) if "columns" in name}
    assert inside == dict.fromkeys(inside, 0)
    # Without subgroups there are no kernels of their own for few registers.
    most = 170 if gpu == "KBL" else 3
    assert {name: many for name, many in several.items() if many > most} == {}
    assert len(several) >= 6
    assert attention.keys() == {"attention_decode", "attention_partial"}
    # Loops that run once or twice for a token count too: they turn the query.
    assert {name: many for name, many in attention.items() if many > 70} == {}
    single = {
        f"{decoding[key].name} {key}": one.spilled
        for key, one in code.items()
        if "gemv" in decoding[key].name and "columns" not in decoding[key].name
    }
    assert len(single) == 5
    spilled = {name.split()[0] for name, many in single.items() if many}
    assert spilled == ({"gemv_q4.norm.glu"} if gpu == "KBL" else set())


@pytest.mark.parametrize("gpu", ["VANGOGH", "TGL"])
def test_a_kernel_that_spills_is_told(gpu: str) -> None:
    """400 sums at once, which depend on each other's ends."""
    count = 400
    lines = [f"var s{i} = x[i + {i}u * 64u];" for i in range(count)]
    loop = [f"s{i} = fma(s{i}, s{(i + 7) % count}, s{(i * 3 + 1) % count});" for i in range(count)]
    wgsl = "\n".join(
        [
            "@group(0) @binding(0) var<storage, read> x: array<f32>;",
            "@group(0) @binding(1) var<storage, read_write> y: array<f32>;",
            "@compute @workgroup_size(64) fn main(@builtin(global_invocation_id) at: vec3<u32>) {",
            "let i = at.x;",
            *lines,
            "for (var turn = 0u; turn < arrayLength(&x); turn++) {",
            *loop,
            "}",
            *(f"y[i + {i}u * 64u] = s{i};" for i in range(count)),
            "}",
        ]
    )
    kernel = Kernel(
        name="many",
        origin="library",
        wgsl=wgsl,
        entry_point="main",
        workgroup_size=(64, 1, 1),
        bindings=("read", "read_write"),
    )
    if gpu in AMD:
        told = compiled(compile_for_amd, gpu, {"many": kernel})["many"]
        assert told.spilled > 100
        assert told.registers == 256
    else:
        code = compiled(compile_for_intel, gpu, {"many": kernel})["many"]
        assert code.spilled > 1000
        assert 400 < code.spilled_inside < code.spilled


def test_what_dawn_refuses_is_told() -> None:
    kernel = Kernel(
        name="wrong",
        origin="library",
        wgsl="@compute @workgroup_size(64) fn main() { let a = b; }",
        entry_point="main",
        workgroup_size=(64, 1, 1),
        bindings=(),
    )
    with pytest.raises(ValueError, match="unresolved value 'b'"):
        compiled(compile_for_amd, "VANGOGH", {"wrong": kernel})
    with pytest.raises(ValueError, match="unresolved value 'b'"):
        compiled(compile_for_intel, "TGL", {"wrong": kernel})
