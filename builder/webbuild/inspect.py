"""`webbuild inspect`: what a pack holds: model, program, memory, traffic and files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table

from webbuild.errors import InvalidOptionError
from webbuild.schema.capacity import DEFAULT_BATCH, Capacity, predicted_bytes
from webbuild.schema.folder import PackFolder
from webbuild.schema.kernels import Kernel
from webbuild.schema.pack import PackManifest
from webbuild.schema.program import Function, Program
from webbuild.tables import number_table, show
from webbuild.traffic import decode_traffic


@dataclass(frozen=True, slots=True)
class KernelUse:
    """How often a function launches a kernel."""

    kernel: str
    origin: str
    launches: int


@dataclass(frozen=True, slots=True)
class FunctionReport:
    """One function of one tier. `per_layer` is the largest count of any decoder layer."""

    tier: str
    function: str
    launches: int
    per_layer: int
    library: int
    tvm: int
    kernels: tuple[KernelUse, ...]


@dataclass(frozen=True, slots=True)
class MemoryReport:
    """Predicted GPU bytes of one tier that is loaded for `max_batch` sequences at once, with the
    default context and the pool that goes with it."""

    tier: str
    max_batch: int
    kv_tokens: int
    weights: int
    activations: int
    """Whatever the batch."""
    batch: int
    """What grows with it: logits, the sampler's buffers, page tables."""
    kv_cache: int
    total: int


@dataclass(frozen=True, slots=True)
class TrafficReport:
    """Bytes that a decode step moves, counted from the program of one tier, and by token."""

    tier: str
    rows: int
    """Sequences in the step, each of them `context` long."""
    context: int
    weights: int
    norms: int
    kv: int
    """Keys and values of the contexts."""
    activations: int
    """And inputs of the step, logits, the sampler's buffers."""
    bytes_read: int
    """The sum of the four, over all tokens of the step."""
    bytes_written: int
    bytes_needed: int
    """What no decode step can do without: weights, norms, keys and values, read once."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that `webbuild inspect` prints."""

    folder: Path
    manifest: PackManifest
    kernels: int
    functions: tuple[FunctionReport, ...]
    kv: Mapping[str, str]
    """The type in which each tier keeps keys and values."""
    memory: tuple[MemoryReport, ...]
    traffic: tuple[TrafficReport, ...]
    nbytes: int
    """Of all files, pack.json included."""
    verified: bool
    """Whether every file's SHA-256 was compared."""

    def to_json(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "folder": str(self.folder),
            "manifest": self.manifest.model_dump(mode="json"),
            "kernels": self.kernels,
            "functions": [asdict(function) for function in self.functions],
            "kv": dict(self.kv),
            "memory": [asdict(memory) for memory in self.memory],
            "traffic": [asdict(traffic) for traffic in self.traffic],
            "nbytes": self.nbytes,
            "verified": self.verified,
        }


def inspect_pack(folder: Path, *, verify: bool = False, contexts: Sequence[int] = ()) -> Report:
    """Reads and checks a pack; with `verify` also every file's hash.

    contexts: tokens at which a decode step's bytes are counted, the new one included; none: 128 and
    the pack's default.

    Raises NotAPackError, FormatVersionError, InvalidProgramError, PackDamagedError or
    InvalidOptionError.
    """
    pack = PackFolder.open(folder, verify_hashes=verify)
    limits = pack.manifest.limits
    for context in contexts:
        if not 1 <= context <= limits.context_length:
            raise InvalidOptionError(
                f"--context {context}: this pack's can be 1 to {limits.context_length}"
            )
    decodes = pack.manifest.embedding is None
    usual = sorted({min(128, limits.default_context_length), limits.default_context_length})
    return Report(
        folder=folder,
        manifest=pack.manifest,
        kernels=len(pack.kernels.kernels),
        functions=tuple(
            _function_report(tier_name, name, function, pack.kernels.kernels)
            for tier_name, tier in pack.program.tiers.items()
            for name, function in tier.functions.items()
        ),
        kv={name: tier.kv_dtype for name, tier in pack.program.tiers.items()},
        memory=tuple(_memory_reports(pack.manifest, pack.program)),
        traffic=tuple(
            _traffic_report(pack, tier, context, rows)
            # An encoder decodes nothing.
            for rows in sorted({1, min(DEFAULT_BATCH, limits.max_batch)} if decodes else ())
            for tier in pack.program.tiers
            for context in contexts or usual
        ),
        nbytes=(folder / "pack.json").stat().st_size
        + sum(file.nbytes for file in pack.manifest.files),
        verified=verify,
    )


