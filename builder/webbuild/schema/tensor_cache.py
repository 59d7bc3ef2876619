"""tensor-cache.json: which bytes of which shard are which tensor. MLC's format, camel case and all.

Fields that we do not need (`md5sum`, `metadata` …) may be there and are ignored: pack.json holds
the hashes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from .base import Format

NonNegative = Annotated[int, Field(ge=0)]


class Lenient(Format):
    """A record of a foreign format: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class TensorRecord(Lenient):
    """One tensor: little-endian, row-major, contiguous."""

    name: str
    shape: tuple[NonNegative, ...]
    dtype: Literal["float16", "float32", "uint32"]
    format: Literal["raw"]
    nbytes: NonNegative
    byteOffset: NonNegative  # noqa: N815 (MLC's name)
    """First byte within the shard."""


class ShardRecord(Lenient):
    """One shard file and the tensors in it."""

    dataPath: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")]  # noqa: N815 (MLC's name)
    format: Literal["raw-shard"]
    nbytes: NonNegative
    records: tuple[TensorRecord, ...]


class TensorCache(Lenient):
    """tensor-cache.json."""

    records: tuple[ShardRecord, ...]
