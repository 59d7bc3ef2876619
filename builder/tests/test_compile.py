"""The compiler: what programs look like, what they never exceed, and that builds repeat.

That their logits are right is the business of test_logits.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import tvm
from tvm import tirx
from tvm_ffi import structural_hash

from webbuild.compile import Compiled, compile_model
from webbuild.compile import segments as segments_module
from webbuild.compile.codegen import TARGET
from webbuild.compile.expressions import binary, convert, product, substitute
from webbuild.compile.limits import check_aliases, check_limits
from webbuild.compile.pipeline import passes
from webbuild.compile.quantize import matrices
from webbuild.compile.segments import Segments
from webbuild.compile.symbols import Bounds
from webbuild.compile.walk import Operand
from webbuild.errors import (
    InvalidOptionError,
    KernelExceedsLimitsError,
    NotDivisibleError,
    TensorTooLargeError,
    UnknownQuantizationError,
)
from webbuild.models import Decoder, module_spec, parameters, read_decoder
from webbuild.native import NativeModel
from webbuild.pack import Reporter, pack_model
from webbuild.quantize import get_quantization
from webbuild.reference import TINY, measure, reference_model, write_tiny
from webbuild.schema import Kernel, Launch
from webbuild.schema.check import MAX_BINDING_BYTES, check
from webbuild.schema.pack import ModelInfo, PackFile, PackManifest, Provenance, Tokens
from webbuild.schema.program import WeightBinding
from webbuild.schema.tensor_cache import ShardRecord, TensorCache, TensorRecord
from webbuild.sources import open_source

QUANTS = ("q4f16_1", "q8f16_1", "q0f16", "q0f32")
CASES = [
    (name, quantization, library)
    for number, name in enumerate(TINY)
    for quantization in (QUANTS if name == "llama-gqa" else (QUANTS[number % len(QUANTS)],))
    for library in (True, False)
    if not ("odd" in name and not quantization.startswith("q0"))
]

LARGE = TINY["llama-gqa"] | {
    "vocab_size": 128256,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 1,
}
"""One layer of Llama 3 8B."""


@cache
def compiled(name: str, quantization: str, library: bool) -> Compiled:
    return compile_model(TINY[name], quantization, library=library)


def validate(result: Compiled, config: dict[str, Any], quantization: str) -> None:
    """Runs the checks that a pack's readers run, with a manifest made up for the purpose."""
    decoder = read_decoder(config)
    arrays = [a for p in result.parameters for a in get_quantization(quantization).stored(p)]
    records = []
    offset = 0
    for array in arrays:
        records.append(
            TensorRecord(
                name=array.name,
                shape=array.shape,
                dtype=array.dtype,  # type: ignore[arg-type]
                format="raw",
                nbytes=array.nbytes,
                byteOffset=offset,
            )
        )
        offset += array.nbytes
    shard = ShardRecord(
        dataPath="params_shard_0.bin",
        format="raw-shard",
        nbytes=offset,
        records=tuple(records),
        md5sum=hashlib.md5(b"").hexdigest(),
    )

    def file(path: str, role: Any, nbytes: int = 1) -> PackFile:
        return PackFile(path=path, role=role, nbytes=nbytes, sha256="0" * 64)

    manifest = PackManifest(
        model=ModelInfo(
            name="test",
            architecture=decoder.architecture,
            family=decoder.family,
            parameters=1,
            vocab_size=decoder.vocab_size,
            hidden_size=decoder.hidden_size,
            layers=decoder.layers,
            heads=decoder.heads,
            kv_heads=decoder.kv_heads,
            head_dim=decoder.head_dim,
            intermediate_size=decoder.intermediate_size,
            tied_embeddings=decoder.tied_embeddings,
            config=config,
        ),
        quantization=quantization,  # type: ignore[arg-type]
        limits=result.limits,
        tokens=Tokens(bos=None, eos=(2,), pad=None),
        memory=result.memory,
        files=(
            file("program.json", "program"),
            file("kernels.json", "kernels"),
            file("tensor-cache.json", "tensor_cache"),
            file("params_shard_0.bin", "weights", offset),
        ),
        provenance=Provenance(source="test", revision=None, webbuild_version="0"),
    )
    check(manifest, result.program, result.kernels, TensorCache(records=(shard,)))