def print_report(
    folder: Path, *, as_json: bool, verify: bool, contexts: Sequence[int] = ()
) -> None:
    """Prints the report of a pack to stdout. Raises what `inspect_pack` raises."""
    report = inspect_pack(folder, verify=verify, contexts=contexts)
    if as_json:
        print(json.dumps(report.to_json(), indent=2))  # ASCII, whatever the locale is
        return
    show(_render(report), width=110)


def _function_report(
    tier: str, name: str, function: Function, kernels: Mapping[str, Kernel]
) -> FunctionReport:
    uses = Counter(launch.kernel for launch in function.launches)
    layers = Counter(
        launch.label.split(".")[1]
        for launch in function.launches
        if launch.label.startswith("layers.")
    )
    origins = Counter(kernels[launch.kernel].origin for launch in function.launches)
    return FunctionReport(
        tier=tier,
        function=name,
        launches=len(function.launches),
        per_layer=max(layers.values(), default=0),
        library=origins["library"],
        tvm=origins["tvm"],
        kernels=tuple(
            KernelUse(kernels[key].name, kernels[key].origin, count)
            for key, count in uses.most_common()
        ),
    )


def _memory_reports(manifest: PackManifest, program: Program) -> Iterable[MemoryReport]:
    most = manifest.limits.max_batch
    for batch in sorted({1, min(DEFAULT_BATCH, most), most}):
        capacity = Capacity.choose(manifest.limits, max_batch=batch)
        symbols = capacity.symbols(program)
        for tier, memory in manifest.memory.items():
            kv_cache = symbols["pages"] * memory.page_bytes
            total = predicted_bytes(memory, symbols)
            yield MemoryReport(
                tier=tier,
                max_batch=batch,
                kv_tokens=capacity.kv_tokens,
                weights=memory.weights,
                activations=memory.fixed,
                batch=total - memory.weights - memory.fixed - kv_cache,
                kv_cache=kv_cache,
                total=total,
            )


def _traffic_report(pack: PackFolder, tier: str, context: int, rows: int) -> TrafficReport:
    traffic = decode_traffic(pack.program, pack.kernels.kernels, tier, context, rows)
    return TrafficReport(
        tier=tier,
        rows=rows,
        context=context,
        weights=traffic.parts["weights"],
        norms=traffic.parts["norms"],
        kv=traffic.parts["kv"],
        activations=traffic.parts["activations"],
        bytes_read=traffic.read,
        bytes_written=traffic.written,
        bytes_needed=traffic.needed,
    )


# --- printing -----------------------------------------------------------------------------------


def _render(report: Report) -> RenderableType:
    return Group(
        _model_table(report),
        _functions_table(report),
        _kernels_table(report),
        _memory_table(report),
        _traffic_table(report),
        _files_table(report),
    )


def _megabytes(nbytes: int) -> str:
    return f"{nbytes / 1e6:,.1f} MB"


