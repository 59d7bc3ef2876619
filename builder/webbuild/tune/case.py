"""A kernel on the arrays of a problem, ready to be measured, and what came of it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from webbuild.schema.expression import evaluate
from webgpu_kernels.launch import KernelLaunch

from .array import Array


@dataclass(frozen=True)
class Problem:
    """What candidates for one launch have in common: their inputs, and what they must write.

    arrays: by binding name. symbols: values of the step's symbols. outputs: names of f32 arrays.
    """

    arrays: Mapping[str, Array]
    symbols: Mapping[str, int]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class KernelCase:
    """One candidate: a kernel with its buffers, uniform words and grid."""

    name: str
    wgsl: str
    entry_point: str
    features: tuple[str, ...]
    access: tuple[str, ...]
    """`read` or `read_write`, by binding."""
    arrays: tuple[Array, ...]
    """By binding; all cases of a measurement have the same."""
    outputs: tuple[int, ...]
    """Bindings whose f32 contents must be those of the first case."""
    params: tuple[int, ...]
    """Words of the uniform block, which is the last binding; none, no binding."""
    grid: tuple[int, int, int]

    @classmethod
    def of(cls, name: str, launch: KernelLaunch, problem: Problem) -> KernelCase:
        """A library kernel on a problem."""
        names = [binding.name for binding in launch.bindings]
        x, y, z = (evaluate(size, problem.symbols) for size in launch.grid)
        return cls(
            name=name,
            wgsl=launch.wgsl,
            entry_point=launch.entry_point,
            features=launch.features,
            access=tuple(binding.access for binding in launch.bindings),
            arrays=tuple(problem.arrays[name] for name in names),
            outputs=tuple(names.index(name) for name in problem.outputs),
            params=tuple(
                _word(param.dtype, evaluate(param.value, problem.symbols))
                for param in launch.params
            ),
            grid=(x, y, z),
        )


def _word(dtype: str, value: int) -> int:
    """The bits of a uniform field."""
    kinds = {"i32": "<i", "u32": "<I", "f32": "<f"}
    (word,) = struct.unpack("<I", struct.pack(kinds[dtype], value))
    return int(word)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a case took. seconds: of one launch, the least and the median of many; None if it
    failed. difference: of its outputs from the first case's, relative to the largest value.
    failure: why it must not be used."""

    seconds: float | None
    median: float | None = None
    difference: float = 0.0
    failure: str | None = None


TOLERANCE = 1e-4
"""Largest difference of a right kernel: sums in another order."""


def settle(
    cases: Sequence[KernelCase],
    times: Sequence[tuple[float, float] | None],
    differences: Sequence[float],
    failures: Sequence[str | None],
) -> list[Measurement]:
    """Measurements; a case with wrong results is refused, by name, whatever its time was."""
    result = []
    for case, took, difference, failure in zip(cases, times, differences, failures, strict=True):
        if failure is None and not difference <= TOLERANCE:
            failure = f"{case.name} computes something else: off by {difference:.1e}"
        if failure is not None or took is None:
            result.append(
                Measurement(None, None, difference, failure or f"{case.name} did not run")
            )
        else:
            result.append(Measurement(*took, difference))
    return result