def in_layer(launches: tuple[Launch, ...], layer: int) -> list[Launch]:
    """Those that every step runs: grids of `shared_works` are empty unless prefixes are shared."""
    return [
        launch
        for launch in launches
        if launch.label.startswith(f"layers.{layer}.") and "shared_works" not in str(launch.grid)
    ]


# --- programs --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "quantization", "library"), CASES)
def test_every_variation_compiles_to_a_valid_program(
    name: str, quantization: str, library: bool
) -> None:
    result = compiled(name, quantization, library)
    validate(result, TINY[name], quantization)
    used = set()
    for tier in result.program.tiers.values():
        assert ("decode_split" in tier.functions) == (library and "odd" not in name)
        for function, wanted in (("prefill", 6), ("decode", 5), ("decode_split", 6)):
            if function not in tier.functions:
                continue
            launches = tier.functions[function].launches
            for layer in range(result.config.layers):
                count = len(in_layer(launches, layer))
                if "odd" in name:  # its attention comes from TVM
                    wanted = 6
                assert count == wanted if library else count <= 10, f"{function}, layer {layer}"
            outside = [la.label for la in launches if not la.label.startswith("layers.")]
            assert outside == ["embed", "head"] or not library
            origins = {result.kernels.kernels[launch.kernel].origin for launch in launches}
            if not library:
                assert origins == {"tvm"}
        whole, plain = (
            [result.kernels.kernels[launch.kernel].name for launch in tier.functions[name].launches]
            for name in ("sample", "sample_plain")
        )
        assert whole == ["sample_adjust", "sample_pick"]
        assert plain == ["sample_adjust", "sample_pick.plain"]
        launches_of_tier = [launch for f in tier.functions.values() for launch in f.launches]
        used |= {launch.kernel for launch in launches_of_tier}
        used |= {other.kernel for launch in launches_of_tier for other in launch.alternatives}
        few = [few for f in tier.functions.values() for table in f.few for few in table]
        used |= {one.kernel for one in few}
        used |= {other.kernel for one in few for other in one.alternatives}
    assert used == set(result.kernels.kernels), "kernels that nothing launches"


@pytest.mark.parametrize("head_dim", [128, 192, 256])
def test_kernels_for_few_registers_never_stand_in_for_the_tier_s_own(head_dim: int) -> None:
    """Heads so wide that a workgroup has one anyway need no kernel of that kind."""
    config = TINY["llama-gqa"] | {"head_dim": head_dim}
    result = compile_model(config, "q4f16_1")
    validate(result, config, "q4f16_1")
    kernels = result.kernels.kernels
    for tier in result.program.tiers.values():
        for launch in tier.functions["prefill"].launches:
            assert "narrow-subgroups" not in kernels[launch.kernel].features
    narrow = [one for one in kernels.values() if one.name.startswith("attention_prefill.narrow")]
    assert bool(narrow) == (head_dim == 128)


@pytest.mark.parametrize("library", [True, False])
def test_the_f32_tier_needs_no_feature(library: bool) -> None:
    result = compiled("llama-gqa", "q4f16_1", library)
    f16, f32 = result.program.tiers["f16"], result.program.tiers["f32"]
    assert f16.requires == ("shader-f16",)
    assert f32.requires == ()
    for function in f32.functions.values():
        for launch in function.launches:
            kernel = result.kernels.kernels[launch.kernel]
            assert kernel.features == ()
            assert not re.search(r"\bf16\b", re.sub(r"//.*", "", kernel.wgsl)), kernel.name


