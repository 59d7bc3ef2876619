"""Which array goes into which file, at which byte: decided before anything is written.

The rules are those of TVM's ``tvmjs.dump_tensor_cache``, so that MLC's tools read our shards:
arrays fill a shard in order until the next would reach 32 MiB; an array of half that size or more
that no longer fits gets a file of its own, and the shard before it stays open. We also start every
array at a multiple of four bytes, because WebGPU copies nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from webbuild.quantize import StoredArray

SHARD_BYTES = 32 << 20
ALIGNMENT = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One array in a shard; `offset` in bytes from the start of the file."""

    array: StoredArray
    offset: int


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of weights. `nbytes` includes the padding, also that at the end."""

    path: str
    nbytes: int
    records: tuple[Record, ...]


def plan_shards(arrays: Iterable[StoredArray]) -> list[Shard]:
    """Places `arrays`, whose names must differ, in shards ``params_shard_0.bin`` and on."""
    shards: list[Shard] = []
    pending: list[Record] = []
    end = 0

    def commit(records: list[Record], nbytes: int) -> None:
        shards.append(Shard(f"params_shard_{len(shards)}.bin", nbytes, tuple(records)))

    for array in arrays:
        padded = -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        if end + padded >= SHARD_BYTES:
            if 2 * padded >= SHARD_BYTES:
                commit([Record(array, 0)], padded)
                continue
            commit(pending, end)
            pending, end = [], 0
        pending.append(Record(array, end))
        end += padded
    if pending:
        commit(pending, end)
    return shards
