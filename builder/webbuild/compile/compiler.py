"""`compile_model`: a config and a quantisation in, program and kernels out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tvm

from webbuild.errors import InvalidOptionError
from webbuild.models import (
    PAGE_SIZE,
    Decoder,
    DecoderConfig,
    Encoder,
    EncoderConfig,
    ModelConfig,
    encoder_spec,
    module_spec,
    parameters,
    read_config,
)
from webbuild.models.ops import decode_attention_attrs, page_shapes
from webbuild.quantize import get_quantization
from webbuild.schema import Kernel, KernelFile, Program, Tier
from webbuild.schema.pack import Limits, TierMemory
from webbuild.schema.program import Buffer, DType, Expr, Function, Input, KvStore
from webbuild.weights.parameter import Parameter
from webgpu_kernels.attrs import BadAttributeError
from webgpu_kernels.constants import mask_row_words, spare_mask_rows
from webgpu_kernels.launch import Tier as TierName
from webgpu_kernels.records import TuningRecord, shipped_records
from webgpu_kernels.registry import lower

from . import pipeline
from .advice import advised_anywhere, concerning
from .launches import Launches, LibraryOp
from .memory import tier_memory
from .quantize import Weight, matrices
from .segments import Segments
from .symbols import Bounds
from .traces import advised_traces
from .walk import LibraryCall, Operand, Plan, walk

TIERS: tuple[TierName, ...] = ("f16", "f32")
_KV_DTYPE: dict[str, str] = {"f16": "float16", "f32": "float32"}

DEFAULT_CONTEXT = 4096
"""Tokens for which the runtime reserves pages unless told otherwise."""

MAX_BATCH = 32
"""Most sequences that a load can ask for; what it asks for, not this, takes memory."""

RESULT_WORDS = 64
SAMPLING_WORDS = 16


@dataclass(frozen=True, slots=True)
class Compiled:
    """All that a pack needs beside the weights. memory: by tier. ops: every library op once;
    tvm_ops: functions that TVM schedules, likewise."""

    config: ModelConfig
    program: Program
    kernels: KernelFile
    parameters: tuple[Parameter, ...]
    limits: Limits
    memory: dict[str, TierMemory]
    ops: tuple[LibraryOp, ...]
    tvm_ops: tuple[pipeline.TvmOp, ...]


def compile_model(
    config: Mapping[str, Any],
    quantization: str,
    *,
    prefill_chunk: int = 512,
    max_batch: int = MAX_BATCH,
    context_length: int | None = None,
    library: bool = True,
    kv: KvStore = "float",
    dump_dir: Path | None = None,
    progress: Callable[[str], None] | None = None,
    records: Sequence[TuningRecord] | None = None,
) -> Compiled:
    """Compiles a model for both tiers.

    config: a parsed Hugging Face config.json. quantization: a name in `quantize.QUANTIZATIONS`.
    prefill_chunk, max_batch: most tokens and sequences of one step.
    context_length: tokens for which the runtime reserves pages unless told otherwise; at most the
    model's own limit, which is what the program itself can do. Of an encoder: most tokens of a
    text, which a step must hold, so that prefill_chunk is at least as much.
    library: False leaves every kernel but the sampler's to TVM.
    kv: keys and values in the tier's float type, or in int8, which only the library can.
    dump_dir: where to write the module after each pass. progress: called with each stage's name.
    records: of measured tunings; None takes those that ship.

    Raises what `read_config` raises, UnknownQuantizationError, NotDivisibleError,
    InvalidOptionError, TensorTooLargeError and KernelExceedsLimitsError.
    The same arguments give the same result, byte for byte.
    """
    model = read_config(config)
    limits = _limits(model, prefill_chunk, max_batch, context_length)
    bounds = Bounds(limits.prefill_chunk, max_batch, limits.context_length)
    if kv == "int8":
        check_int8(model, library)
    params = parameters(model)
    scheme = get_quantization(quantization)
    weights = matrices(params, scheme)
    segments = Segments(params, scheme)
    records = shipped_records() if records is None else records
    if dump_dir is not None:
        dump_dir.mkdir(parents=True, exist_ok=True)

    tiers: dict[str, Tier] = {}
    kernels: dict[str, Kernel] = {}
    ops: list[LibraryOp] = []
    tvm_ops: list[pipeline.TvmOp] = []
    for tier in TIERS:
        if progress is not None:
            progress(f"compiling the {tier} tier")
        advised = advised_anywhere(records, tier)
        launches = Launches(tier, segments, bounds.maxima, advised)
        modules = _modules(model, weights, launches, bounds, library, kv, dump_dir)
        lowered = pipeline.Kernels(modules, tier, advised_traces(records, tier, advised))
        functions = _functions(model, launches, modules["plan"], lowered)
        tiers[tier] = Tier(
            requires=("shader-f16",) if tier == "f16" else (),
            kv_dtype="int8" if kv == "int8" else tier,
            storages=tuple(launches.storages),
            buffers=_buffers(model, tier, kv),
            functions=functions,
        )
        kernels |= launches.kernels
        ops += launches.ops.values()
        tvm_ops += lowered.ops

    program = Program(
        page_size=PAGE_SIZE,
        symbols=bounds.symbols(),
        inputs=_ENCODER_INPUTS if isinstance(model, EncoderConfig) else _INPUTS,
        segments=segments.segments(),
        tiers=tiers,
    )
    return Compiled(
        config=model,
        program=program,
        kernels=KernelFile(
            kernels=dict(sorted(kernels.items())), records=concerning(records, kernels.values())
        ),
        parameters=params,
        limits=limits,
        memory={
            name: tier_memory(program, tier, bounds.maxima, segments.resident_bytes())
            for name, tier in tiers.items()
        },
        ops=tuple(ops),
        tvm_ops=tuple(tvm_ops),
    )


def _limits(
    model: ModelConfig, prefill_chunk: int, max_batch: int, context_length: int | None
) -> Limits:
    context = model.context_length
    chosen = min(context, context_length or DEFAULT_CONTEXT)
    if isinstance(model, EncoderConfig):
        context, prefill_chunk = chosen, max(prefill_chunk, chosen)
    return Limits(
        context_length=context,
        default_context_length=chosen,
        prefill_chunk=prefill_chunk,
        max_batch=max_batch,
    )


def _modules(
    config: ModelConfig,
    weights: Mapping[str, Weight],
    launches: Launches,
    bounds: Bounds,
    library: bool,
    kv: KvStore,
    dump_dir: Path | None,
) -> dict[str, tvm.IRModule]:
    """The module after each pass."""
    tier = launches.tier
    if isinstance(config, EncoderConfig):
        encoder = Encoder(config)
        module = encoder.export_tvm(spec=encoder_spec(encoder))[0]
    else:
        model = Decoder(config)
        split = library and _decodes(config, tier, kv) is None
        module = model.export_tvm(spec=module_spec(model, _KV_DTYPE[tier], split, kv))[0]
    steps = pipeline.passes(weights, tier, bounds.maxima, launches.segments.can_cut, library)
    return pipeline.run(module, steps, tier, dump_dir)


def _functions(
    model: ModelConfig,
    launches: Launches,
    planned: tvm.IRModule,
    lowered: pipeline.Kernels,
) -> dict[str, Function]:
    names = [variable.name_hint for variable in planned.get_global_vars()]
    functions = {}
    if isinstance(model, EncoderConfig):
        plan = walk(planned["embed"], _parameter, Operand("buffer", "embeddings"))
        return {"embed": launches.function(plan, lowered)}
    for name in ("prefill", "decode", "decode_split"):
        if name in names:  # the last only where the library can
            plan = walk(planned[name], _parameter, Operand("buffer", "logits"))
            functions[name] = launches.function(plan, lowered)
    for name, op, more in (
        ("sample", "sample", {}),
        ("sample_plain", "sample", {"limits": False}),
        ("logprobs", "logprobs", {}),
    ):
        plan = _sampler(op, {"vocab": model.vocab_size, **more})
        functions[name] = launches.function(plan, lowered)
    return functions


def check_int8(decoder: ModelConfig, library: bool) -> None:
    """Raises InvalidOptionError unless keys and values of this model can be kept in int8."""
    if isinstance(decoder, EncoderConfig):
        raise InvalidOptionError("--kv int8: an encoder keeps no keys and values: leave it out")
    if not library:
        raise InvalidOptionError(
            "--kv int8 needs the library's attention kernels: leave out --no-library"
        )
    problem = _decodes(decoder, "f32", "int8")
    if problem is not None:
        raise InvalidOptionError(f"--kv int8 does not fit this model ({problem}): leave it out")


def _decodes(decoder: DecoderConfig, tier: TierName, kv: KvStore) -> BadAttributeError | None:
    """Why the library's attention cannot serve the model, with contexts in pieces, which TVM's
    kernels can't; None if it can."""
    eps = decoder.norm_eps if decoder.qk_norm else None
    heads = decoder.heads, decoder.kv_heads, decoder.head_dim
    try:
        lower("decode_attention", decode_attention_attrs(*heads, eps, split=True, kv=kv), tier)
    except BadAttributeError as problem:
        return problem
    return None


