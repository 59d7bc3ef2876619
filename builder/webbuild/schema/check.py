"""What a schema cannot say: that a pack's files agree with each other and with WebGPU's rules.

`check` passes exactly what every executor can load; it looks at no weight bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod

from webbuild.errors import InvalidProgramError, NotAPackError, WebbuildError

from .expression import evaluate, symbols_of
from .kernels import Kernel, KernelFile, kernel_id
from .pack import PackManifest
from .program import (
    Alternative,
    BufferBinding,
    Expr,
    Function,
    InputBinding,
    Launch,
    Program,
    StorageBinding,
    Tier,
    WeightBinding,
)
from .tensor_cache import TensorCache, TensorRecord

#: What every WebGPU adapter offers (the specification's default limits), but for the storage
#: buffers of a stage: browsers on desktop and phone all give ten.
MAX_BINDING_BYTES = 128 * 2**20
MAX_STORAGE_BUFFERS = 10
MAX_WORKGROUP_BYTES = 16384
MAX_WORKGROUP = (256, 256, 64)
MAX_INVOCATIONS = 256
MAX_GRID = 65535

ITEM_BYTES = {"float16": 2, "float32": 4, "uint32": 4, "f16": 2, "f32": 4, "i32": 4, "u32": 4}
FUNCTIONS = ("prefill", "decode", "sample", "logprobs")
#: What an encoder has instead.
ENCODER_FUNCTIONS = ("embed",)
ENCODER_INPUTS = {"token_ids": "i32", "positions": "i32", "token_seq": "i32", "texts": "i32"}
ENCODER_BUFFERS = {"embeddings": "f32"}
#: Step-block arrays that hosts know how to fill, with their types.
INPUTS = {
    "token_ids": "i32",
    "positions": "i32",
    "token_seq": "i32",
    "page_table": "i32",
    "logit_rows": "i32",
    "tiles": "i32",
    "work": "i32",
    "work_rows": "i32",
    "slots": "i32",
    "sampling": "u32",
}
#: Persistent buffers that hosts write or read, with their types.
BUFFERS = {
    "last_tokens": "i32",
    "logits": "f32",
    "token_counts": "u32",
    "logit_bias": "f32",
    "masks": "u32",
    "sampled": "u32",
}
SYMBOLS = {
    "tokens": "step",
    "seqs": "step",
    "outs": "step",
    "q_tiles": "step",
    "works": "step",
    "shared_works": "step",
    "parts": "step",
    "pages": "load",
    "max_pages": "load",
    "slots": "load",
}
#: What only a program with `decode_split` needs.
SPLIT = "decode_split"
SPLIT_SYMBOLS = frozenset(("works", "shared_works", "parts"))
SPLIT_INPUTS = frozenset(("work", "work_rows"))
#: What kernels may need beyond their tier, as alternatives of one that does not.
OPTIONAL_FEATURES = frozenset(("subgroups", "subgroup-matrix-f32-8x8x8", "narrow-subgroups"))
FEATURES = frozenset(("shader-f16", *OPTIONAL_FEATURES))


def check(
    manifest: PackManifest, program: Program, kernels: KernelFile, tensors: TensorCache
) -> None:
    """Raises NotAPackError or InvalidProgramError, naming the first thing that is wrong."""
    _check_files(manifest, tensors)
    _check_segments(program, _check_tensors(tensors))
    symbols = largest_symbols(manifest, program)
    encodes = manifest.embedding is not None
    _check_inputs(program, symbols, ENCODER_INPUTS if encodes else INPUTS)
    for identifier, kernel in kernels.kernels.items():
        _check_kernel(identifier, kernel)
    _need(manifest.memory.keys() == program.tiers.keys(), "pack.json", "memory lists other tiers")
    for name, tier in program.tiers.items():
        place = f"tier {name}"
        expected = ENCODER_BUFFERS if encodes else BUFFERS
        _check_hosts_part(place, tier, expected, ENCODER_FUNCTIONS if encodes else FUNCTIONS)
        _check_tier(place, tier, program, kernels.kernels, symbols)
    if encodes:
        holds = manifest.limits.context_length <= manifest.limits.prefill_chunk
        _need(holds, "pack.json", "a text of context_length tokens does not fit a step")


def largest_symbols(manifest: PackManifest, program: Program) -> dict[str, int]:
    """Every symbol at the largest value it can take with the pack's own limits."""
    limits = manifest.limits
    max_pages = -(-limits.context_length // program.page_size)
    known = {
        "max_pages": max_pages,
        "pages": max_pages * limits.max_batch,
        "slots": limits.max_batch,
    }
    symbols: dict[str, int] = {}
    for symbol in program.symbols:
        place = f"symbol {symbol.name!r}"
        _need(symbol.name not in symbols, place, "is defined twice")
        _need(SYMBOLS.get(symbol.name) == symbol.scope, place, "is none that hosts know")
        if symbol.scope == "step":
            _need(symbol.max is not None and symbol.max > 0, place, "has no positive maximum")
        symbols[symbol.name] = symbol.max if symbol.max is not None else known[symbol.name]
    missing = SYMBOLS.keys() - symbols.keys()
    if not any(SPLIT in tier.functions for tier in program.tiers.values()):
        missing -= SPLIT_SYMBOLS
    _need(not missing, "symbols", f"{sorted(missing)} are missing")
    _need(symbols["tokens"] == limits.prefill_chunk, "symbol 'tokens'", "max ≠ prefill_chunk")
    _need(symbols["seqs"] == limits.max_batch, "symbol 'seqs'", "max ≠ max_batch")
    _need(symbols["outs"] >= limits.max_batch, "symbol 'outs'", "max < max_batch")
    return symbols


def _check_files(manifest: PackManifest, tensors: TensorCache) -> None:
    paths = [file.path for file in manifest.files]
    _need(len(set(paths)) == len(paths), "pack.json", "lists a file twice", NotAPackError)
    _need("pack.json" not in paths, "pack.json", "lists itself", NotAPackError)
    for role in ("program", "kernels", "tensor_cache"):
        count = sum(file.role == role for file in manifest.files)
        _need(count == 1, "pack.json", f"lists {count} files of role {role!r}", NotAPackError)
    weights = {file.path: file.nbytes for file in manifest.files if file.role == "weights"}
    shards = {shard.dataPath: shard.nbytes for shard in tensors.records}
    _need(len(shards) == len(tensors.records), "tensor-cache.json", "lists a shard twice")
    _need(weights == shards, "tensor-cache.json", "its shards are not those of pack.json")


def _check_tensors(tensors: TensorCache) -> dict[str, TensorRecord]:
    records: dict[str, TensorRecord] = {}
    for shard in tensors.records:
        for record in shard.records:
            place = f"tensor {record.name!r}"
            _need(record.name not in records, place, "is stored twice")
            size = prod(record.shape) * ITEM_BYTES[record.dtype]
            _need(record.nbytes == size, place, f"has {record.nbytes} bytes, its shape {size}")
            end = record.byteOffset + record.nbytes
            _need(end <= shard.nbytes, place, f"does not fit into {shard.dataPath}")
            records[record.name] = record
    return records


def _check_segments(program: Program, tensors: Mapping[str, TensorRecord]) -> None:
    for index, segment in enumerate(program.segments):
        place = f"segment {index}"
        _need(segment.tensor in tensors, place, f"no tensor {segment.tensor!r}")
        tensor = tensors[segment.tensor]
        end = segment.offset + segment.nbytes
        _need(end <= tensor.nbytes, place, f"ends at byte {end} of {segment.tensor!r}")
        _need(segment.offset % 4 == 0, place, "does not start at a multiple of 4 bytes")
        resident = segment.nbytes
        if segment.transform == "f16_to_f32":
            _need(tensor.dtype == "float16", place, f"{segment.tensor!r} is no float16")
            _need(segment.nbytes % 2 == 0, place, "cuts a number in two")
            resident *= 2
        _need(resident <= MAX_BINDING_BYTES, place, f"needs {resident} bytes, over 128 MiB")


def _check_inputs(program: Program, symbols: Mapping[str, int], known: Mapping[str, str]) -> None:
    names = [item.name for item in program.inputs]
    _need(len(set(names)) == len(names), "inputs", "a name is there twice")
    for item in program.inputs:
        place = f"input {item.name!r}"
        _need(item.name in known, place, "is none that hosts can fill")
        _need(item.dtype == known[item.name], place, f"is {item.dtype}")
        size = _product(place, item.shape, symbols) * 4
        _need(0 < size <= MAX_BINDING_BYTES, place, f"has {size} bytes")
    if any(SPLIT in tier.functions for tier in program.tiers.values()):
        missing = sorted(SPLIT_INPUTS - set(names))
        _need(not missing, "inputs", f"{missing} are missing, which {SPLIT!r} needs")


def _check_kernel(identifier: str, kernel: Kernel) -> None:
    place = f"kernel {kernel.name!r}"
    expected = kernel_id(kernel.wgsl, kernel.entry_point)
    _need(identifier == expected, place, f"has id {identifier!r}, not {expected!r}")
    x, y, z = kernel.workgroup_size
    fits = all(
        0 < size <= most for size, most in zip(kernel.workgroup_size, MAX_WORKGROUP, strict=True)
    )
    _need(fits and x * y * z <= MAX_INVOCATIONS, place, f"workgroup size {(x, y, z)}")
    _need(
        kernel.workgroup_bytes <= MAX_WORKGROUP_BYTES, place, "needs over 16 KiB workgroup memory"
    )
    _need(len(kernel.bindings) <= MAX_STORAGE_BUFFERS, place, f"{len(kernel.bindings)} buffers")
    unknown = set(kernel.features) - FEATURES
    _need(not unknown, place, f"needs unknown features {sorted(unknown)}")


def _check_hosts_part(
    place: str, tier: Tier, buffers: Mapping[str, str], functions: Iterable[str]
) -> None:
    """What hosts write, read and run is there."""
    types = {buffer.name: buffer.dtype for buffer in tier.buffers}
    for name, dtype in buffers.items():
        _need(types.get(name) == dtype, place, f"has no {dtype} buffer {name!r}")
    missing = set(functions) - tier.functions.keys()
    _need(not missing, place, f"has no function {sorted(missing)}")


def _check_tier(
    place: str,
    tier: Tier,
    program: Program,
    kernels: Mapping[str, Kernel],
    symbols: Mapping[str, int],
) -> None:
    unknown = set(tier.requires) - FEATURES
    _need(not unknown, place, f"requires unknown features {sorted(unknown)}")
    for index, size in enumerate(tier.storages):
        value = _value(f"{place}, storage {index}", size, symbols)
        _need(0 < value <= MAX_BINDING_BYTES, f"{place}, storage {index}", f"has {value} bytes")
    types = {buffer.name: buffer.dtype for buffer in tier.buffers}
    _need(len(types) == len(tier.buffers), place, "a buffer is there twice")
    for buffer in tier.buffers:
        # Sizes that depend on the pool are the runtime's choice; it compares them with the adapter.
        fixed = "pages" not in chain.from_iterable(symbols_of(size) for size in buffer.shape)
        size = _product(f"{place}, buffer {buffer.name!r}", buffer.shape, symbols)
        size *= ITEM_BYTES[buffer.dtype]
        fits = size > 0 and (not fixed or size <= MAX_BINDING_BYTES)
        _need(fits, f"{place}, buffer {buffer.name!r}", f"has {size} bytes")
    inputs = frozenset(item.name for item in program.inputs)
    for name, function in tier.functions.items():
        _check_params(f"{place}, {name}", function, symbols)
        for launch in function.launches:
            where = f"{place}, {name}, launch {launch.label!r}"
            _need(launch.kernel in kernels, where, f"no kernel {launch.kernel!r}")
            kernel = kernels[launch.kernel]
            lacking = set(kernel.features) - set(tier.requires)
            _need(not lacking, where, f"needs {sorted(lacking)}, which the tier does not require")
            _check_launch(where, launch, kernel, function, symbols)
            for alternative in launch.alternatives:
                _check_alternative(where, alternative, kernel, kernels, tier, symbols)
            _check_few(where, launch, function, kernel, kernels, tier, symbols)
            _check_bindings(
                where, launch, kernel, len(program.segments), len(tier.storages), types, inputs
            )


def _check_params(place: str, function: Function, symbols: Mapping[str, int]) -> None:
    for fields in function.params:
        _need(len(fields) > 0, place, "has an empty parameter block")
        for field in fields:
            if isinstance(field.value, float):
                _need(field.dtype == "f32", place, f"{field.value} is no {field.dtype}")
                continue
            value = _value(place, field.value, symbols)
            low, high = (0, 2**32) if field.dtype == "u32" else (-(2**31), 2**31)
            _need(low <= value < high, place, f"parameter {value} does not fit {field.dtype}")


def _check_alternative(
    place: str,
    alternative: Alternative,
    kernel: Kernel,
    kernels: Mapping[str, Kernel],
    tier: Tier,
    symbols: Mapping[str, int],
) -> None:
    _need(alternative.kernel in kernels, place, f"no kernel {alternative.kernel!r}")
    other = kernels[alternative.kernel]
    lacking = set(other.features) - set(tier.requires) - OPTIONAL_FEATURES
    _need(not lacking, place, f"an alternative needs {sorted(lacking)}")
    same = other.bindings == kernel.bindings and other.params == kernel.params
    _need(same, place, "an alternative has other bindings or parameters")
    _check_grid(place, alternative.grid, symbols)


def _check_few(
    place: str,
    launch: Launch,
    function: Function,
    kernel: Kernel,
    kernels: Mapping[str, Kernel],
    tier: Tier,
    symbols: Mapping[str, int],
) -> None:
    if launch.few is None:
        return
    known = 0 <= launch.few < len(function.few)
    _need(known, place, f"no kernels {launch.few} for few rows")
    last: dict[str, int] = {}
    for few in function.few[launch.few]:
        rising = last.get(few.rows, 0) < few.least <= few.most <= symbols[few.rows]
        _need(rising, place, f"kernels for {few.least} to {few.most} {few.rows}")
        last[few.rows] = few.most
        own = Alternative(kernel=few.kernel, grid=few.grid)
        _check_alternative(place, own, kernel, kernels, tier, symbols)
        lacking = set(kernels[few.kernel].features) - set(tier.requires)
        _need(not lacking, place, f"needs {sorted(lacking)}, which the tier does not require")
        for alternative in few.alternatives:
            _check_alternative(place, alternative, kernel, kernels, tier, symbols)


def _check_grid(place: str, grid: Sequence[Expr], symbols: Mapping[str, int]) -> None:
    for size in grid:
        value = _value(place, size, symbols)
        _need(0 <= value <= MAX_GRID, place, f"a grid of {value} workgroups")


def _check_launch(
    place: str, launch: Launch, kernel: Kernel, function: Function, symbols: Mapping[str, int]
) -> None:
    _check_grid(place, launch.grid, symbols)
    if launch.params is None:
        _need(not kernel.params, place, "has no parameters, its kernel wants some")
        return
    known = 0 <= launch.params < len(function.params)
    _need(known, place, f"no parameter block {launch.params}")
    types = tuple(field.dtype for field in function.params[launch.params])
    _need(types == kernel.params, place, f"has parameters {types}, its kernel {kernel.params}")


def _check_bindings(
    place: str,
    launch: Launch,
    kernel: Kernel,
    segments: int,
    storages: int,
    buffers: Mapping[str, str],
    inputs: frozenset[str],
) -> None:
    count = len(launch.bindings)
    _need(count == len(kernel.bindings), place, f"{count} bindings, not {len(kernel.bindings)}")
    access: dict[tuple[str, int | str], str] = {}
    for binding, mode in zip(launch.bindings, kernel.bindings, strict=True):
        match binding:
            case WeightBinding(segment=index):
                _need(index < segments, place, f"no segment {index}")
                _need(mode == "read", place, "writes a weight")
                continue
            case InputBinding(name=name):
                _need(name in inputs, place, f"no input {name!r}")
                _need(mode == "read", place, f"writes the input {name!r}")
                continue
            case StorageBinding(index=index):
                _need(index < storages, place, f"no storage {index}")
                key: tuple[str, int | str] = ("storage", index)
            case BufferBinding(name=name):
                _need(name in buffers, place, f"no buffer {name!r}")
                key = ("buffer", name)
        # WebGPU: one buffer may not be bound for reading and for writing in one dispatch.
        same = access.setdefault(key, mode) == mode
        _need(same, place, f"{key[0]} {key[1]!r} is bound for reading and for writing")


def _value(place: str, expr: Expr, symbols: Mapping[str, int]) -> int:
    try:
        return evaluate(expr, symbols)
    except InvalidProgramError as error:
        raise InvalidProgramError(f"{place}: {error}") from None


def _product(place: str, shape: Sequence[Expr], symbols: Mapping[str, int]) -> int:
    sizes: Iterable[int] = (_value(place, size, symbols) for size in shape)
    return prod(sizes)


def _need(
    holds: bool, place: str, problem: str, error: type[WebbuildError] = InvalidProgramError
) -> None:
    if not holds:
        raise error(f"{place}: {problem}: pack the model again")
