"""Reads safetensors files: strict about the header, lazy about the data.

The format (https://github.com/huggingface/safetensors#format): eight bytes of header length, a JSON
header that gives dtype, shape and byte range of each tensor, then the data without holes. Rows are
read from the file into fresh arrays, not mapped: mapped pages would count as this process's memory,
and a file that shrinks under a map kills the process where a read gives an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from webbuild.errors import SafetensorsError

#: Longest header that the reference implementation reads.
MAX_HEADER = 100_000_000

#: How the text begins that stands for a large file in a clone without Git LFS.
LFS_POINTER = b"version https://git-lfs"
IS_POINTER = (
    "is a Git LFS pointer, not the file itself: run `git lfs pull` in its folder, or download the "
    "model again"
)

_ITEMSIZE = {
    type_name: nbytes
    for nbytes, type_names in {
        8: "F64 I64 U64 C64",
        4: "F32 I32 U32",
        2: "F16 BF16 I16 U16",
        1: "F8_E4M3 F8_E5M2 F8_E8M0 I8 U8 BOOL",
    }.items()
    for type_name in type_names.split()
}
_FLOATS: dict[str, npt.DTypeLike] = {
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor in a file; nothing of it is in memory until `rows` is called."""

    name: str
    dtype: str
    """As in the file: BF16, F16, F32, or a type that `rows` refuses."""
    shape: tuple[int, ...]
    path: Path
    offset: int
    """Of the first byte, from the start of the file."""

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * _ITEMSIZE[self.dtype]

    @property
    def row_nbytes(self) -> int:
        """Bytes of one index of the first axis."""
        return prod(self.shape[1:]) * _ITEMSIZE[self.dtype]

    def check_float(self) -> None:
        """Raises SafetensorsError unless `rows` can read the type."""
        if self.dtype not in _FLOATS:
            raise SafetensorsError(
                f"{self.path}: tensor {self.name!r} has type {self.dtype}; webbuild reads "
                f"{', '.join(_FLOATS)}: convert the checkpoint to one of them"
            )

    def rows(self, start: int, stop: int) -> npt.NDArray[np.generic]:
        """Reads ``tensor[start:stop]``: bfloat16 (ml_dtypes), float16 or float32.

        Raises SafetensorsError if the type is none of these, or the file has become shorter.
        """
        self.check_float()
        rows = np.empty((stop - start, *self.shape[1:]), _FLOATS[self.dtype])
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.offset + start * self.row_nbytes)
            view = rows.reshape(-1).view(np.uint8).data
            done = 0
            while done < len(view):
                count = file.readinto(view[done:])
                if not count:
                    raise SafetensorsError(f"{self.path} was truncated while being read")
                done += count
        return rows

    def blocks(self, nbytes: int) -> Iterator[tuple[int, int]]:
        """Row ranges that cover the tensor in order, each of about `nbytes` (one row at least)."""
        step = max(1, nbytes // max(1, self.row_nbytes))
        for start in range(0, self.shape[0], step):
            yield start, min(start + step, self.shape[0])


def read_header(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, by name. Raises SafetensorsError for anything the format forbids."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise SafetensorsError(f"{path} is truncated: {size} bytes hold no header; {_AGAIN}")
        length = int.from_bytes(prefix, "little")
        if prefix + file.read(len(LFS_POINTER) - 8) == LFS_POINTER:
            raise SafetensorsError(f"{path} {IS_POINTER}")
        file.seek(8)
        if length > MAX_HEADER:
            raise SafetensorsError(f"{path}: header of {length} bytes is over the format's limit")
        if 8 + length > size:
            raise SafetensorsError(
                f"{path} is truncated: the header has {length} bytes, the file {size}; {_AGAIN}"
            )
        text = file.read(length)
    return parse_header(text, size - 8 - length, path)


_AGAIN = "download it again"


def parse_header(text: bytes, data_nbytes: int, path: Path) -> dict[str, Tensor]:
    """`read_header` on a header's JSON text, for a file with `data_nbytes` after the header."""
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise SafetensorsError(f"{path}: the header is not valid JSON: {error}") from None
    if not isinstance(header, dict):
        raise SafetensorsError(f"{path}: the header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise SafetensorsError(f"{path}: __metadata__ must map strings to strings")

    ranges: list[tuple[int, int, str]] = []
    tensors: dict[str, Tensor] = {}
    for name, entry in header.items():
        dtype, shape, (begin, end) = _entry(path, name, entry)
        if end - begin != prod(shape) * _ITEMSIZE[dtype]:
            raise SafetensorsError(
                f"{path}: tensor {name!r} of {dtype} {list(shape)} cannot have {end - begin} bytes"
            )
        ranges.append((begin, end, name))
        tensors[name] = Tensor(name, dtype, shape, path, 8 + len(text) + begin)

    position = 0
    for begin, end, name in sorted(ranges):
        if begin != position:
            what = "overlaps its neighbour" if begin < position else "leaves a hole before it"
            raise SafetensorsError(f"{path}: tensor {name!r} {what} at byte {begin}")
        position = end
    if position > data_nbytes:
        raise SafetensorsError(
            f"{path} is truncated: tensors take {position} bytes, "
            f"the file has {data_nbytes}; {_AGAIN}"
        )
    if position < data_nbytes:
        raise SafetensorsError(f"{path} has {data_nbytes - position} bytes that no tensor claims")
    return tensors


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} appears twice")
    return result


def _entry(path: Path, name: str, entry: object) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Checks one tensor's record: dtype, shape, byte range."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise SafetensorsError(f"{path}: tensor {name!r} needs dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEMSIZE:
        raise SafetensorsError(f"{path}: tensor {name!r} has the unknown type {dtype!r}")
    if not _is_sizes(shape):
        raise SafetensorsError(f"{path}: tensor {name!r} has the impossible shape {shape!r}")
    if not _is_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise SafetensorsError(f"{path}: tensor {name!r} has impossible data_offsets {offsets!r}")
    return dtype, tuple(shape), (offsets[0], offsets[1])


def _is_sizes(value: object) -> bool:
    """A list of integers that fit 64 bits. (JSON's true and 1.0 are no integers here.)"""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)
