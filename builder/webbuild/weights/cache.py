"""Reads the weights of a pack, or of any folder in MLC's layout."""

from __future__ import annotations

from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from webbuild.errors import InvalidProgramError, NotAPackError, PackDamagedError
from webbuild.quantize import Quantization
from webbuild.quantize.base import F32, Array
from webbuild.schema.tensor_cache import ShardRecord, TensorCache, TensorRecord
from webbuild.weights.parameter import Parameter
from webbuild.weights.writer import TENSOR_CACHE


class WeightsReader:
    """The stored arrays of a folder with ``tensor-cache.json``, read when asked for."""

    def __init__(self, folder: Path) -> None:
        """Raises NotAPackError or InvalidProgramError."""
        self.folder = folder
        path = folder / TENSOR_CACHE
        try:
            index = TensorCache.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise NotAPackError(f"{folder} has no {TENSOR_CACHE}: is it a pack?") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidProgramError(
                f"{path}: {where}: {first['msg']}; pack the model again"
            ) from None
        self._records: dict[str, tuple[ShardRecord, TensorRecord]] = {}
        for shard in index.records:
            for record in shard.records:
                if record.nbytes != prod(record.shape) * np.dtype(record.dtype).itemsize:
                    raise InvalidProgramError(f"{path}: {record.name} has an impossible size")
                if record.byteOffset + record.nbytes > shard.nbytes:
                    raise InvalidProgramError(f"{path}: {record.name} reaches beyond its shard")
                if record.name in self._records:
                    raise InvalidProgramError(f"{path}: {record.name} appears twice")
                self._records[record.name] = (shard, record)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all stored arrays, in file order."""
        return tuple(self._records)

    def read(self, name: str) -> Array:
        """One stored array (uint32, float16 or float32). Raises KeyError, PackDamagedError."""
        record = self._records[name][1]
        data = self.read_bytes(name, 0, record.nbytes)
        return np.frombuffer(data, record.dtype).reshape(record.shape)

    def read_bytes(self, name: str, offset: int, nbytes: int) -> bytes:
        """A byte range of a stored array."""
        shard, record = self._records[name]
        path = self.folder / shard.dataPath
        try:
            with path.open("rb") as file:
                file.seek(record.byteOffset + offset)
                data = file.read(nbytes)
        except OSError as error:
            raise PackDamagedError(
                f"{path} cannot be read ({error.strerror}): pack the model again"
            ) from None
        if len(data) != nbytes:
            raise PackDamagedError(f"{path} is truncated: pack the model again")
        return data

    def dequantize(self, parameter: Parameter, quantization: Quantization) -> F32:
        """The float32 values of a parameter as kernels see them: what reference models must use."""
        arrays = tuple(self.read(array.name) for array in quantization.stored(parameter))
        values = quantization.decode(parameter.kind, arrays)
        return values.reshape(parameter.shape)