def test_hot_ops_come_from_the_library() -> None:
    result = compiled("qwen3", "q4f16_1", True)
    for tier in result.program.tiers.values():
        for function in tier.functions.values():
            for launch in function.launches:
                assert result.kernels.kernels[launch.kernel].origin == "library", launch.label


def test_what_the_library_lacks_comes_from_tvm() -> None:
    # head_dim 18 is no multiple of 4, which the attention kernels want.
    result = compiled("llama-odd", "q0f16", True)
    launches = result.program.tiers["f32"].functions["decode"].launches
    origin = {
        launch.label: result.kernels.kernels[launch.kernel].origin
        for launch in in_layer(launches, 0)
    }
    assert origin["layers.0.attention"] == origin["layers.0.rope_append"] == "tvm"
    assert origin["layers.0.qkv_proj"] == "library"


def test_norm_bias_residual_and_activation_have_no_launch_of_their_own() -> None:
    result = compiled("llama-linear-rope-bias", "q0f32", True)
    launches = result.program.tiers["f32"].functions["decode"].launches
    names = [result.kernels.kernels[launch.kernel].name for launch in in_layer(launches, 1)]
    assert names == [
        "gemv_f32.norm.bias",
        "attention_decode",
        "gemv_f32.bias.residual",
        "gemv_f32.norm.glu.bias",
        "gemv_f32.bias.residual",
    ]


def test_only_the_wanted_rows_reach_the_head() -> None:
    result = compiled("llama-gqa", "q4f16_1", True)
    tier = result.program.tiers["f32"]
    for name, kernel in (("prefill", "gemv_q4.norm.gather"), ("decode", "gemv_q4.norm")):
        head = tier.functions[name].launches[-1]
        assert head.label == "head"
        assert result.kernels.kernels[head.kernel].name == kernel
        rows = {"prefill": "outs", "decode": "seqs"}[name]
        assert rows in json.dumps(head.grid) and "tokens" not in json.dumps(head.grid)


def test_a_tied_head_binds_the_embedding() -> None:
    result = compiled("qwen2-tied", "q0f16", True)
    launches = result.program.tiers["f32"].functions["decode"].launches

    def tensors(launch: Launch) -> set[str]:
        return {
            result.program.segments[binding.segment].tensor
            for binding in launch.bindings
            if isinstance(binding, WeightBinding)
        }

    assert launches[0].label == "embed" and launches[-1].label == "head"
    assert tensors(launches[0]) == {"model.embed_tokens.weight"} < tensors(launches[-1])


def test_memory_counts_what_the_runtime_allocates() -> None:
    result = compiled("llama-gqa", "q4f16_1", True)
    config = read_decoder(TINY["llama-gqa"])
    page = 2 * config.layers * config.kv_heads * config.head_dim * result.program.page_size
    assert result.memory["f32"].page_bytes == 4 * page
    assert result.memory["f16"].page_bytes == 2 * page
    resident = sum(
        segment.nbytes * (2 if segment.transform == "f16_to_f32" else 1)
        for segment in result.program.segments
    )
    assert result.memory["f32"].weights == resident


# --- sizes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantization", QUANTS)
def test_no_binding_exceeds_128_mib(quantization: str) -> None:
    result = compile_model(LARGE, quantization)
    validate(result, LARGE, quantization)
    stored = {
        array.name: array
        for parameter in result.parameters
        for array in get_quantization(quantization).stored(parameter)
    }
    ranges: dict[str, list[tuple[int, int]]] = {}
    for segment in result.program.segments:
        assert segment.nbytes <= MAX_BINDING_BYTES
        end = segment.offset + segment.nbytes
        ranges.setdefault(segment.tensor, []).append((segment.offset, end))
    assert ranges.keys() == stored.keys()
    for name, pieces in ranges.items():
        pieces.sort()
        assert pieces[0][0] == 0 and pieces[-1][1] == stored[name].nbytes, name
        assert all(end == begin for (_, end), (begin, _) in pairwise(pieces)), name
        if "embed_tokens" in name:
            row = stored[name].nbytes // LARGE["vocab_size"]
            assert all(begin % (256 * row) == 0 for begin, _ in pieces), name
    table = "model.embed_tokens." + ("weight" if quantization.startswith("q0") else "q_weight")
    count = len(ranges[table])
    assert count > 1
    for function in ("prefill", "decode"):
        labels = [la.label for la in result.program.tiers["f32"].functions[function].launches]
        assert labels.count("embed") == labels.count("head") == count
    gate_up = ranges["model.layers.0.mlp.gate_up_proj." + table.rsplit(".", 1)[1]]
    assert gate_up[-1][1] // 2 in [begin for begin, _ in gate_up]