def _parameter(name: str) -> Operand:
    """What a parameter of prefill or decode stands for."""
    if name in _INPUT_NAMES:
        return Operand("input", name)
    if name == "last_tokens" or name.startswith(("kv_k.", "kv_v.")):
        return Operand("buffer", name)
    return Operand("weight", name)


def _sampler(op: str, attrs: dict[str, Any]) -> Plan:
    """`sample` and `logprobs` are library ops on persistent buffers, whatever the model."""
    names = ("logits", "token_counts", "logit_bias", "masks", "sampled", "last_tokens")
    operands = {name: Operand("buffer", name) for name in names}
    operands |= {name: Operand("input", name) for name in ("slots", "sampling")}
    return Plan(calls=[LibraryCall(op, attrs, operands)])


_INPUTS = (
    Input(name="token_ids", dtype="i32", shape=("tokens",)),
    Input(name="positions", dtype="i32", shape=("tokens",)),
    Input(name="token_seq", dtype="i32", shape=("tokens",)),
    Input(name="page_table", dtype="i32", shape=("seqs", "max_pages")),
    Input(name="logit_rows", dtype="i32", shape=("outs",)),
    Input(name="tiles", dtype="i32", shape=("q_tiles", 4)),
    Input(name="work", dtype="i32", shape=(("*", 2, "parts"), 4)),
    Input(name="work_rows", dtype="i32", shape=(("+", "seqs", 1),)),
    Input(name="slots", dtype="i32", shape=("outs",)),
    Input(name="sampling", dtype="u32", shape=("outs", SAMPLING_WORDS)),
)
_ENCODER_INPUTS = (
    *_INPUTS[:3],
    Input(name="texts", dtype="i32", shape=("seqs", 4)),
)
_INPUT_NAMES = frozenset(item.name for item in (*_INPUTS, *_ENCODER_INPUTS))


def _buffers(decoder: ModelConfig, tier: TierName, kv: KvStore) -> tuple[Buffer, ...]:
    if isinstance(decoder, EncoderConfig):
        return (Buffer(name="embeddings", dtype="f32", shape=("seqs", decoder.hidden_size)),)
    keys, values = page_shapes(decoder.kv_heads, decoder.head_dim, kv)
    vocab = decoder.vocab_size
    stored: DType = "u32" if kv == "int8" else tier
    table: list[tuple[str, DType, tuple[Expr, ...]]] = [
        ("last_tokens", "i32", ("slots",)),
        ("logits", "f32", ("outs", vocab)),
        ("token_counts", "u32", ("slots", vocab)),
        ("logit_bias", "f32", ("slots", vocab)),
        ("masks", "u32", (("+", "slots", spare_mask_rows(vocab)), mask_row_words(vocab))),
        ("sampled", "u32", ("outs", RESULT_WORDS)),
    ]
    for layer in range(decoder.layers):
        table += [
            (f"kv_k.{layer}", stored, ("pages", *keys)),
            (f"kv_v.{layer}", stored, ("pages", *values)),
        ]
    return tuple(Buffer(name=name, dtype=dtype, shape=shape) for name, dtype, shape in table)