def _model_table(report: Report) -> Table:
    manifest = report.manifest
    model, limits = manifest.model, manifest.limits
    source = manifest.provenance.source
    if manifest.provenance.revision is not None:
        source += f" at {manifest.provenance.revision[:12]}"
    table = Table(box=None, show_header=False, pad_edge=False, title=f"{model.name}")
    table.title_justify, table.title_style = "left", "bold"
    for key, value in (
        ("source", f"{source}, packed by webbuild {manifest.provenance.webbuild_version}"),
        ("architecture", f"{model.architecture} ({model.family})"),
        ("parameters", f"{model.parameters:,}, stored as {manifest.quantization}"),
        (
            "shape",
            f"{model.layers} layers, hidden {model.hidden_size}, MLP {model.intermediate_size}, "
            f"{model.heads} heads and {model.kv_heads} KV heads of {model.head_dim}, "
            f"vocabulary {model.vocab_size:,}{', tied' * model.tied_embeddings}",
        ),
        (
            "limits",
            f"context {limits.context_length:,} (default {limits.default_context_length:,}), "
            f"prefill chunk {limits.prefill_chunk}, batch {limits.max_batch}",
        ),
        (
            "keys, values",
            ", ".join(f"{dtype} in tier {tier}" for tier, dtype in report.kv.items()),
        ),
        (
            "tokens",
            f"BOS {manifest.tokens.bos}, EOS {', '.join(map(str, manifest.tokens.eos)) or None}, "
            f"padding {manifest.tokens.pad}",
        ),
    ):
        table.add_row(key, value)
    return table


def _functions_table(report: Report) -> Table:
    title = f"\nProgram: launches ({report.kernels} kernels)"
    table = number_table(title, "tier and function", "launches", "per layer", "library", "TVM")
    for function in report.functions:
        table.add_row(
            f"{function.tier} {function.function}",
            str(function.launches),
            str(function.per_layer or "–"),
            str(function.library),
            str(function.tvm),
        )
    return table


def _kernels_table(report: Report) -> Table:
    """Kernels by function, for the tier that a browser takes if it can."""
    tier = report.functions[0].tier if report.functions else ""
    functions = [function for function in report.functions if function.tier == tier]
    table = number_table(f"\nKernels of tier {tier}", "kernel", *(f.function for f in functions))
    counts = [
        {(use.kernel, use.origin): use.launches for use in function.kernels}
        for function in functions
    ]
    for key in dict.fromkeys(key for count in counts for key in count):
        name, origin = key
        table.add_row(
            f"{name} ({'TVM' if origin == 'tvm' else origin})",
            *(str(count.get(key, "–")) for count in counts),
        )
    return table


def _memory_table(report: Report) -> Table:
    context = report.manifest.limits.default_context_length
    kv_tokens = report.memory[0].kv_tokens if report.memory else 0
    table = number_table(
        f"\nGPU memory, predicted, at a context of {context:,} and a KV pool of {kv_tokens:,}",
        *("tier and sequences", "weights", "KV cache", "activations", "batch", "total"),
    )
    for row in report.memory:
        sizes = (row.weights, row.kv_cache, row.activations, row.batch, row.total)
        table.add_row(f"{row.tier} {row.max_batch}", *map(_megabytes, sizes))
    return table


def _traffic_table(report: Report) -> Table:
    names = ("weights", "norms", "KV", "activations", "read", "of needed", "written")
    table = number_table(
        "\nBytes of a decode step, by count (needed: weights, norms and KV, once)",
        *("tier, context, sequences", *names),
    )
    for row in report.traffic:
        parts = (row.weights, row.norms, row.kv, row.activations)
        table.add_row(
            f"{row.tier} {row.context:,} × {row.rows}",
            *(f"{nbytes:,}" for nbytes in (*parts, row.bytes_read)),
            f"{100 * row.bytes_read / row.bytes_needed:.1f} %",
            f"{row.bytes_written:,}",
        )
    return table


def _files_table(report: Report) -> Table:
    files = report.manifest.files
    state = "hashes verified" if report.verified else "sizes checked; --verify checks hashes"
    table = number_table(
        f"\nFiles: {len(files) + 1}, {_megabytes(report.nbytes)} ({state})", "file", "size"
    )
    shards = [file for file in files if file.role == "weights"]
    for file in files:
        if file.role != "weights":
            table.add_row(file.path, f"{file.nbytes:,}")
    if shards:
        name = shards[0].path if len(shards) == 1 else f"{shards[0].path} … {shards[-1].path}"
        table.add_row(name, f"{sum(file.nbytes for file in shards):,}")
    return table