@pytest.mark.gpu
def test_cut_matrices_give_the_same_logits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every matrix of a tiny model in pieces: with bias, residual, gate and up, gathered rows.
    monkeypatch.setattr(segments_module, "MAX_BINDING_BYTES", 4096)
    monkeypatch.setattr(segments_module, "ROW_MULTIPLE", 16)
    source = write_tiny("llama-linear-rope-bias", tmp_path)
    scheme = get_quantization("q4f16_1")
    pack_model(open_source(str(source)), scheme, tmp_path / "pack", Reporter(quiet=True))
    reference = reference_model(source, tmp_path / "pack")
    model = NativeModel.open(tmp_path / "pack", "f32")
    names = [kernel.name for kernel in model.pack.kernels.kernels.values()]
    for variant in ("embed_q4", "gemm_q4.norm.glu.bias", "gemv_q4.bias.residual"):
        assert f"{variant}.split" in names
    assert measure(model, reference) <= 1e-3


def test_tvm_kernels_cannot_take_a_matrix_in_pieces() -> None:
    with pytest.raises(TensorTooLargeError, match=r"model\.embed_tokens\.q_weight"):
        compile_model(LARGE, "q4f16_1", library=False)


@pytest.mark.parametrize(
    ("model", "library", "problem"),
    [("llama-gqa", False, "--no-library"), ("llama-odd", True, "`D` is 18")],
)
def test_int8_keys_and_values_need_the_library(model: str, library: bool, problem: str) -> None:
    with pytest.raises(InvalidOptionError, match=f"--kv int8.*{problem}"):
        compile_model(TINY[model], "q0f16", library=library, kv="int8")


def test_an_activation_must_fit_a_binding() -> None:
    with pytest.raises(TensorTooLargeError, match="prefill chunk"):
        compile_model(LARGE, "q4f16_1", prefill_chunk=4096)


def test_grids_of_tvm_kernels_spread_over_z() -> None:
    # 512 tokens · 2 · 28672 columns / 256 threads are more workgroups than one dimension may have.
    config = LARGE | {"vocab_size": 1000, "intermediate_size": 28672, "hidden_size": 256}
    result = compile_model(config, "q0f16", library=False)
    validate(result, config, "q0f16")
    launches = result.program.tiers["f32"].functions["prefill"].launches
    assert any(launch.grid[2] != 1 for launch in launches)


def test_limits_are_named_with_the_operation() -> None:
    def kernel(**change: Any) -> Kernel:
        fields = {
            "name": "k",
            "origin": "tvm",
            "wgsl": "",
            "entry_point": "main",
            "workgroup_size": (64, 1, 1),
            "bindings": ("read",),
        }
        return Kernel(**(fields | change))

    check_limits("layers.0.attention", kernel(), (65535, 1, 1))
    for bad, grid, said in (
        (kernel(bindings=("read",) * 11), (1, 1, 1), "11 storage buffers"),
        (kernel(workgroup_bytes=16385), (1, 1, 1), "workgroup memory"),
        (kernel(workgroup_size=(32, 32, 1)), (1, 1, 1), "workgroup of"),
        (kernel(), (65536, 1, 1), "grid of"),
    ):
        with pytest.raises(KernelExceedsLimitsError, match=rf"layers\.0\.attention.*{said}"):
            check_limits("layers.0.attention", bad, grid)
    twice = [Operand("storage", index=0)] * 2
    with pytest.raises(AssertionError, match="reads and writes"):
        check_aliases("x", kernel(bindings=("read", "read_write")), twice)


