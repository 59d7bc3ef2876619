"""How stored arrays are cut into bindings, none of which may exceed what every adapter offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from webbuild.errors import TensorTooLargeError
from webbuild.quantize import Quantization, StoredArray
from webbuild.schema.check import MAX_BINDING_BYTES
from webbuild.schema.program import Segment
from webbuild.weights.parameter import Parameter

ROW_MULTIPLE = 256
"""Cuts lie at multiples of this many rows, which keeps every kernel's tiles whole."""

RowSplits = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored array: rows of `row_bytes`, and what happens to them while they are uploaded."""

    array: StoredArray
    rows: int
    transform: Literal["none", "f16_to_f32"]

    @property
    def row_bytes(self) -> int:
        return self.array.nbytes // self.rows

    @property
    def growth(self) -> int:
        return 2 if self.transform == "f16_to_f32" else 1


class Segments:
    """The segments that a program's launches ask for, numbered as they are asked for first."""

    def __init__(self, parameters: Sequence[Parameter], quantization: Quantization) -> None:
        self.stored: dict[str, Stored] = {}
        for parameter in parameters:
            for array in quantization.stored(parameter):
                widened = len(parameter.shape) == 1 and array.dtype == "float16"
                transform: Literal["none", "f16_to_f32"] = "f16_to_f32" if widened else "none"
                self.stored[array.name] = Stored(array, parameter.shape[0], transform)
        self._numbers: dict[tuple[str, int, int], int] = {}

    def number(self, name: str, rows: tuple[int, int] | None = None) -> int:
        """The segment that holds rows [begin, end) of array `name`, or all of them.

        Raises TensorTooLargeError if it would not fit one binding.
        """
        stored = self.stored[name]
        begin, end = rows or (0, stored.rows)
        resident = (end - begin) * stored.row_bytes * stored.growth
        if resident > MAX_BINDING_BYTES:
            raise TensorTooLargeError(
                f"{name!r} needs one binding of {resident / 2**20:.0f} MiB, more than the 128 MiB "
                "that every adapter offers, and its kernel cannot take it in pieces: choose a "
                "quantisation with fewer bits"
            )
        return self._numbers.setdefault((name, begin, end), len(self._numbers))

    def row_splits(self, names: Sequence[str], rows: int) -> RowSplits | None:
        """Where to cut `rows` rows of the arrays of one matrix, or None if they fit as they are."""
        widest = max(self.stored[name].row_bytes for name in names)
        if rows * widest <= MAX_BINDING_BYTES:
            return None
        most = MAX_BINDING_BYTES // widest // ROW_MULTIPLE * ROW_MULTIPLE
        if most == 0:
            raise TensorTooLargeError(
                f"{ROW_MULTIPLE} rows of {names[0]!r} exceed one 128 MiB binding"
            )
        pieces = -(-rows // most)
        step = -(-rows // pieces // ROW_MULTIPLE) * ROW_MULTIPLE
        return tuple((begin, min(begin + step, rows)) for begin in range(0, rows, step))

    def can_cut(self, names: Sequence[str], row: int) -> bool:
        """Whether a segment may start at `row` in all arrays: uploads go by words of 4 bytes."""
        return all(row * self.stored[name].row_bytes % 4 == 0 for name in names)

    def segments(self) -> tuple[Segment, ...]:
        """All that was asked for, by number."""
        return tuple(
            Segment(
                tensor=name,
                offset=begin * self.stored[name].row_bytes,
                nbytes=(end - begin) * self.stored[name].row_bytes,
                transform=self.stored[name].transform,
            )
            for name, begin, end in self._numbers
        )

    def resident_bytes(self) -> int:
        """GPU memory of all segments."""
        return sum(
            (end - begin) * self.stored[name].row_bytes * self.stored[name].growth
            for name, begin, end in self._numbers
        )
