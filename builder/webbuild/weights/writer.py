"""Quantises a model's tensors and writes the shards, in one pass over the input.

Worker threads read and encode blocks of rows (numpy lets other threads run meanwhile); this thread
writes the results in order and hashes them on the way. Memory holds a few blocks and the scales
of one tensor, whatever the model's size.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np

from webbuild.quantize import Quantization
from webbuild.quantize.base import Array
from webbuild.sources import Tensor
from webbuild.weights.parameter import Parameter
from webbuild.weights.shards import Shard, plan_shards

TENSOR_CACHE = "tensor-cache.json"

#: Source bytes that one job reads and encodes.
BLOCK_BYTES = 4 << 20

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A finished file: its name in the folder, size, and SHA-256 in hex."""

    path: str
    nbytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class _Block:
    """Rows of one source tensor of a parameter, or the whole of a constant."""

    parameter: Parameter
    tensor: Tensor | None
    start: int
    stop: int
    last: bool
    """Whether this is the end of the parameter."""

    @property
    def nbytes(self) -> int:
        return 0 if self.tensor is None else (self.stop - self.start) * self.tensor.row_nbytes

    def encode(self, quantization: Quantization) -> tuple[Array, ...]:
        kind = self.parameter.kind
        if self.tensor is None:
            value = np.asarray(self.parameter.value, np.float32)
            return quantization.encode(kind, value, self.parameter.name)
        rows = self.tensor.rows(self.start, self.stop)
        return quantization.encode(kind, rows, self.tensor.name)


def write_weights(
    parameters: Sequence[Parameter],
    tensors: Mapping[str, Tensor],
    quantization: Quantization,
    folder: Path,
    advance: Callable[[int], None],
) -> list[WrittenFile]:
    """Writes ``params_shard_*.bin`` and ``tensor-cache.json`` into `folder`.

    `advance` is called with the number of source bytes done, as they are done. The parameters must
    have passed `check_parameters`. Raises NonFiniteWeightError (naming the tensor) and OSError.
    """
    stored = {parameter.name: quantization.stored(parameter) for parameter in parameters}
    shards = plan_shards(array for arrays in stored.values() for array in arrays)

    def encode(block: _Block) -> tuple[_Block, tuple[Array, ...]]:
        return block, block.encode(quantization)

    with _ShardWriter(folder, shards) as writer:
        # A parameter's first array is written as it comes. The others (scales: an eighth of its
        # size) follow it in the file, and wait for its end.
        waiting: list[list[Array]] = []
        for block, encoded in _in_order(encode, _blocks(parameters, tensors)):
            first, *others = stored[block.parameter.name]
            writer.write(first.name, encoded[0])
            waiting = waiting or [[] for _ in others]
            for arrays, array in zip(waiting, encoded[1:], strict=True):
                arrays.append(array)
            if block.last:
                for other, arrays in zip(others, waiting, strict=True):
                    for array in arrays:
                        writer.write(other.name, array)
                waiting = []
            advance(block.nbytes)
        files = writer.finish()

    values = sum(prod(parameter.shape) for parameter in parameters)
    return [*files, _write_tensor_cache(folder, shards, writer.md5, values)]


def _blocks(parameters: Iterable[Parameter], tensors: Mapping[str, Tensor]) -> Iterator[_Block]:
    for parameter in parameters:
        if parameter.kind == "constant":
            yield _Block(parameter, None, 0, parameter.shape[0], last=True)
        for index, source in enumerate(parameter.sources, 1):
            tensor = tensors[source]
            for start, stop in tensor.blocks(BLOCK_BYTES):
                last = index == len(parameter.sources) and stop == tensor.shape[0]
                yield _Block(parameter, tensor, start, stop, last)


def _in_order(function: Callable[[_Block], _Result], blocks: Iterable[_Block]) -> Iterator[_Result]:
    """Applies `function` on threads and yields the results in order, a few blocks ahead."""
    workers = min(4, os.cpu_count() or 1)
    pending: deque[Future[_Result]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    try:
        for block in blocks:
            pending.append(executor.submit(function, block))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


@dataclass
class _OpenShard:
    shard: Shard
    file: BinaryIO
    position: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)
    md5: hashlib._Hash = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def write(self, data: memoryview | bytes) -> None:
        self.file.write(data)
        self.sha256.update(data)
        self.md5.update(data)
        self.position += len(data)


class _ShardWriter:
    """Appends to planned shards; each shard's arrays must come in the planned order."""

    def __init__(self, folder: Path, shards: Sequence[Shard]) -> None:
        self._folder = folder
        self._shards = shards
        self._place = {
            record.array.name: (shard, record) for shard in shards for record in shard.records
        }
        self._open: dict[str, _OpenShard] = {}
        self._finished: dict[str, WrittenFile] = {}
        self.md5: dict[str, str] = {}

    def __enter__(self) -> _ShardWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for shard in self._open.values():
            shard.file.close()

    def write(self, name: str, rows: Array) -> None:
        """Appends rows to the array called `name`."""
        shard, record = self._place[name]
        target = self._open.get(shard.path)
        if target is None:
            target = _OpenShard(shard, (self._folder / shard.path).open("wb"))
            self._open[shard.path] = target
        if target.position < record.offset:
            target.write(bytes(record.offset - target.position))
        target.write(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
        end = record.offset + record.array.nbytes
        if target.position > end:
            raise ValueError(f"{name} has more rows than its shape says")
        if target.position == end and record is shard.records[-1]:
            self._close(target)

    def finish(self) -> list[WrittenFile]:
        """All files, in the order of the plan. Every array must have been written whole."""
        missing = [shard.path for shard in self._shards if shard.path not in self._finished]
        if missing:
            raise ValueError(f"not all rows were written: {', '.join(missing)}")
        return [self._finished[shard.path] for shard in self._shards]

    def _close(self, target: _OpenShard) -> None:
        path = target.shard.path
        target.write(bytes(target.shard.nbytes - target.position))
        target.file.close()
        del self._open[path]
        self.md5[path] = target.md5.hexdigest()
        self._finished[path] = WrittenFile(path, target.position, target.sha256.hexdigest())


def _write_tensor_cache(
    folder: Path, shards: Sequence[Shard], md5: Mapping[str, str], values: int
) -> WrittenFile:
    """The index, with TVM's field names."""
    nbytes = sum(shard.nbytes for shard in shards)
    count = sum(len(shard.records) for shard in shards)
    index = {
        "metadata": {
            "ParamSize": count,
            "ParamBytes": nbytes,
            "BitsPerParam": round(8 * nbytes / values, 6),
        },
        "records": [
            {
                "dataPath": shard.path,
                "format": "raw-shard",
                "nbytes": shard.nbytes,
                "records": [
                    {
                        "name": record.array.name,
                        "shape": list(record.array.shape),
                        "dtype": record.array.dtype,
                        "format": "raw",
                        "nbytes": record.array.nbytes,
                        "byteOffset": record.offset,
                    }
                    for record in shard.records
                ],
                "md5sum": md5[shard.path],
            }
            for shard in shards
        ],
    }
    data = (json.dumps(index, indent=2) + "\n").encode()
    (folder / TENSOR_CACHE).write_bytes(data)
    return WrittenFile(TENSOR_CACHE, len(data), hashlib.sha256(data).hexdigest())