def test_sizes_that_do_not_divide_are_named() -> None:
    with pytest.raises(NotDivisibleError, match="95 columns"):
        compile_model(TINY["llama-odd"], "q4f16_1")
    with pytest.raises(UnknownQuantizationError, match="q4f16_1"):
        compile_model(TINY["llama-gqa"], "q3")


# --- passes ----------------------------------------------------------------------------------


def pipeline(name: str, tier: Any) -> tuple[tvm.IRModule, list[tuple[str, Any]]]:
    config = read_decoder(TINY[name])
    model = Decoder(config)
    module = model.export_tvm(spec=module_spec(model, {"f16": "float16", "f32": "float32"}[tier]))[
        0
    ]
    params, scheme = parameters(config), get_quantization("q4f16_1")
    segments = Segments(params, scheme)
    maxima = Bounds(512, 4, config.context_length).maxima
    return module, passes(matrices(params, scheme), tier, maxima, segments.can_cut, True)


def test_passes_are_pure() -> None:
    module, steps = pipeline("qwen3", "f16")
    assert len(steps) <= 12
    for name, transform in steps:
        before = structural_hash(module)
        with TARGET:
            after = transform(module)
            again = transform(module)
        assert structural_hash(module) == before, f"{name} changed its input"
        assert structural_hash(after) == structural_hash(again), f"{name} does not repeat"
        module = after


def test_the_module_after_each_pass_can_be_read(tmp_path: Path) -> None:
    compile_model(TINY["llama-gqa"], "q4f16_1", dump_dir=tmp_path / "dump")
    files = sorted(path.name for path in (tmp_path / "dump").iterdir())
    names = ["quantize", "match", "legalize", "fuse", "schedule", "lower", "plan"]
    assert files == sorted(
        f"{number:02}-{name}.{tier}.py"
        for number, name in enumerate(names, start=1)
        for tier in ("f16", "f32")
    )
    text = (tmp_path / "dump" / "02-match.f32.py").read_text("utf-8")
    assert "library.linear" in text and "R.matmul" not in text


_HASHES = """
import hashlib, json, sys
from webbuild.compile import compile_model
config = json.loads(sys.argv[1])
for quantization, library in (("q4f16_1", True), ("q0f16", False)):
    result = compile_model(config, quantization, library=library)
    for part in (result.program, result.kernels):
        print(hashlib.sha256(part.model_dump_json().encode()).hexdigest())
"""


def test_builds_repeat_whatever_the_hash_seed() -> None:
    config = json.dumps(TINY["qwen3-tied-bias"])
    runs = [
        subprocess.run(
            [sys.executable, "-c", _HASHES, config],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert len(re.findall(r"^[0-9a-f]{64}$", runs[0], re.MULTILINE)) == 4


# --- expressions -----------------------------------------------------------------------------


def test_expressions_convert_and_fold() -> None:
    n = tirx.Var("tokens", "int64")
    assert convert(tirx.floordiv(n + 3, tirx.IntImm("int64", 4))) == (
        "//",
        ("+", "tokens", 3),
        4,
    )
    assert convert(tirx.shift_right(n, tirx.IntImm("int64", 3))) == ("//", "tokens", 8)
    assert binary("*", 1, "seqs") == "seqs"
    assert binary("-", 7, 3) == 4
    assert product(("seqs", 1, 3), 4) == ("*", 3, ("*", "seqs", 4))
    assert substitute(("*", "n", 2), {"n": ("+", "tokens", 0)}) == ("*", ("+", "tokens", 0), 2)
    with pytest.raises(NotImplementedError, match="Select"):
        convert(tirx.Select(n > 0, n, n + 1))
