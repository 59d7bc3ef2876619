"""Bytes that a decode step moves, counted from the program: each binding of a launch once.

What a binding means for one step depends on what it is. A weight is read whole (of an embedding
table one row), and again for each group of rows that a kernel for few rows takes at once; KV pages
as far as the contexts reach; a buffer or an activation as much of it as the step's tokens have. The
sampler's counts and biases are not read: greedy requests use neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal, get_args

from webbuild.schema.check import ITEM_BYTES
from webbuild.schema.expression import evaluate
from webbuild.schema.kernels import Kernel
from webbuild.schema.program import (
    SOFTWARE_SPLIT_CONTEXT,
    SPLIT_CONTEXT,
    Binding,
    Buffer,
    BufferBinding,
    Few,
    InputBinding,
    Launch,
    Program,
    Segment,
    StorageBinding,
    Tier,
    WeightBinding,
)

Kind = Literal["weights", "norms", "kv", "activations"]
"""What a byte that is read is part of. What the host tells a step, logits and the sampler's buffers
count as activations."""

_UNUSED = ("token_counts", "logit_bias", "masks")
_PER_ROW = ("tokens", "seqs", "outs", "q_tiles", "slots")


@dataclass(frozen=True, slots=True)
class LaunchTraffic:
    """Bytes of one launch."""

    label: str
    kernel: str
    read: int
    written: int


@dataclass(frozen=True, slots=True)
class StepTraffic:
    """A decode step, and its sampling."""

    context: int
    rows: int
    launches: tuple[LaunchTraffic, ...]
    """In the order in which they run."""
    weights: int
    """Bytes of all weights and norms that any launch but the embedding binds, each once."""
    kv: int
    """Bytes of keys and values of the contexts."""
    parts: Mapping[Kind, int] = field(default_factory=dict)
    """`read`, by what it is; a weight that two launches bind counts twice."""

    @property
    def read(self) -> int:
        return sum(launch.read for launch in self.launches)

    @property
    def written(self) -> int:
        return sum(launch.written for launch in self.launches)

    @property
    def needed(self) -> int:
        """What no decode step can do without: weights, norms, keys and values, read once."""
        return self.weights + self.kv


def decode_traffic(
    program: Program,
    kernels: Mapping[str, Kernel],
    tier: str,
    context: int,
    rows: int = 1,
    *,
    software: bool = False,
) -> StepTraffic:
    """Counts a step of `rows` sequences of `context` tokens each, the new one included, on a GPU
    or on a software adapter, which decodes in pieces from another context on."""
    chosen = program.tiers[tier]
    count = _Count(program, kernels, chosen, context, rows)
    from_context = SOFTWARE_SPLIT_CONTEXT if software else SPLIT_CONTEXT
    split = context >= from_context and "decode_split" in chosen.functions
    sampler = "sample_plain" if "sample_plain" in chosen.functions else "sample"
    step = ("decode_split" if split else "decode", sampler)
    functions = [chosen.functions[name] for name in step]
    launches = [launch for function in functions for launch in function.launches]
    segments = {
        binding.segment
        for launch in launches
        for binding in launch.bindings
        if isinstance(binding, WeightBinding) and not _gathers(launch)
    }
    counted = tuple(
        count.launch(launch, () if launch.few is None else function.few[launch.few])
        for function in functions
        for launch in function.launches
    )
    return StepTraffic(
        context=context,
        rows=rows,
        launches=counted,
        weights=sum(_resident(program.segments[index]) for index in segments),
        kv=sum(
            rows * count.kv(buffer, context) for buffer in chosen.buffers if _is_kv(buffer.name)
        ),
        parts=count.parts,
    )


class _Count:
    def __init__(
        self,
        program: Program,
        kernels: Mapping[str, Kernel],
        tier: Tier,
        context: int,
        rows: int,
    ) -> None:
        self._program = program
        self._kernels = kernels
        self._tier = tier
        self._context = context
        self._rows = rows
        pages = -(-context // program.page_size)
        self._maxima = {symbol.name: symbol.max or pages for symbol in program.symbols}
        self._now = self._maxima | dict.fromkeys(_PER_ROW, rows)
        self._buffers = {buffer.name: buffer for buffer in tier.buffers}
        self._inputs = {item.name: item for item in program.inputs}
        self.parts: Counter[Kind] = Counter(dict.fromkeys(get_args(Kind), 0))
        self._vocab = evaluate(self._buffers["logits"].shape[-1], self._now)

    def launch(self, launch: Launch, entry: Sequence[Few]) -> LaunchTraffic:
        """entry: its kernels for few rows."""
        few = [one for one in entry if one.least <= self._now[one.rows] <= one.most]
        played = few[0] if few else launch
        kernel = self._kernels[played.kernel]
        # Products count groups of rows in y; of embeddings each row reads its own.
        passes = 1 if launch.few is None else evaluate(played.grid[1], self._now)
        read = written = 0
        if kernel.name.startswith("attention_shared"):  # one sequence shares none
            return LaunchTraffic(launch.label, kernel.name, 0, 0)
        for binding, access in zip(launch.bindings, kernel.bindings, strict=True):
            r, w = self._binding(launch, kernel, binding, access == "read_write")
            if isinstance(binding, WeightBinding):
                r *= passes
            read, written = read + r, written + w
            self.parts[self._kind(binding)] += r
        return LaunchTraffic(launch.label, kernel.name, read, written)

    def kv(self, buffer: Buffer, tokens: int) -> int:
        """Bytes of so many tokens in the pages of one layer's keys or values."""
        page = prod(evaluate(size, self._now) for size in buffer.shape[1:])
        return tokens * ITEM_BYTES[buffer.dtype] * page // self._program.page_size

    def _binding(
        self, launch: Launch, kernel: Kernel, binding: Binding, written: bool
    ) -> tuple[int, int]:
        """Bytes read and written; what a launch writes it does not read."""
        match binding:
            case WeightBinding(segment=index):
                nbytes = _resident(self._program.segments[index])
                return (self._gathered(index, nbytes) if _gathers(launch) else nbytes), 0
            case StorageBinding(index=index):
                nbytes = self._storage(launch, index)
                return (0, nbytes) if written else (nbytes, 0)
            case BufferBinding(name=name) if _is_kv(name):
                buffer = self._buffers[name]
                reads = self._rows * self.kv(buffer, self._context) if _attends(kernel) else 0
                return reads, self._rows * self.kv(buffer, 1) if written else 0
            case BufferBinding(name=name) if name in _UNUSED:
                return 0, 0
            case BufferBinding(name=name):
                buffer = self._buffers[name]
                shape = prod(evaluate(size, self._now) for size in buffer.shape)
                nbytes = ITEM_BYTES[buffer.dtype] * shape
                return (0, nbytes) if written else (nbytes, 0)
            case InputBinding(name=name):
                item = self._inputs[name]
                return 4 * prod(evaluate(size, self._now) for size in item.shape), 0

    def _kind(self, binding: Binding) -> Kind:
        match binding:
            case WeightBinding(segment=index):
                return "norms" if "norm" in self._program.segments[index].tensor else "weights"
            case BufferBinding(name=name) if _is_kv(name):
                return "kv"
        return "activations"

    def _gathered(self, segment: int, nbytes: int) -> int:
        """What the step's tokens read of an embedding table's piece, which has its share of the
        vocabulary."""
        piece = self._program.segments[segment]
        whole = sum(s.nbytes for s in self._program.segments if s.tensor == piece.tensor)
        rows = max(1, self._vocab * piece.nbytes // whole)
        return self._rows * -(-nbytes // rows)

    def _storage(self, launch: Launch, index: int) -> int:
        """Storages are planned for the largest step; a row of it is one token's. The sampler's
        hold at most a number per token of the vocabulary."""
        nbytes = evaluate(self._tier.storages[index], self._maxima)
        if launch.label.split(".")[0] in ("sample", "logprobs"):
            return self._rows * min(nbytes, 4 * self._vocab)
        return self._rows * -(-nbytes // self._maxima["tokens"])


def _gathers(launch: Launch) -> bool:
    """Reads one row of its weight per token."""
    return launch.label.split(".")[0] == "embed"


def _attends(kernel: Kernel) -> bool:
    return "attention" in kernel.name


def _is_kv(name: str) -> bool:
    return name.startswith("kv_")


def _resident(segment: Segment) -> int:
    return segment.nbytes * (2 if segment.transform == "f16_to_f32" else 1)
